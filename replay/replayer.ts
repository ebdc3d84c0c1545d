import { createHash } from 'node:crypto';
import {
  countEffects,
  type Kernel,
  type LearnedFact,
  learnedFacts,
  restoreKernel,
  serializeKernel,
  snapshotVersion,
} from '../src/model/index.ts';
import type { Call } from '../src/trace/index.ts';
import type { Store, TraceInfo } from '../store/index.ts';
import { adoptAnswer, applyCall, verdictOn } from './apply.ts';
import { callName, describeDivergence } from './compare.ts';
import type { Divergence } from './divergence.ts';
import { createExitWatch } from './exit-watch.ts';
import { type ChosenModel, chooseModel, createModel, type ModelChoice } from './model-choice.ts';
import { createPartialCalls, isUnreadable, type PartialCalls } from './partial-calls.ts';
import { type Outcome, type ReplayWatcher, tellBoth } from './watcher.ts';

export interface ReplayOptions extends ModelChoice {
  /** Last call to apply. */
  readonly untilSeq?: number;
  /** Start from the nearest snapshot instead of the beginning; the counts then cover the calls after it. */
  readonly fromSnapshot?: boolean;
  /** Keep a snapshot after every so many calls; never where a topology is given. */
  readonly snapshotEvery?: number;
  readonly pageRows?: number;
  /** Divergences to keep; all are counted. 1000 by default. */
  readonly maxDivergences?: number;
  readonly onProgress?: (calls: number) => void;
  /**
   * Told of each call but notes, once it was applied, with how many facts were learned from its reply. The
   * call may be an object that is used again for the next one.
   */
  readonly onCall?: (call: Call, outcome: Outcome, learned: number) => void;
  /** Makes a watcher of the kernel that the replay steps. */
  readonly watch?: (kernel: Kernel) => ReplayWatcher;
}

export interface ReplayResult {
  /** Name of the kernel profile that was used. */
  readonly profile: string;
  /** False when the trace's kernel has no profile of its own. */
  readonly profileExact: boolean;
  readonly calls: number;
  /** Calls whose whole recorded reply was predicted. */
  readonly matched: number;
  readonly diverged: number;
  /** Calls of which something could not be predicted, and nothing diverged. */
  readonly partial: number;
  /** Facts taken from replies: numbers of new descriptors, and facts of the hardware. */
  readonly learned: number;
  /** The facts of the hardware that were taken from replies. */
  readonly hardware: readonly LearnedFact[];
  /** SHA-256 of the final state, in hex. */
  readonly digest: string;
  readonly divergences: readonly Divergence[];
  /** Calls that the model does not know yet, by name. */
  readonly notModelled: Readonly<Record<string, number>>;
  /** What was assumed where the trace does not tell. */
  readonly assumptions: readonly string[];
  /** What happened, by name of the effect. */
  readonly effects: Readonly<Record<string, number>>;
}

const PROGRESS_CALLS = 65_536;

/** Everything a replay counts while it runs. */
interface Tally {
  calls: number;
  matched: number;
  diverged: number;
  partial: number;
  learned: number;
  readonly divergences: Divergence[];
  readonly notModelled: Map<string, number>;
  readonly assumptions: string[];
  readonly partials: PartialCalls;
}

/**
 * Applies every call of a trace to the model and compares what the model predicts with what was recorded.
 * Memory is that of the model's own state, whatever the length of the trace.
 */
export function replayTrace(store: Store, traceId: number, options: ReplayOptions = {}): ReplayResult {
  const trace = store.findTrace(traceId);
  if (trace === null) throw new Error(`no trace ${traceId}`);
  const model = chooseModel(store, trace, options);
  const { sink, counts } = countEffects();
  const { kernel, fromSeq } = startKernel(store, trace, model, options);
  const watcher = options.watch?.(kernel) ?? null;
  kernel.effects = watcher === null ? sink : tellBoth(sink, watcher.effects);
  const tally = newTally();
  if (model.assumption !== null) tally.assumptions.push(model.assumption);
  const snapshotEvery = model.ownMachine ? (options.snapshotEvery ?? 0) : 0;
  applyAll(store, trace, kernel, tally, { ...options, snapshotEvery }, fromSeq, { watcher });
  const { partials, ...counted } = tally;
  if (partials.assumption !== null) counted.assumptions.push(partials.assumption);
  return {
    profile: model.profile.name,
    profileExact: model.exact,
    ...counted,
    hardware: learnedFacts(kernel),
    notModelled: Object.fromEntries([...tally.notModelled].sort(([a], [b]) => (a < b ? -1 : 1))),
    digest: digestOf(kernel),
    effects: { ...counts },
  };
}

/** SHA-256 of a kernel's whole state, in hex. */
export function digestOf(kernel: Kernel): string {
  return createHash('sha256').update(serializeKernel(kernel)).digest('hex');
}

/**
 * The kernel as it is right before a call, with what the replay adopts: from the nearest snapshot, unless
 * another hardware than that of the header is asked for. With it what the calls before leave open.
 */
export function kernelBefore(
  store: Store,
  trace: TraceInfo,
  model: ChosenModel,
  seq: number,
): { readonly kernel: Kernel; readonly partials: PartialCalls } {
  const options = { untilSeq: seq - 1, fromSnapshot: true, maxDivergences: 0 };
  const { kernel, fromSeq } = startKernel(store, trace, model, options);
  const tally = newTally();
  applyAll(store, trace, kernel, tally, options, fromSeq);
  return { kernel, partials: tally.partials };
}

