import { openTimeline, stateAt } from '../replay/index.ts';
import type { Call } from '../src/trace/index.ts';
import type { Store } from '../store/index.ts';
import { against, type BenchResult, bestMs, collectGarbage, result } from './measure.ts';
import { createRandom } from './random.ts';

/** Cost of reaching any call of a trace: what building its timeline takes, and a look at the objects then. */

const LOOKS = 40;

/** `replay`: a replay of the whole trace, in nanoseconds a call. */
export function measureTimeline(
  store: Store,
  traceId: number,
  calls: readonly Call[],
  replay: BenchResult,
): BenchResult[] {
  const trace = store.findTrace(traceId)!;
  const bytesBefore = store.sizeBytes();
  const buildMs = bestMs(1, () => void openTimeline(store, trace));
  const bytes = store.sizeBytes() - bytesBefore;
  const random = createRandom(calls.length);
  const times: number[] = [];
  for (let look = 0; look < LOOKS; look += 1) {
    const { seq } = calls[random.below(calls.length)]!;
    collectGarbage();
    const start = process.hrtime.bigint();
    stateAt(store, trace, seq);
    times.push(Number(process.hrtime.bigint() - start) / 1e6);
  }
  times.sort((a, b) => a - b);
  const fromStart = result('state-from-start', (replay.value * calls.length) / 1e6, 'ms');
  return [
    against('timeline-build', (buildMs * 1e6) / calls.length, 'ns/call', replay),
    result('timeline-bytes-per-call', bytes / calls.length, 'bytes'),
    against('state-seek-median', times[LOOKS >> 1]!, 'ms', fromStart),
    against('state-seek-worst', times[LOOKS - 1]!, 'ms', fromStart),
  ];
}
