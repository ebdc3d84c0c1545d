import {
  divergenceGoal,
  errnoGoal,
  type MinimizeGoal,
  type MinimizeStep,
  minimizeTrace,
} from '../replay/index.ts';
import { findingGoal, RULES } from '../src/audit/index.ts';
import { EMPTY_HEADER } from '../src/trace/index.ts';
import { openTemporaryStore, type Store, type TraceInfo } from '../store/index.ts';
import { type BenchResult, result } from './measure.ts';
import { PLANTED, type Planted, type PlantedTrace, plantedTrace } from './planted-trace.ts';

/** How long it takes to cut a long trace down to one planted bug, and to how many calls. */

const BATCH_CALLS = 4096;

export function measureMinimize(calls: number, seed: number, say: (line: string) => void): BenchResult[] {
  const slowest = { planted: '', seconds: 0 };
  let longest = 0;
  const results = PLANTED.flatMap((planted) => {
    const { seconds, step } = measurePlanted(planted, plantedTrace(planted, seed, calls));
    say(`minimize ${planted}: ${seconds.toFixed(1)} s, ${step.calls.length} calls, ${step.tests} tries`);
    if (seconds > slowest.seconds) Object.assign(slowest, { planted, seconds });
    longest = Math.max(longest, step.calls.length);
    return [result(`minimize-${planted}`, seconds, 's')];
  });
  return [
    result('minimize-trace', calls, 'calls'),
    ...results,
    result('minimize-slowest', slowest.seconds, 's'),
    result('minimize-most-left', longest, 'calls'),
  ];
}

function measurePlanted(planted: Planted, trace: PlantedTrace): { seconds: number; step: MinimizeStep } {
  const store = openTemporaryStore();
  const writer = store.beginTrace({ name: 'planted', header: { ...EMPTY_HEADER, kernel: '6.12.117' } });
  for (let at = 0; at < trace.calls.length; at += BATCH_CALLS)
    writer.append(trace.calls.slice(at, at + BATCH_CALLS));
  const info = writer.seal();
  const start = process.hrtime.bigint();
  let last: MinimizeStep | null = null;
  for (const step of minimizeTrace(store, info, goalOf(store, info, planted, trace.seq))) last = step;
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  store.close();
  if (last === null || !last.isMinimal) throw new Error(`minimize ${planted} ended without a minimal trace`);
  return { seconds, step: last };
}

function goalOf(store: Store, info: TraceInfo, planted: Planted, seq: number): MinimizeGoal {
  if (planted.startsWith('errno')) return errnoGoal(store, info, seq);
  if (planted === 'divergence') return divergenceGoal(store, info, seq);
  const rule = RULES.find(({ id }) => id === planted);
  if (rule === undefined) throw new Error(`there is no rule ${planted}`);
  return findingGoal(store, info, { rule, seq });
}
