import { type ReplayResult, replayTrace } from '../../replay/index.ts';
import type { Call, TraceHeader } from '../../src/trace/index.ts';
import { withStored } from './stored.ts';

/** Replays calls that an importer made, through a store. */
export function replayCalls(header: TraceHeader, calls: readonly Call[], kernel = '6.12.117'): ReplayResult {
  return withStored({ header, calls }, (store, traceId) => replayTrace(store, traceId, { kernel }));
}
