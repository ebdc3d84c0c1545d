import { type ReplayResult, replayTrace } from '../../replay/index.ts';
import type { ForeignFormat } from '../../src/trace/importers/index.ts';
import type { Call, TraceHeader } from '../../src/trace/index.ts';
import { importLines } from './import-lines.ts';
import { withStored } from './stored.ts';

/** Replays calls that an importer made, through a store. */
export function replayCalls(header: TraceHeader, calls: readonly Call[], kernel = '6.12.117'): ReplayResult {
  return withStored({ header, calls }, (store, traceId) => replayTrace(store, traceId, { kernel }));
}

/** Imports lines and replays what came of them. */
export function replayLines(format: ForeignFormat, lines: readonly string[]): ReplayResult {
  const { calls } = importLines(format, lines);
  return replayCalls(
    format.header,
    calls.map((call, seq) => ({ ...call, seq }) as Call),
  );
}
