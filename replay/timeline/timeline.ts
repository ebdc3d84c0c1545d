import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { type EffectSink, machineOf, snapshotVersion } from '../../src/model/index.ts';
import type { Store, StoredTimeline, TimelineRows, TraceInfo } from '../../store/index.ts';
import type { InferredTopology } from '../infer-topology.ts';
import { type Exits, findExits } from '../lifetimes.ts';
import { type ChosenModel, chooseModel, createModel, type ModelChoice, profileOf } from '../model-choice.ts';
import { decodePoint, encodePoint } from './codec.ts';
import { sumText } from './hash.ts';
import { createStepper, type Stepper } from './stepper.ts';
import { newTrackerState } from './tracker.ts';

/** Changes whenever what a tracker keeps or how it sums up changes: older timelines are built anew. */
const TIMELINE_VERSION = '1';

/** Shorter traces are replayed from the start: that is as fast. */
export const SHORT_CALLS = 20_000;
/** Calls between two points at least … */
const POINT_CALLS = 2048;
/** … and more where the state is large: so many bytes of a point, before it is packed, for each call. */
const POINT_BYTES_PER_CALL = 128;
/** Every so manieth change of the hardware is kept. */
export const CHANGES_KEPT = 64;
/** Packing is for the areas, which are most of a large state: more effort gains little. */
const PACKING = { level: 1 };

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
  /** A replay from the start, whose effects somebody else is told of too. */
  fresh(effects?: EffectSink): Stepper;
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
              ...decodePoint(inflateRawSync(point.state), model.profile, model.machine),
              seq: point.seq,
              exits,
            });
      stepper.advance(seq);
      return stepper;
    },
    fresh: (effects) => freshStepper(store, trace, model, exits, effects),
    changeBefore: (change) => stored.changeBefore(change),
  };
}

function freshStepper(
  store: Store,
  trace: TraceInfo,
  model: ChosenModel,
  exits?: Exits,
  effects?: EffectSink,
): Stepper {
  const kernel = createModel(trace, model);
  return createStepper(store, trace, {
    kernel,
    state: newTrackerState(),
    seq: -1,
    ...(exits === undefined ? {} : { exits }),
    ...(effects === undefined ? {} : { effects }),
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
    fresh: (effects) => freshStepper(store, trace, model, undefined, effects),
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
  const exits = findExits((visit) => void store.readCalls(trace.id, {}, visit));
  const stepper = freshStepper(store, trace, model, exits);
  const { kernel, tracker } = stepper;
  let calls = 0;
  let nextPoint = POINT_CALLS;
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
    rows.point(seq, deflateRawSync(bytes, PACKING));
    nextPoint = calls + Math.max(POINT_CALLS, Math.ceil(bytes.length / POINT_BYTES_PER_CALL));
    onProgress?.(calls);
  });
  if (lastChange % CHANGES_KEPT !== 0)
    rows.change({ change: lastChange, seq: stepper.seq(), chain: sumText(tracker.chain) });
  const facts: Facts = { exits: [...exits], inferred: model.inferred };
  return JSON.stringify(facts);
}
