import { type Kernel, type PageRun, userPageRuns } from '../../src/model/index.ts';
import type { MmapCall, Note } from '../../src/trace/index.ts';
import {
  copyFrames,
  type FrameMap,
  type FrameRun,
  getFrame,
  type ReadonlyFrameMap,
  setFrame,
} from './frame-map.ts';
import { UNKNOWN_FRAME } from './table-format.ts';

/**
 * Which physical pages are behind user memory: from the `pagemap` notes of a trace. A page keeps its frame
 * while it is pinned, so a note that comes after a map tells of that map too; one from before tells it only
 * where no later one does.
 */

/** The pages that an area has pinned for its domains, from the moment the first of them was filled. */
export interface PinnedPages {
  readonly runs: readonly PageRun[];
  /** By index from the first page: as noted before the pages were pinned, and while they were. */
  before: ReadonlyFrameMap;
  during: ReadonlyFrameMap;
  /** Of the runs that lie in huge pages, by place in `runs`. */
  readonly huge: ReadonlyMap<number, HugePages>;
  /** What the kernel itself told of all of them when it mapped them; null where nothing did. */
  told: readonly FrameRun[] | null;
}

/** A mapping with MAP_HUGETLB: one frame tells those of its whole huge page. */
export interface HugePages {
  /** Page of the object that the first huge page begins at. */
  readonly base: number;
  /** Pages of 4096 bytes in each. */
  readonly size: number;
  /** First frame of each that is known, by its index. */
  readonly frames: Map<number, number>;
}

/** What of an object is pinned, so that a note finds those that it concerns. */
interface PinnedOfObject {
  /** By the stretches of STRETCH_PAGES that they lie in. */
  readonly near: Map<number, Set<PinnedPages>>;
  /** Those that lie in many. */
  readonly large: Set<PinnedPages>;
}

const STRETCH_PAGES = 512;
/** Pages of more than so many stretches are asked for every note of their object. */
const MOST_STRETCHES = 16;

export interface PhysicalPages {
  /** Last frames noted, by object and page of it. */
  readonly known: Map<number, FrameMap>;
  /** Pages that are pinned now, by object. */
  readonly pinned: Map<number, PinnedOfObject>;
  /** By object. */
  readonly huge: Map<number, HugePages>;
}

export function createPhysicalPages(): PhysicalPages {
  return { known: new Map(), pinned: new Map(), huge: new Map() };
}

/** Pages are pinned: their frames stay. */
export function pinPages(physical: PhysicalPages, runs: readonly PageRun[]): PinnedPages {
  const huge = physical.huge.size === 0 ? NO_HUGE : hugeOf(physical, runs);
  const pages: PinnedPages = { runs, before: NO_FRAMES, during: NO_FRAMES, huge, told: null };
  for (const { object, page, index, count } of runs) {
    const known = physical.known.get(object);
    if (known !== undefined) {
      const before: FrameMap = new Map(pages.before);
      copyFrames(known, page, count, before, index);
      if (before.size > 0) pages.before = before;
    }
    let pinned = physical.pinned.get(object);
    if (pinned === undefined) {
      pinned = { near: new Map(), large: new Set() };
      physical.pinned.set(object, pinned);
    }
    addPinned(pinned, pages, page, count);
  }
  return pages;
}

const stretchOf = (page: number): number => Math.floor(page / STRETCH_PAGES);

function isLarge(page: number, count: number): boolean {
  return stretchOf(page + count - 1) - stretchOf(page) >= MOST_STRETCHES;
}

function addPinned({ near, large }: PinnedOfObject, pages: PinnedPages, page: number, count: number): void {
  if (isLarge(page, count)) {
    large.add(pages);
    return;
  }
  for (let stretch = stretchOf(page); stretch <= stretchOf(page + count - 1); stretch += 1) {
    const there = near.get(stretch);
    if (there === undefined) near.set(stretch, new Set([pages]));
    else there.add(pages);
  }
}

function dropPinned({ near, large }: PinnedOfObject, pages: PinnedPages, page: number, count: number): void {
  if (isLarge(page, count)) {
    large.delete(pages);
    return;
  }
  for (let stretch = stretchOf(page); stretch <= stretchOf(page + count - 1); stretch += 1) {
    const there = near.get(stretch);
    there?.delete(pages);
    if (there?.size === 0) near.delete(stretch);
  }
}

/** Shared by all that nothing is known of: most areas of most traces. */
const NO_FRAMES: ReadonlyFrameMap = new Map();
const NO_HUGE: ReadonlyMap<number, HugePages> = new Map();

function hugeOf(physical: PhysicalPages, runs: readonly PageRun[]): ReadonlyMap<number, HugePages> {
  const huge = new Map<number, HugePages>();
  runs.forEach(({ object }, place) => {
    const own = physical.huge.get(object);
    if (own !== undefined) huge.set(place, own);
  });
  return huge;
}

export function unpinPages(physical: PhysicalPages, pages: PinnedPages): void {
  for (const { object, page, count } of pages.runs) {
    const pinned = physical.pinned.get(object);
    if (pinned === undefined) continue;
    dropPinned(pinned, pages, page, count);
    if (pinned.near.size === 0 && pinned.large.size === 0) physical.pinned.delete(object);
  }
}

