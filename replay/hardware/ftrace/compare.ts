import type { Store, TraceInfo } from '../../../store/index.ts';
import type { Fill } from '../fills.ts';
import type { FrameRun } from '../frame-run.ts';
import type { JournalOp } from '../journal.ts';
import { doorbellsOf } from './doorbells.ts';
import { type TimedFault, unexplainedFaults } from './faults.ts';
import { AT_EXIT, type KeptJournal, keepJournal } from './keep-journal.ts';
import { type ExpectedEvent, type MatchedOp, matchOp, type Surroundings } from './match.ts';
import type { Ftrace, IommuEvent } from './parse.ts';

/** The kernel's own events against what the model says it did. */

export interface EventDifference {
  /**
   * `event`: another one was expected here. `missing`: the kernel has none. `extra`: it has one that nothing
   * accounts for.
   */
  readonly what: 'event' | 'missing' | 'extra';
  /**
   * Call that causes what was expected; null for an extra event, and for what the end of a process causes.
   */
  readonly seq: number | null;
  readonly expected: ExpectedEvent | null;
  readonly event: IommuEvent | null;
}

export interface FtraceComparison {
  /** Events of the processes of the trace, and those that are missing. */
  readonly entries: number;
  readonly equal: number;
  readonly different: number;
  readonly maps: number;
  readonly unmaps: number;
  readonly attaches: number;
  readonly faults: number;
  /** Events of other tasks and devices than those of the trace, by name of the task, or the device. */
  readonly others: Readonly<Record<string, number>>;
  /** Bits of equal events that the trace does not determine, by what they hold. */
  readonly unknownBits: Readonly<Record<string, number>>;
  /** Events that the kernel overwrote or lost: what is missing may have been among them. */
  readonly lost: number;
  readonly differences: readonly EventDifference[];
}

export interface FtraceOptions {
  readonly kernel?: string | null;
}

export function compareFtrace(
  store: Store,
  trace: TraceInfo,
  ftrace: Ftrace,
  { kernel = null }: FtraceOptions = {},
): FtraceComparison {
  const kept = keepJournal(store, trace, kernel);
  const { events, others } = ownEvents(ftrace.events, kept);
  const changes = events.filter(({ kind }) => kind !== 'fault');
  const { tally, doorbells } = compareWithDoorbells(kept, changes);
  if (doorbells > 0) others['software MSI'] = doorbells;
  compareFaults(store, trace, events, tally, kernel);
  const count = (kind: IommuEvent['kind']): number => events.filter((event) => event.kind === kind).length;
  return {
    entries: tally.equal + tally.differences.length,
    equal: tally.equal,
    different: tally.differences.length,
    maps: count('map'),
    unmaps: count('unmap'),
    attaches: count('attach'),
    faults: count('fault'),
    others,
    unknownBits: tally.untold === 0 ? {} : { 'page address': tally.untold * ADDRESS_BITS },
    lost: ftrace.lost + ftrace.overwritten,
    differences: tally.differences,
  };
}

/**
 * A fault belongs to the time after the change before it: what the tables held then must refuse the access.
 */
function compareFaults(
  store: Store,
  trace: TraceInfo,
  events: readonly IommuEvent[],
  tally: Tally,
  kernel: string | null,
): void {
  const faults: TimedFault[] = [];
  let seq: number | null = null;
  for (const event of events) {
    if (event.kind === 'fault') faults.push({ event, seq });
    else seq = tally.causes.get(event) ?? seq;
  }
  if (faults.length === 0) return;
  const unexplained = unexplainedFaults(store, trace, faults, kernel);
  tally.equal += faults.length - unexplained.length;
  for (const event of unexplained)
    tally.differences.push({ what: 'extra', seq: null, expected: null, event });
}

/** Bits of a physical page number in an event. */
const ADDRESS_BITS = 52;

/**
 * Events of the trace's own threads and devices; a thread that the trace does not number goes by its name.
 */
function ownEvents(all: readonly IommuEvent[], { tasks, kernel }: KeptJournal) {
  const devices = new Set(kernel.machine.devices.map(({ bdf }) => bdf));
  const names = new Set(all.filter(({ tid }) => tasks.has(tid)).map(({ task }) => task));
  const first = all.findIndex(({ tid }) => tasks.has(tid));
  const others: Record<string, number> = {};
  const events = all.filter((event, at) => {
    // The header may leave out devices of a group.
    const isForeign = (event.kind === 'attach' || event.kind === 'fault') && !devices.has(event.bdf);
    // A thread that makes no call itself may still be the one that ends the process.
    const isOwn = tasks.has(event.tid) || (first >= 0 && at > first && names.has(event.task));
    if (isOwn && !isForeign) return true;
    const name = isOwn && isForeign ? event.bdf : event.task;
    others[name] = (others[name] ?? 0) + 1;
    return false;
  });
  return { events, others };
}

interface Tally {
  /** The event to go on with. */
  at: number;
  equal: number;
  untold: number;
  readonly differences: EventDifference[];
  /** Calls that caused the events that were as expected. */
  readonly causes: Map<IommuEvent, number>;
}

/** How many ops or events are skipped to find the place where both go on alike. */
const MOST_SKIPPED = 64;

/**
 * An area of the user may lie where doorbells are mapped as long as no device is attached. So maps of single
 * pages there are the kernel's only where the rest does not fit with them.
 */