/** Applies the calls before `seq` to a kernel that has seen none; `onCall` is told of each of them. */
export function applyBefore(
  store: Store,
  trace: TraceInfo,
  kernel: Kernel,
  seq: number,
  onCall: (call: Call) => void,
): void {
  applyAll(store, trace, kernel, newTally(), { untilSeq: seq - 1, maxDivergences: 0, onCall }, 0);
}

/** A kernel to begin with, and the first call that it has not seen. */
function startKernel(store: Store, trace: TraceInfo, model: ChosenModel, options: ReplayOptions) {
  const { fromSnapshot = false, untilSeq = Number.MAX_SAFE_INTEGER } = options;
  const { profile, machine, ownMachine } = model;
  const start =
    fromSnapshot && ownMachine ? store.nearestSnapshot(trace.id, untilSeq, snapshotVersion(profile)) : null;
  if (start === null) return { kernel: createModel(trace, model), fromSeq: 0 };
  return { kernel: restoreKernel(start.state, profile, machine), fromSeq: start.seq + 1 };
}

/**
 * Replays a trace from its beginning for a reader that looks at the kernel between calls: `start` sees it
 * before the first one, `visit` after each record, with what came of it (null for a note); false ends it.
 */
export function followTrace(
  store: Store,
  trace: TraceInfo,
  options: ModelChoice & { readonly untilSeq?: number },
  start: (kernel: Kernel) => void,
  visit: (kernel: Kernel, call: Call, outcome: Outcome | null) => unknown,
): void {
  const kernel = createModel(trace, chooseModel(store, trace, options));
  start(kernel);
  const { untilSeq } = options;
  const range = { maxDivergences: 0, ...(untilSeq === undefined ? {} : { untilSeq }) };
  applyAll(store, trace, kernel, newTally(), range, 0, {
    visit: (call, outcome) => visit(kernel, call, outcome),
  });
}

function newTally(): Tally {
  return {
    calls: 0,
    matched: 0,
    diverged: 0,
    partial: 0,
    learned: 0,
    divergences: [],
    notModelled: new Map(),
    assumptions: [],
    partials: createPartialCalls(),
  };
}

/** Who is told of the calls while they are applied. */
interface Listeners {
  readonly watcher?: ReplayWatcher | null;
  /** Told after each record, with what came of it (null for a note); false ends the replay. */
  readonly visit?: (call: Call, outcome: Outcome | null) => unknown;
}

function applyAll(
  store: Store,
  trace: TraceInfo,
  kernel: Kernel,
  tally: Tally,
  options: ReplayOptions,
  fromSeq: number,
  { watcher = null, visit }: Listeners = {},
): void {
  const { snapshotEvery = 0, maxDivergences = 1000, onCall } = options;
  const exits = createExitWatch(store, trace.id, kernel, tally.assumptions);
  const range = {
    fromSeq,
    ...(options.untilSeq === undefined ? {} : { toSeq: options.untilSeq }),
    ...(options.pageRows === undefined ? {} : { pageRows: options.pageRows }),
  };
  store.readCalls(trace.id, range, (call) => {
    exits.before(call);
    const learnedBefore = tally.learned;
    watcher?.before(call);
    const outcome = applyOne(kernel, call, tally, maxDivergences);
    watcher?.after(call, outcome);
    if (outcome !== null) onCall?.(call, outcome, tally.learned - learnedBefore);
    exits.after(call);
    const goesOn = visit?.(call, outcome) !== false;
    if (options.onProgress !== undefined && tally.calls % PROGRESS_CALLS === 0)
      options.onProgress(tally.calls);
    if (snapshotEvery > 0 && tally.calls % snapshotEvery === 0 && tally.partials.isSettled) {
      store.putSnapshot(trace.id, call.seq, snapshotVersion(kernel.profile), serializeKernel(kernel));
    }
    return goesOn;
  });
}

/** Applies a call and counts it; null for a note, which is none. */
function applyOne(kernel: Kernel, record: Call, tally: Tally, maxDivergences: number): Outcome | null {
  const { partials } = tally;
  const call = record.partial === undefined ? record : partials.resolve(record);
  const applied = applyCall(kernel, call);
  if (call.partial !== undefined || call.op === 'note') partials.applied(kernel, call, applied.reply);
  if (call.op === 'note' || call.op === 'dma') return null;
  tally.calls += 1;
  tally.learned += applied.learned;
  const { reply } = applied;
  if (!reply.modelled) {
    tally.partial += 1;
    if (isUnreadable(call)) return 'partial';
    const name = callName(call, kernel.profile.name);
    tally.notModelled.set(name, (tally.notModelled.get(name) ?? 0) + 1);
    return 'not-modelled';
  }
  if ('replied' in call && !call.replied) {
    tally.partial += 1;
    return 'unanswered';
  }
  const verdict = partials.judge(call, verdictOn(kernel, call, applied));
  if (verdict === 'matched') tally.matched += 1;
  else if (verdict === 'partial') tally.partial += 1;
  else {
    tally.diverged += 1;
    if (tally.divergences.length < maxDivergences)
      tally.divergences.push(describeDivergence(kernel, call, reply));
  }
  if (call.partial?.doubtful === undefined) tally.learned += adoptAnswer(kernel, call, verdict);
  return verdict;
}
