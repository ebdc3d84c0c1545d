import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { type EffectSink, machineOf, snapshotVersion } from '../../src/model/index.ts';
import type { Store, StoredTimeline, TimelineRows, TraceInfo } from '../../store/index.ts';
import type { InferredTopology } from '../infer-topology.ts';
import type { Exits } from '../lifetimes.ts';
import { type ChosenModel, chooseModel, createModel, type ModelChoice, profileOf } from '../model-choice.ts';
import { decodePoint, encodePoint } from './codec.ts';
import { sumText } from './hash.ts';
import { createStepper, type Stepper } from './stepper.ts';
import { newTrackerState } from './tracker.ts';

/** Changes whenever what a tracker keeps or how it sums up changes: older timelines are built anew. */
const TIMELINE_VERSION = '2';

/** Shorter traces are replayed from the start: that is as fast. */
export const SHORT_CALLS = 20_000;
/** Calls between two points at least, and at most where the state is not very large. */
const POINT_CALLS = { least: 1024, most: 4096 };
/** Bytes of a point, before it is packed, for each call: those wanted, and those of a very large state. */
const POINT_BYTES_PER_CALL = { wanted: 128, most: 256 };
/** Every so manieth change of the hardware is kept. */
export const CHANGES_KEPT = 64;
/** The columns of a point are dense already: more effort gains little. */
const PACKING = { level: 1 };
/** A point begins with its length before it was packed. */
const LENGTH_BYTES = 4;

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
              ...decodePoint(unpacked(point.state), model.profile, model.machine),
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
    rows.point(seq, packed(bytes));
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

function packed(bytes: Uint8Array): Uint8Array {
  const content = deflateRawSync(bytes, PACKING);
  const point = new Uint8Array(LENGTH_BYTES + content.length);
  new DataView(point.buffer).setUint32(0, bytes.length, true);
  point.set(content, LENGTH_BYTES);
  return point;
}

function unpacked(point: Uint8Array): Uint8Array {
  const length = new DataView(point.buffer, point.byteOffset).getUint32(0, true);
  // With room for all of it in one piece nothing is copied together.
  return inflateRawSync(point.subarray(LENGTH_BYTES), { chunkSize: Math.max(64, length + 1) });
}
