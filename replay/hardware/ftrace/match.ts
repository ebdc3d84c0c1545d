import { mappedAtOnce } from '../apply-steps.ts';
import { runsOf } from '../contiguous-runs.ts';
import type { Fill } from '../fills.ts';
import type { FrameRun } from '../frame-run.ts';
import type { JournalOp } from '../journal.ts';
import { UNKNOWN_FRAME } from '../table-format.ts';
import { unmappedAtOnce } from '../unmap-ranges.ts';
import type { IommuEvent } from './parse.ts';

/** Whether events of the kernel are what one op of the journal causes. */

export type MatchedOp = Exclude<JournalOp, { readonly op: 'split' }>;

/** What was expected in place of an event. */
export interface ExpectedEvent {
  readonly kind: IommuEvent['kind'];
  /** Null where nothing tells it. */
  readonly page: number | null;
  readonly count: number | null;
  readonly frame: number | null;
  readonly bdf: string | null;
}

export interface Match {
  /** Index of the first event that is not of the op. */
  readonly next: number;
  /** What the event at `next` should have been; null when all are as expected. */
  readonly failed: ExpectedEvent | null;
  /** Runs of the fill as its map events told them; null when they told nothing new. */
  readonly told: readonly FrameRun[] | null;
  /** Maps whose physical page the trace itself does not tell. */
  readonly untold: number;
}

export interface Surroundings {
  readonly events: readonly IommuEvent[];
  /** 4096-byte pages in one of the CPU. */
  readonly cpuPages: number;
  bdfOf(device: number): string;
}

export function matchOp(around: Surroundings, op: MatchedOp, at: number): Match {
  switch (op.op) {
    case 'map':
      return matchMap(around, op, at);
    case 'unmap':
      return matchUnmap(around, op, at);
    case 'probe':
      return matchProbe(around, op.page, at);
    case 'attempt':
      return matchAttempt(around, op, at);
    case 'attach': {
      const all = Array.from({ length: op.times }, () => op.devices.map((each) => around.bdfOf(each))).flat();
      const wrong = all.findIndex((bdf, place) => {
        const event = around.events[at + place];
        return event?.kind !== 'attach' || event.bdf !== bdf;
      });
      if (wrong < 0) return matched(at + all.length);
      return { ...matched(at + wrong), failed: { ...NOTHING, kind: 'attach', bdf: all[wrong]! } };
    }
  }
}

const NOTHING = { page: null, count: null, frame: null, bdf: null } as const;

function matched(next: number): Match {
  return { next, failed: null, told: null, untold: 0 };
}

/** An area goes in run by run; what its pages are not known to be, the events tell. */
function matchMap(
  { events, cpuPages }: Surroundings,
  { fill, domains, runsAtOnce }: Extract<JournalOp, { op: 'map' }>,
  at: number,
): Match {
  const { page, pageCount, pages } = fill;
  const known = mappedAtOnce(fill, cpuPages);
  const told: { first: number; count: number; frame: number }[] = [];
  let next = at;
  let untold = 0;
  const fail = (first: number): Match => {
    const own = known[runIndex(known, first)];
    const isKnown = own !== undefined && own.first === first && own.frame !== UNKNOWN_FRAME;
    const count = isKnown ? own.count : null;
    const frame = isKnown ? own.frame : null;
    return { next, failed: { kind: 'map', page: page + first, count, frame, bdf: null }, told: null, untold };
  };
  for (let done = 0; done < pageCount; ) {
    const batchAt = next;
    let runs = 0;
    while (done < pageCount) {
      const event = events[next];
      const last = told.at(-1);
      const isEvent = event?.kind === 'map' && event.page === page + done;
      const follows = isEvent && last !== undefined && last.frame + last.count === event.frame;
      if (runs >= runsAtOnce && !follows) break;
      if (!isEvent || done + event.count > pageCount || !isLike(known, done, event)) return fail(done);
      // Contiguous pages are mapped at once, unless each page is mapped on its own.
      if (fill.small ? event.count !== Math.min(cpuPages, pageCount - done) : follows) return fail(done);
      if (known[runIndex(known, done)]!.frame === UNKNOWN_FRAME) untold += 1;
      if (follows) last.count += event.count;
      else {
        told.push({ first: done, count: event.count, frame: event.frame });
        runs += 1;
      }
      done += event.count;
      next += 1;
    }
    const length = next - batchAt;
    for (let other = 1; other < domains.length; other += 1) {
      for (let each = 0; each < length; each += 1, next += 1) {
        const model = events[batchAt + each]!;
        const event = events[next];
        if (model.kind !== 'map') throw new Error('a batch of maps holds something else');
        const isSame =
          event?.kind === 'map' &&
          event.page === model.page &&
          event.count === model.count &&
          event.frame === model.frame;
        if (!isSame) return { ...fail(0), failed: { ...model, bdf: null } };
      }
    }
  }
  return { next, failed: null, told: pages.told === null ? told : null, untold };
}

/** Whether pages `first` on have the frames of the event, as far as they are known. */
function isLike(known: readonly FrameRun[], first: number, event: { count: number; frame: number }): boolean {
  const end = first + event.count;
  for (let run = runIndex(known, first); run < known.length && known[run]!.first < end; run += 1) {
    const { first: start, count, frame } = known[run]!;
    if (frame === UNKNOWN_FRAME) continue;
    if (start + count > end && event.count < count) return false;
    if (frame - start !== event.frame - first) return false;
  }
  return true;
}

