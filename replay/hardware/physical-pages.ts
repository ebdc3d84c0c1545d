import { type Kernel, type PageRun, userPageRuns } from '../../src/model/index.ts';
import type { MmapCall, Note } from '../../src/trace/index.ts';
import { addFrames, createFrameLog, type FrameLog, frameBetween, toldRanges } from './frame-log.ts';
import type { FrameRun } from './frame-run.ts';
import { UNKNOWN_FRAME } from './table-format.ts';

/**
 * Which physical pages are behind user memory: from the `pagemap` notes of a trace. A page keeps its frame
 * while it is pinned, so a note that comes after a map tells of that map too; one from before tells it only
 * where no later one does. The first note while the pages are pinned counts: they can not move, but their
 * address may be used anew.
 */

export interface PhysicalPages {
  readonly log: FrameLog;
  /** Mappings with MAP_HUGETLB, by object. */
  readonly huge: Map<number, HugePages>;
}

/** The pages that an area has pinned for its domains, from the moment the first of them was filled. */
export interface PinnedPages {
  /** Ascending by index; the first is that of the area's first page. */
  readonly runs: readonly PageRun[];
  readonly physical: PhysicalPages;
  /** Entries of the log between which they are pinned: the first, and the one behind the last. */
  readonly pinnedFrom: number;
  readonly pinnedUntil: number;
  /** What the kernel itself told of all of them when it mapped them; null where nothing did. */
  told: readonly FrameRun[] | null;
}

/** A mapping with MAP_HUGETLB: one frame tells those of its whole huge page. */
interface HugePages {
  /** Page of the object that the first huge page begins at. */
  readonly base: number;
  /** Pages of 4096 bytes in each. */
  readonly size: number;
  /** First frame of each that is known, by its index. */
  readonly frames: Map<number, number>;
}

export function createPhysicalPages(): PhysicalPages {
  return { log: createFrameLog(), huge: new Map() };
}

/** Frame of the page at an index; UNKNOWN_FRAME when no note told it. */
export function frameAt(pages: PinnedPages, index: number): number {
  const { runs, physical } = pages;
  const run = runs.length === 1 ? runs[0] : runs.findLast((each) => each.index <= index);
  if (run === undefined) return UNKNOWN_FRAME;
  const page = run.page + index - run.index;
  const frame = frameBetween(physical.log, run.object, page, pages.pinnedFrom, pages.pinnedUntil);
  return frame === UNKNOWN_FRAME && physical.huge.size > 0 ? hugeFrame(physical, run.object, page) : frame;
}

function hugeFrame({ huge }: PhysicalPages, object: number, page: number): number {
  const own = huge.get(object);
  const first = own?.frames.get(Math.floor((page - own.base) / own.size));
  return own === undefined || first === undefined ? UNKNOWN_FRAME : first + ((page - own.base) % own.size);
}

/** Whether a note tells frames at all. */
export function hasFrames(pages: PinnedPages): boolean {
  return framedRanges(pages).some(([first, end]) => {
    for (let index = first; index < end; index += 1) if (frameAt(pages, index) !== UNKNOWN_FRAME) return true;
    return false;
  });
}

/** Ranges of indexes (ends exclusive), ascending and apart, outside of which all frames are unknown. */
export function framedRanges({ runs, physical }: PinnedPages): [number, number][] {
  const found: [number, number][] = [];
  for (const { object, page, index, count } of runs) {
    const isHuge = (physical.huge.get(object)?.frames.size ?? 0) > 0;
    const own: [number, number][] = isHuge ? [[0, count]] : toldRanges(physical.log, object, page, count);
    for (const [first, end] of own) found.push([index + first, index + end]);
  }
  const ranges: [number, number][] = [];
  for (const [first, end] of found.sort(([a], [b]) => a - b)) {
    const before = ranges.at(-1);
    if (before !== undefined && first <= before[1]) before[1] = Math.max(before[1], end);
    else ranges.push([first, end]);
  }
  return ranges;
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
  const cpuPages = kernel.profile.pageBytes / 4096;
  const firstPage = Math.floor(Number(va) / 4096);
  if (!Number.isSafeInteger(firstPage)) return;
  for (const run of userPageRuns(kernel, process.mm, firstPage, pfns.length * cpuPages)) {
    noteRun(physical, run, pfns, cpuPages);
  }
}

/** Page frame numbers are in units of the CPU's page; the log's are of 4096 bytes. */
function noteRun(
  physical: PhysicalPages,
  { object, page, index, count }: PageRun,
  pfns: readonly unknown[],
  cpuPages: number,
): void {
  const huge = physical.huge.size === 0 ? undefined : physical.huge.get(object);
  let first = 0;
  let length = 0;
  let frame = 0;
  for (let at = 0; at < count; at += 1) {
    const pfn = cpuPages === 1 ? pfns[index + at] : pfns[Math.floor((index + at) / cpuPages)];
    const isKnown = typeof pfn === 'number' && pfn > 0;
    const next = isKnown ? pfn * cpuPages + ((index + at) % cpuPages) : 0;
    if (isKnown && huge !== undefined) noteHuge(huge, page + at, next);
    if (isKnown && length > 0 && next === frame + length) {
      length += 1;
      continue;
    }
    if (length > 0) addFrames(physical.log, object, page + first, length, frame);
    first = at;
    length = isKnown ? 1 : 0;
    frame = next;
  }
  if (length > 0) addFrames(physical.log, object, page + first, length, frame);
}

function noteHuge({ base, size, frames }: HugePages, page: number, frame: number): void {
  const inside = (page - base) % size;
  frames.set(Math.floor((page - base) / size), frame - inside);
}
