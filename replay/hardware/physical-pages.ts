import { type Kernel, type PageRun, userPageRuns } from '../../src/model/index.ts';
import type { Note } from '../../src/trace/index.ts';
import { copyFrames, type FrameMap, getFrame, setFrame } from './frame-map.ts';
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
  readonly before: FrameMap;
  readonly during: FrameMap;
}

export interface PhysicalPages {
  /** Last frames noted, by object and page of it. */
  readonly known: Map<number, FrameMap>;
  /** Pages that are pinned now, by object. */
  readonly pinned: Map<number, Set<PinnedPages>>;
}

export function createPhysicalPages(): PhysicalPages {
  return { known: new Map(), pinned: new Map() };
}

/** Pages are pinned: their frames stay. */
export function pinPages(physical: PhysicalPages, runs: readonly PageRun[]): PinnedPages {
  const pages: PinnedPages = { runs, before: new Map(), during: new Map() };
  for (const { object, page, index, count } of runs) {
    const known = physical.known.get(object);
    if (known !== undefined) copyFrames(known, page, count, pages.before, index);
    let pinned = physical.pinned.get(object);
    if (pinned === undefined) {
      pinned = new Set();
      physical.pinned.set(object, pinned);
    }
    pinned.add(pages);
  }
  return pages;
}

export function unpinPages(physical: PhysicalPages, pages: PinnedPages): void {
  for (const { object } of pages.runs) {
    const pinned = physical.pinned.get(object);
    pinned?.delete(pages);
    if (pinned?.size === 0) physical.pinned.delete(object);
  }
}

/** Frame of the page at an index; UNKNOWN_FRAME when no note told it. */
export function frameAt({ before, during }: PinnedPages, index: number): number {
  const frame = getFrame(during, index);
  return frame === UNKNOWN_FRAME ? getFrame(before, index) : frame;
}

/** Whether a note tells frames at all. */
export function hasFrames({ before, during }: PinnedPages): boolean {
  return before.size > 0 || during.size > 0;
}

/** Takes in a `pagemap` note: `va` and the frames `pfns` of the pages from there on, 0 where there is none. */
export function takeNote(physical: PhysicalPages, kernel: Kernel, { pid, fields }: Note): void {
  const { va, pfns } = fields;
  const process = kernel.state.processes[pid] ?? kernel.state.processes[kernel.lastPid];
  if (typeof va !== 'string' || !Array.isArray(pfns) || process === undefined) return;
  const firstPage = Number(BigInt(va) >> 12n);
  for (const run of userPageRuns(kernel, process.mm, firstPage, pfns.length)) noteRun(physical, run, pfns);
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
  }
  for (const pages of physical.pinned.get(run.object) ?? []) notePinned(pages, run, pfns);
}

/** The first note while the pages are pinned counts: they can not move, but their address may be used anew. */
function notePinned({ runs, during }: PinnedPages, run: PageRun, pfns: readonly unknown[]): void {
  for (const { object, page, index, count } of runs) {
    if (object !== run.object) continue;
    const first = Math.max(page, run.page);
    const end = Math.min(page + count, run.page + run.count);
    for (let at = first; at < end; at += 1) {
      const frame = pfns[run.index + at - run.page];
      const place = index + at - page;
      if (typeof frame !== 'number' || frame <= 0 || getFrame(during, place) !== UNKNOWN_FRAME) continue;
      setFrame(during, place, frame);
    }
  }
}
