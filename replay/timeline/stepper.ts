import type { EffectSink, Kernel } from '../../src/model/index.ts';
import type { Call } from '../../src/trace/index.ts';
import type { Store, TraceInfo } from '../../store/index.ts';
import { adoptAnswer, applyCall, verdictOn } from '../apply.ts';
import { createExitWatch } from '../exit-watch.ts';
import type { Exits } from '../lifetimes.ts';
import { type Outcome, type ReplayWatcher, tellBoth } from '../watcher.ts';
import { createTracker, type Tracker, type TrackerState } from './tracker.ts';

/** A replay that can be stopped after any call, looked at, and continued. */
export interface Stepper {
  readonly kernel: Kernel;
  readonly tracker: Tracker;
  /** The last record that was applied; -1 before the first. */
  seq(): number;
  /**
   * Applies the records up to `toSeq`, in order; `visit` sees each with what came of it (null for a note),
   * and ends it by answering false. The call may be an object that is used again for the next one.
   */
  advance(toSeq: number, visit?: StepVisitor): void;
  /** Where processes end, as far as that had to be known; none for a trace of one process. */
  exits(): Exits;
}

export type StepVisitor = (call: Call, outcome: Outcome | null) => unknown;

/** Makes a watcher of a kernel that nobody has stepped yet. */
export type Watch = (kernel: Kernel) => ReplayWatcher;

export interface StepperStart {
  readonly kernel: Kernel;
  readonly state: TrackerState;
  /** The last record that the kernel has seen; -1 for none. */
  readonly seq: number;
  /** Where processes end; looked for when it is needed unless given. */
  readonly exits?: Exits;
  /** Told of effects too. */
  readonly effects?: EffectSink;
  /** Makes a watcher of the kernel. */
  readonly watch?: Watch;
}

export function createStepper(store: Store, trace: TraceInfo, start: StepperStart): Stepper {
  const { kernel, state, exits: known, effects } = start;
  const tracker = createTracker(kernel, state);
  const watcher = start.watch?.(kernel) ?? null;
  kernel.effects = tracker.effects;
  for (const sink of [effects, watcher?.effects])
    if (sink !== undefined) kernel.effects = tellBoth(kernel.effects, sink);
  const exits = createExitWatch(store, trace.id, kernel, [], known);
  let last = start.seq;
  return {
    kernel,
    tracker,
    seq: () => last,
    exits: () => exits.known() ?? new Map(),
    advance(toSeq, visit) {
      if (toSeq <= last) return;
      store.readCalls(trace.id, { fromSeq: last + 1, toSeq }, (call) => {
        exits.before(call);
        tracker.before(call);
        watcher?.before(call);
        const outcome = stepCall(kernel, call);
        watcher?.after(call, outcome);
        exits.after(call);
        tracker.after(call, outcome);
        last = call.seq;
        return visit?.(call, outcome);
      });
    },
  };
}

/** Applies a call and takes over what its reply tells; null for a note, which is none. */
function stepCall(kernel: Kernel, call: Call): Outcome | null {
  const applied = applyCall(kernel, call);
  if (call.op === 'note') return null;
  if (!applied.reply.modelled) return 'not-modelled';
  if ('replied' in call && !call.replied) return 'unanswered';
  const verdict = verdictOn(kernel, call, applied);
  adoptAnswer(kernel, call, verdict);
  return verdict;
}