function compareWithDoorbells(
  kept: KeptJournal,
  events: readonly IommuEvent[],
): { readonly tally: Tally; readonly doorbells: number } {
  const all = compareSequence(kept, events);
  const isDoorbell = doorbellsOf(kept.kernel);
  const cpuPages = kept.kernel.profile.pageBytes / 4096;
  const rest = events.filter(
    (event) => !(event.kind === 'map' && event.count === cpuPages && isDoorbell(event.page)),
  );
  if (all.differences.length === 0 || rest.length === events.length) return { tally: all, doorbells: 0 };
  const without = compareSequence(kept, rest);
  return without.differences.length < all.differences.length
    ? { tally: without, doorbells: events.length - rest.length }
    : { tally: all, doorbells: 0 };
}

function compareSequence({ ops, exitAt, kernel }: KeptJournal, events: readonly IommuEvent[]): Tally {
  const tally: Tally = { at: 0, equal: 0, untold: 0, differences: [], causes: new Map() };
  const around: Surroundings = {
    events,
    cpuPages: kernel.profile.pageBytes / 4096,
    bdfOf: (device) => kernel.machine.devices[device]?.bdf ?? '',
  };
  compareInOrder(around, ops.slice(0, exitAt), tally);
  const left = compareInAnyOrder(around, ops.slice(exitAt), tally);
  // A recording may have ended before the processes did.
  if (tally.at < events.length) compareInOrder(around, left, tally);
  for (const event of events.slice(tally.at))
    tally.differences.push({ what: 'extra', seq: null, expected: null, event });
  return tally;
}

function compareInOrder(around: Surroundings, ops: readonly JournalOp[], tally: Tally): void {
  ops.forEach((op, place) => {
    if (op.op === 'split') inherit(op.from, op.to);
    else if (!take(around, op, tally)) resync(around, ops.slice(place, place + MOST_SKIPPED), tally);
  });
}

/**
 * Files of a process that ends are closed in an order that also depends on who else held them, of which a
 * trace does not tell all. Gives back what was not found.
 */
function compareInAnyOrder(around: Surroundings, ops: readonly JournalOp[], tally: Tally): JournalOp[] {
  const left = [...ops];
  for (;;) {
    const place = left.findIndex((op) => op.op !== 'split' && take(around, op, tally));
    if (place < 0) return left;
    left.splice(place, 1);
  }
}

/** Goes on behind the events of an op if they are as expected. */
function take(around: Surroundings, op: MatchedOp, tally: Tally, at = tally.at): boolean {
  const match = matchOp(around, op, at);
  if (match.failed !== null) return false;
  tally.equal += match.next - at;
  tally.untold += match.untold;
  tally.at = match.next;
  const last = around.events[match.next - 1];
  if (match.next > at && last !== undefined && op.seq !== AT_EXIT) tally.causes.set(last, op.seq);
  if (op.op === 'map' && match.told !== null) op.fill.pages.told = match.told;
  return true;
}

/** Tells what is wrong with the first op, and where to go on. */
function resync(around: Surroundings, ops: readonly JournalOp[], tally: Tally): void {
  const { events } = around;
  const { at } = tally;
  const op = ops[0] as MatchedOp;
  const seq = op.seq === AT_EXIT ? null : op.seq;
  const { next, failed } = matchOp(around, op, at);
  const event = events[next] ?? null;
  if (failed !== null && event !== null && isSamePlace(failed, event)) {
    tally.equal += next - at;
    tally.at = next + 1;
    tally.differences.push({ what: 'event', seq, expected: failed, event });
    // The rest of the area stands or falls with it.
    while (isPartOf(op, events[tally.at])) tally.at += 1;
    return;
  }
  for (let skip = 1; skip <= MOST_SKIPPED && at + skip < events.length; skip += 1) {
    if (take(around, op, tally, at + skip)) {
      for (const other of events.slice(at, at + skip))
        tally.differences.push({ what: 'extra', seq: null, expected: null, event: other });
      return;
    }
    const later = ops[skip];
    const goesOn = later !== undefined && later.op !== 'attempt' && later.op !== 'split';
    if (goesOn && matchOp(around, later, at).failed === null) break;
  }
  tally.equal += next - at;
  tally.at = next;
  tally.differences.push({ what: 'missing', seq, expected: failed, event: null });
}

function isPartOf(op: MatchedOp, event: IommuEvent | undefined): boolean {
  if ((op.op !== 'map' && op.op !== 'unmap') || event?.kind !== op.op) return false;
  return event.page >= op.fill.page && event.page < op.fill.page + op.fill.pageCount;
}

/** The event is the one that was expected, but for its size or its physical page. */
function isSamePlace(expected: ExpectedEvent, event: IommuEvent): boolean {
  return expected.kind === event.kind && 'page' in event && expected.page === event.page;
}

/** A part of an area that was cut keeps the frames of the whole. */
function inherit(from: Fill, to: Fill): void {
  const { told } = from.pages;
  if (told === null) return;
  const offset = to.page - from.page;
  const runs: FrameRun[] = [];
  for (const { first, count, frame } of told) {
    const start = Math.max(first, offset);
    const end = Math.min(first + count, offset + to.pageCount);
    if (start < end) runs.push({ first: start - offset, count: end - start, frame: frame + start - first });
  }
  to.pages.told = runs;
}