function runIndex(runs: readonly FrameRun[], page: number): number {
  let low = 0;
  let high = runs.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (runs[middle]!.first <= page) low = middle;
    else high = middle - 1;
  }
  return low;
}

function matchUnmap({ events }: Surroundings, op: Extract<JournalOp, { op: 'unmap' }>, at: number): Match {
  const { fill, pageCount } = op;
  const spans = isCutKnown(op) ? unmappedAtOnce(op) : null;
  let next = at;
  let place = 0;
  for (let done = 0; done < pageCount; next += 1, place += 1) {
    const event = events[next];
    const count = spans === null ? null : spans[place]!.count;
    const isLike =
      event?.kind === 'unmap' &&
      event.page === fill.page + done &&
      event.unmapped === event.count &&
      (count === null ? done + event.count <= pageCount : event.count === count);
    if (!isLike) {
      const failed: ExpectedEvent = { ...NOTHING, kind: 'unmap', page: fill.page + done, count };
      return { ...matched(next), failed };
    }
    done += event.count;
  }
  return matched(next);
}

/** Where the area is cut depends on frames, unless it goes as a whole. */
function isCutKnown(op: Extract<JournalOp, { op: 'unmap' }>): boolean {
  if (op.way === 'whole' || areFramesKnown(op.fill, op.pageCount)) return true;
  return op.way === 'batches' && op.held.length === 0 && op.pageCount <= MOST_RUNS_OF_A_BATCH;
}

const MOST_RUNS_OF_A_BATCH = 5461;

function areFramesKnown({ pages }: Fill, pageCount: number): boolean {
  return runsOf(pages, pageCount).every(({ frame }) => frame !== UNKNOWN_FRAME);
}

/** Two pages are mapped, then one is unmapped, and the other where the driver took away only the first. */
function matchProbe({ events, cpuPages }: Surroundings, page: number, at: number): Match {
  const map = events[at];
  if (map?.kind !== 'map' || map.page !== page || map.count !== 2 * cpuPages)
    return { ...matched(at), failed: { ...NOTHING, kind: 'map', page, count: 2 * cpuPages } };
  const first = events[at + 1];
  if (first?.kind !== 'unmap' || first.page !== page || first.count !== cpuPages)
    return { ...matched(at + 1), failed: { ...NOTHING, kind: 'unmap', page, count: cpuPages } };
  if (first.unmapped !== cpuPages) return matched(at + 2);
  const second = events[at + 2];
  if (second?.kind !== 'unmap' || second.page !== page + cpuPages || second.count !== cpuPages) {
    const failed: ExpectedEvent = { ...NOTHING, kind: 'unmap', page: page + cpuPages, count: cpuPages };
    return { ...matched(at + 2), failed };
  }
  return matched(at + 3);
}

/**
 * Whatever was mapped is unmapped again, nothing else; it may have been nothing. What the driver refuses is
 * an event of no pages (since 6.19 a map too, until then only the unmap).
 */
function matchAttempt(around: Surroundings, op: Extract<JournalOp, { op: 'attempt' }>, at: number): Match {
  const start = at + attachesAt(around, op.devices, at);
  const end = undoneUntil(around, op, start);
  if (start === at) return matched(end);
  // There, and back again.
  const back = attachesAt(around, op.devices, end);
  return matched(back > 0 ? end + back : at);
}

/** How many events move just these devices; 0 when the first one does not. */
function attachesAt({ events, bdfOf }: Surroundings, devices: readonly number[], at: number): number {
  const areMoved = devices.every((device, place) => {
    const event = events[at + place];
    return event?.kind === 'attach' && event.bdf === bdfOf(device);
  });
  return areMoved ? devices.length : 0;
}

/** Index behind the last event after which nothing is left mapped of what these events mapped. */
function undoneUntil(
  { events }: Surroundings,
  { page, pageCount }: Extract<JournalOp, { op: 'attempt' }>,
  at: number,
): number {
  const mapped: { page: number; count: number }[] = [];
  const isInside = (first: number): boolean =>
    page === null || pageCount === null || (first >= page && first < page + pageCount);
  let total = 0;
  let end = at;
  for (let next = at; ; next += 1) {
    const event = events[next];
    if ((event?.kind !== 'map' && event?.kind !== 'unmap') || !isInside(event.page)) return end;
    if (event.kind === 'map') {
      total += event.count;
      if (pageCount !== null && total > pageCount) return end;
      if (event.count > 0) mapped.push({ page: event.page, count: event.count });
    } else if (event.unmapped !== event.count || !takeAway(mapped, event)) return end;
    if (mapped.length === 0) end = next + 1;
  }
}

/** Takes a range out of those that were mapped, from its first page on; false when it is not all in them. */
function takeAway(mapped: { page: number; count: number }[], { page, count }: FrameSpan): boolean {
  for (let left = count, first = page; left > 0; ) {
    const index = mapped.findIndex((range) => range.page === first);
    const range = mapped[index];
    if (range === undefined) return false;
    const taken = Math.min(left, range.count);
    left -= taken;
    first += taken;
    if (taken === range.count) mapped.splice(index, 1);
    else mapped[index] = { page: first, count: range.count - taken };
  }
  return true;
}

type FrameSpan = { readonly page: number; readonly count: number };