/** Frame of the page at an index; UNKNOWN_FRAME when no note told it. */
export function frameAt(pages: PinnedPages, index: number): number {
  let frame = getFrame(pages.during, index);
  if (frame === UNKNOWN_FRAME) frame = getFrame(pages.before, index);
  return frame === UNKNOWN_FRAME && pages.huge.size > 0 ? hugeFrameAt(pages, index) : frame;
}

function hugeFrameAt({ runs, huge }: PinnedPages, index: number): number {
  const place = runs.findLastIndex((run) => run.index <= index);
  const own = huge.get(place);
  if (own === undefined) return UNKNOWN_FRAME;
  const page = runs[place]!.page + index - runs[place]!.index - own.base;
  const first = own.frames.get(Math.floor(page / own.size));
  return first === undefined ? UNKNOWN_FRAME : first + (page % own.size);
}

/** Whether a note tells frames at all. */
export function hasFrames({ before, during, huge }: PinnedPages): boolean {
  if (before.size > 0 || during.size > 0) return true;
  for (const { frames } of huge.values()) if (frames.size > 0) return true;
  return false;
}

const MAP_HUGETLB = 0x40000n;
const HUGE_SHIFT_AT = 26n;

/** Takes in an mmap with MAP_HUGETLB; the size of its pages is in the flags, or the usual one. */
export function takeHugeMapping(physical: PhysicalPages, kernel: Kernel, call: MmapCall): void {
  const { mapped, flags, len, pid } = call;
  const process = kernel.state.processes[pid];
  if (mapped === null || (flags & MAP_HUGETLB) === 0n || process === undefined) return;
  const stated = Number((flags >> HUGE_SHIFT_AT) & 63n);
  // A table of the CPU's last level spans one huge page.
  const size = stated === 0 ? kernel.profile.pageBytes ** 2 / 8 / 4096 : 2 ** (stated - 12);
  const count = Math.ceil(Number(len) / 4096);
  for (const { object, page } of userPageRuns(kernel, process.mm, Number(mapped >> 12n), count)) {
    physical.huge.set(object, { base: page, size, frames: new Map() });
  }
}

/**
 * Takes in a `pagemap` note: `va` and the frames `pfns` of the pages from there on, 0 where there is none.
 */
export function takeNote(physical: PhysicalPages, kernel: Kernel, { pid, fields }: Note): void {
  const { va, pfns } = fields;
  const process = kernel.state.processes[pid] ?? kernel.state.processes[kernel.lastPid];
  if (typeof va !== 'string' || !Array.isArray(pfns) || process === undefined) return;
  const firstPage = Number(BigInt(va) >> 12n);
  const frames = framesOf(pfns, kernel.profile.pageBytes / 4096);
  for (const run of userPageRuns(kernel, process.mm, firstPage, frames.length))
    noteRun(physical, run, frames);
}

/** Page frame numbers are in units of the CPU's page: frames of 4096 bytes instead. */
function framesOf(pfns: readonly unknown[], cpuPages: number): readonly unknown[] {
  if (cpuPages === 1) return pfns;
  return pfns.flatMap((pfn) =>
    Array.from({ length: cpuPages }, (_, at) =>
      typeof pfn === 'number' && pfn > 0 ? pfn * cpuPages + at : 0,
    ),
  );
}

function noteRun(physical: PhysicalPages, run: PageRun, pfns: readonly unknown[]): void {
  let known = physical.known.get(run.object);
  if (known === undefined) {
    known = new Map();
    physical.known.set(run.object, known);
  }
  for (let at = 0; at < run.count; at += 1) {
    const frame = pfns[run.index + at];
    if (typeof frame !== 'number' || frame <= 0) continue;
    setFrame(known, run.page + at, frame);
    noteHuge(physical, run.object, run.page + at, frame);
  }
  const pinned = physical.pinned.get(run.object);
  if (pinned === undefined) return;
  for (const pages of pinned.large) notePinned(pages, run, pfns);
  const last = stretchOf(run.page + run.count - 1);
  for (let stretch = stretchOf(run.page); stretch <= last; stretch += 1) {
    // Who lies in two stretches is told twice, which changes nothing.
    for (const pages of pinned.near.get(stretch) ?? []) notePinned(pages, run, pfns);
  }
}

function noteHuge({ huge }: PhysicalPages, object: number, page: number, frame: number): void {
  const own = huge.get(object);
  if (own === undefined) return;
  const inside = (page - own.base) % own.size;
  own.frames.set(Math.floor((page - own.base) / own.size), frame - inside);
}

/**
 * The first note while the pages are pinned counts: they can not move, but their address may be used anew.
 */
function notePinned(pages: PinnedPages, run: PageRun, pfns: readonly unknown[]): void {
  const { runs } = pages;
  for (const { object, page, index, count } of runs) {
    if (object !== run.object) continue;
    const first = Math.max(page, run.page);
    const end = Math.min(page + count, run.page + run.count);
    for (let at = first; at < end; at += 1) {
      const frame = pfns[run.index + at - run.page];
      const place = index + at - page;
      if (typeof frame !== 'number' || frame <= 0) continue;
      if (getFrame(pages.during, place) !== UNKNOWN_FRAME) continue;
      if (pages.during.size === 0) pages.during = new Map();
      setFrame(pages.during as FrameMap, place, frame);
    }
  }
}
