import type { Call } from '../../src/trace/index.ts';
import { createResourceTracker } from '../../src/trace/index.ts';
import type { Store, TraceInfo } from '../../store/index.ts';
import { chooseModel, createModel, type ModelChoice } from '../model-choice.ts';
import { replayTrace } from '../replayer.ts';
import { buildCandidate, type Candidate, type CandidateBase, type LinkedCall } from './candidate.ts';
import { reduce } from './reduce.ts';
import { slices } from './slice.ts';
import { indexTrace, type TraceIndex } from './trace-index.ts';

/** What the shorter trace has to show. */
export interface MinimizeGoal {
  /** `seq` of the call that it is about: the last of those that have to stay. */
  readonly target: number;
  /** Calls that it is likely to take, such as the chain of a finding; they may go all the same. */
  readonly related: readonly number[];
  /** Whether a shorter trace shows it. */
  readonly shows: (candidate: Candidate) => boolean;
}

export interface MinimizeOptions extends ModelChoice {
  /** Told how many records were read. */
  readonly onRead?: (records: number) => void;
}

/** How far it is; `calls` is a trace that shows the goal. */
export interface MinimizeStep {
  readonly calls: readonly Call[];
  /** Records of the trace. */
  readonly of: number;
  readonly tests: number;
  /** No single call can be taken out any more. */
  readonly isMinimal: boolean;
}

/** The trace does not show the goal, not even with all its calls: there is nothing to make smaller. */
export class NothingToMinimizeError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'NothingToMinimizeError';
  }
}

/**
 * Makes a trace smaller while it shows a goal: first slices by what builds on what, then delta debugging, to
 * a trace of which no single call can be taken out. Yields each smaller trace that it finds, and now and then
 * in between; the last one is minimal. Deterministic: the same trace and goal give the same trace.
 * @throws NothingToMinimizeError when not even the whole trace shows it.
 */
export function* minimizeTrace(
  store: Store,
  trace: TraceInfo,
  goal: MinimizeGoal,
  options: MinimizeOptions = {},
): Generator<MinimizeStep, void, void> {
  const model = chooseModel(store, trace, options);
  const diverged = divergedCalls(store, trace, options);
  const base: CandidateBase = {
    newKernel: () => createModel(trace, model),
    diverged: (seq) => diverged.has(seq),
    target: goal.target,
  };
  const index = indexTrace(store, trace.id, lastSeqOf(trace), options.onRead);
  const target = index.find(goal.target);
  if (target === null) throw new NothingToMinimizeError(`no call has the number ${goal.target}`);
  const seeds = [...goal.related.flatMap((seq) => index.find(seq) ?? []), target];
  let tests = 0;
  for (const slice of slices(index, seeds)) {
    const records = loadRecords(store, trace, index, slice);
    const whole = buildCandidate(
      base,
      records,
      records.map((_, position) => position),
    );
    tests += 1;
    if (whole === null || !goal.shows(whole)) continue;
    yield* reduceRecords(base, goal, records, whole, index.seqs.length, tests);
    return;
  }
  throw new NothingToMinimizeError('a replay of all its calls does not show it');
}

function* reduceRecords(
  base: CandidateBase,
  goal: MinimizeGoal,
  records: readonly LinkedCall[],
  whole: Candidate,
  of: number,
  testsBefore: number,
): Generator<MinimizeStep, void, void> {
  let best = whole;
  yield { calls: best.calls, of, tests: testsBefore, isMinimal: false };
  const steps = reduce(whole.kept, (keep) => {
    const candidate = buildCandidate(base, records, keep);
    if (candidate === null || !goal.shows(candidate)) return null;
    best = candidate;
    return candidate.kept;
  });
  let tests = testsBefore;
  for (const step of steps) {
    tests = testsBefore + step.tests;
    yield { calls: best.calls, of, tests, isMinimal: false };
  }
  yield { calls: best.calls, of, tests, isMinimal: true };
}

function divergedCalls(store: Store, trace: TraceInfo, choice: ModelChoice): ReadonlySet<number> {
  const found = new Set<number>();
  replayTrace(store, trace.id, {
    ...choice,
    maxDivergences: 0,
    onCall: ({ seq }, outcome) => {
      if (outcome === 'diverged') found.add(seq);
    },
  });
  return found;
}

const lastSeqOf = ({ lastSeq }: TraceInfo): number => lastSeq ?? Number.MAX_SAFE_INTEGER;

/** The records of a slice with their links, which the whole trace before them decides. */
function loadRecords(
  store: Store,
  trace: TraceInfo,
  index: TraceIndex,
  slice: readonly number[],
): readonly LinkedCall[] {
  const tracker = createResourceTracker();
  const wanted = new Set(slice.map((record) => index.seqs[record]!));
  const found: LinkedCall[] = [];
  const last = index.seqs[slice.at(-1) ?? 0] ?? 0;
  for (const call of store.readCallsExact(trace.id, { toSeq: last })) {
    const links = tracker.next(call);
    if (wanted.has(call.seq)) found.push({ call, links });
  }
  return found;
}
