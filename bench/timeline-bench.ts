import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { openTimeline, replayTrace } from '../replay/index.ts';
import { type Call, EMPTY_HEADER } from '../src/trace/index.ts';
import { openStore, type Store, type TraceInfo } from '../store/index.ts';
import { streamTrace } from './generate.ts';
import { against, type BenchResult, bestMs, result } from './measure.ts';

/**
 * Cost of reaching any call of a long trace: what building its timeline takes, and then a look at the objects
 * at random calls.
 */

const LOOKS = 200;
const BATCH_CALLS = 4096;

export function measureTimeline(
  folder: string,
  calls: number,
  seed: number,
  say: (line: string) => void,
): BenchResult[] {
  const path = join(folder, 'timeline.db');
  const store = openStore(path);
  say(`timeline of ${calls} calls: making the trace`);
  const trace = keepTrace(store, calls, seed);
  say('timeline: replaying the trace');
  const count = trace.callCount;
  const replayMs = bestMs(1, () => void replayTrace(store, trace.id));
  const replay = result('replay-long', (replayMs * 1e6) / count, 'ns/call');
  say('timeline: building');
  const buildMs = bestMs(1, () => void openTimeline(store, trace));
  say('timeline: seeking');
  const times = seekTimes(path, seed);
  const points = store.query('SELECT count(*) AS points, sum(length(state)) AS bytes FROM timeline_point');
  store.close();
  const fromStart = result('state-from-start', replayMs, 'ms');
  return [
    result('timeline-calls', count, 'calls'),
    against('timeline-build', (buildMs * 1e6) / count, 'ns/call', replay),
    result('timeline-points', Number(points[0]!['points']), 'points'),
    result('timeline-bytes-per-call', Number(points[0]!['bytes']) / count, 'bytes'),
    against('state-seek-median', times[LOOKS >> 1]!, 'ms', fromStart),
    against('state-seek-worst', times[LOOKS - 1]!, 'ms', fromStart),
  ];
}

function keepTrace(store: Store, calls: number, seed: number): TraceInfo {
  const writer = store.beginTrace({ name: 'long', header: { ...EMPTY_HEADER, kernel: '6.12.117' } });
  const batch: Call[] = [];
  streamTrace('map-unmap', seed, calls, (call) => {
    batch.push(call);
    if (batch.length < BATCH_CALLS) return;
    writer.append(batch);
    batch.length = 0;
  });
  writer.append(batch);
  return writer.seal();
}

/** Milliseconds of looks at random calls, ascending; the slowest ones are the first of the process. */
function seekTimes(path: string, seed: number): number[] {
  const script = join(import.meta.dirname, 'seek-looks.js');
  const output = execFileSync(process.execPath, [script, path, String(seed), String(LOOKS)], {
    encoding: 'utf8',
  });
  return (JSON.parse(output) as number[]).sort((a, b) => a - b);
}
