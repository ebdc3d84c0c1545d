import { type EffectSink, machineOf, snapshotVersion } from '../../src/model/index.ts';
import type { Store, StoredTimeline, TimelineRows, TraceInfo } from '../../store/index.ts';
import type { InferredTopology } from '../infer-topology.ts';
import type { Exits } from '../lifetimes.ts';
import { type ChosenModel, chooseModel, createModel, type ModelChoice, profileOf } from '../model-choice.ts';
import { decodePoint, encodePoint } from './codec.ts';
import { sumText } from './hash.ts';
import { createStepper, type Stepper, type Watch } from './stepper.ts';
import { newTrackerState } from './tracker.ts';

/** Changes whenever what a tracker keeps or how it sums up changes: older timelines are built anew. */
const TIMELINE_VERSION = '3';

/** Shorter traces are replayed from the start: that is as fast. */
export const SHORT_CALLS = 20_000;
/** Calls between two points at least, and at most where the state is not very large. */
const POINT_CALLS = { least: 1024, most: 2048 };
/** Bytes of a point for each call: those wanted, and those of a very large state. */
const POINT_BYTES_PER_CALL = { wanted: 128, most: 512 };
/** Every so manieth change of the hardware is kept. */
export const CHANGES_KEPT = 64;

export interface TimelineOptions extends ModelChoice {
  /** Use a timeline that the store has, and do without where it has none. */
  readonly onlyIfThere?: boolean;
  /** Told of the calls that were replayed, while a timeline is built. */
  readonly onProgress?: (calls: number) => void;
}

/** Any point of a trace, by way of the points that are kept of it. */
export interface Timeline {
  readonly trace: TraceInfo;
  readonly model: ChosenModel;
  /** A replay that has come to the record `seq`, or to the last one before; -1: to none. */
  stepperAt(seq: number): Stepper;
  /** A replay from the start, which somebody else may listen to or watch. */
  fresh(effects?: EffectSink, watch?: Watch): Stepper;
  /** The newest change of the hardware kept with at most that number; null when there is none. */
  changeBefore(
    change: number,
  ): { readonly change: number; readonly seq: number; readonly chain: string } | null;
}

/** What only a look at the whole trace tells. */
interface Facts {
  readonly exits: readonly (readonly [number, readonly number[]])[];
  readonly inferred: InferredTopology | null;
}

/**
 * Opens the timeline of a trace; builds it when the store has none: a replay of the whole trace. A short
 * trace, one of a temporary store, and one whose hardware is not its own, has none, and is replayed from its
 * start each time.
 */
export function openTimeline(store: Store, trace: TraceInfo, options: TimelineOptions = {}): Timeline {
  const isKept = store.path !== '' && options.topology == null && trace.callCount > SHORT_CALLS;
  if (!isKept) return shortTimeline(store, trace, chooseModel(store, trace, options));
  const { profile, exact } = profileOf(trace, options);
  const version = `${TIMELINE_VERSION} ${snapshotVersion(profile)} ${trace.callCount}`;
  let stored = store.findTimeline(trace.id, version);
  if (stored === null && options.onlyIfThere === true)
    return shortTimeline(store, trace, chooseModel(store, trace, options));
  if (stored === null) {
    const model = chooseModel(store, trace, options);
    store.rebuildTimeline(trace.id, version, (rows) => build(store, trace, model, rows, options));
    stored = store.findTimeline(trace.id, version)!;
  }
  const facts = JSON.parse(stored.facts) as Facts;
  const topology = facts.inferred?.topology ?? trace.header.topology;
  const model: ChosenModel = {
    profile,
    exact,
    machine: machineOf({ ...trace.header, topology }),
    ownMachine: true,
    assumption: facts.inferred?.says ?? null,
    inferred: facts.inferred,
  };
  return storedTimeline(store, trace, model, stored, new Map(facts.exits));
}

function storedTimeline(
  store: Store,
  trace: TraceInfo,
  model: ChosenModel,
  stored: StoredTimeline,
  exits: Exits,
): Timeline {
  return {
    trace,
    model,
    stepperAt(seq) {
      const point = stored.pointBefore(seq);
      const stepper =
        point === null
          ? freshStepper(store, trace, model, exits)
          : createStepper(store, trace, {
              ...decodePoint(point.state, model.profile, model.machine),
              seq: point.seq,
              exits,
            });
      stepper.advance(seq);
      return stepper;
    },
    fresh: (effects, watch) => freshStepper(store, trace, model, exits, effects, watch),
    changeBefore: (change) => stored.changeBefore(change),
  };
}

function freshStepper(
  store: Store,
  trace: TraceInfo,
  model: ChosenModel,
  exits?: Exits,
  effects?: EffectSink,
  watch?: Watch,
): Stepper {
  const kernel = createModel(trace, model);
  return createStepper(store, trace, {
    kernel,
    state: newTrackerState(),
    seq: -1,
    ...(exits === undefined ? {} : { exits }),
    ...(effects === undefined ? {} : { effects }),
    ...(watch === undefined ? {} : { watch }),
  });
}

function shortTimeline(store: Store, trace: TraceInfo, model: ChosenModel): Timeline {
  return {
    trace,
    model,
    stepperAt(seq) {
      const stepper = freshStepper(store, trace, model);
      stepper.advance(seq);
      return stepper;
    },
    fresh: (effects, watch) => freshStepper(store, trace, model, undefined, effects, watch),
    changeBefore: () => null,
  };
}

function build(
  store: Store,
  trace: TraceInfo,
  model: ChosenModel,
  rows: TimelineRows,
  { onProgress }: TimelineOptions,
): string {
  const stepper = freshStepper(store, trace, model);
  const { kernel, tracker } = stepper;
  let calls = 0;
  let nextPoint = POINT_CALLS.least;
  let lastChange = 0;
  stepper.advance(Number.MAX_SAFE_INTEGER, ({ seq }) => {
    calls += 1;
    if (tracker.changes !== lastChange) {
      lastChange = tracker.changes;
      if (lastChange % CHANGES_KEPT === 0)
        rows.change({ change: lastChange, seq, chain: sumText(tracker.chain) });
    }
    if (calls < nextPoint) return;
    const bytes = encodePoint(kernel, tracker);
    rows.point(seq, bytes);
    nextPoint = calls + callsToNextPoint(bytes.length);
    onProgress?.(calls);
  });
  if (lastChange % CHANGES_KEPT !== 0)
    rows.change({ change: lastChange, seq: stepper.seq(), chain: sumText(tracker.chain) });
  const facts: Facts = { exits: [...stepper.exits()], inferred: model.inferred };
  return JSON.stringify(facts);
}

/**
 * So that any call is reached in much the same time: what lies between two points is replayed, and the larger
 * the state, the longer that lasts beside reading a point.
 */
function callsToNextPoint(pointBytes: number): number {
  const wanted = Math.max(POINT_CALLS.least, pointBytes / POINT_BYTES_PER_CALL.wanted);
  const most = Math.max(POINT_CALLS.most, pointBytes / POINT_BYTES_PER_CALL.most);
  return Math.ceil(Math.min(wanted, most));
}
