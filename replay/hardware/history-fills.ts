import { type IovaSpace, type Kernel, pinnedPageRuns } from '../../src/model/index.ts';
import type { Fill, HeldPages, UnmapWay } from './fills.ts';
import type { History, SpaceHistory } from './history.ts';
import { note } from './journal.ts';
import { pinPages, unpinPages } from './physical-pages.ts';
import { BATCH_RUNS, TYPE1_RUNS } from './unmap-ranges.ts';

/** Areas that go into the domains of their IOAS, and out of them. */

export function areaPages({ areas }: IovaSpace, slot: number): { page: number; pageCount: number } {
  const page = areas.startPage[slot]!;
  return { page, pageCount: areas.lastPage[slot]! - page + 1 };
}

export function slotsOf({ areas }: IovaSpace): number[] {
  return areas.chunks.flatMap((chunk) => [...chunk.slot.subarray(0, chunk.count)]);
}

/** `small`: the IOAS maps one page of the CPU at a time. */
export function newFill(
  history: History,
  kernel: Kernel,
  space: IovaSpace,
  slot: number,
  small: boolean,
): Fill {
  const { page, pageCount } = areaPages(space, slot);
  const { areas } = space;
  const source = areas.pages[slot]!;
  const firstIndex = areas.firstIndex[slot]!;
  const runs = pinnedPageRuns(kernel, source, firstIndex, pageCount);
  const prot = areas.prot[slot]!;
  return { page, pageCount, prot, pages: pinPages(history.physical, runs), small, source, firstIndex };
}

export function keepFill({ bySource }: History, own: SpaceHistory, fill: Fill): void {
  own.fills.set(fill.page, fill);
  const sharers = bySource.get(fill.source);
  if (sharers === undefined) bySource.set(fill.source, fill);
  else bySource.set(fill.source, Array.isArray(sharers) ? [...sharers, fill] : [sharers, fill]);
}

/** The area is in no domain of its IOAS any more. */
export function forgetFill({ bySource, physical }: History, own: SpaceHistory, fill: Fill): void {
  own.fills.delete(fill.page);
  unpinPages(physical, fill.pages);
  const sharers = bySource.get(fill.source);
  const left = Array.isArray(sharers) ? sharers.filter((other) => other !== fill) : [];
  if (left.length > 0) bySource.set(fill.source, left);
  else bySource.delete(fill.source);
}

/** `iopt_area_fill_domains`, `vfio_pin_map_dma`. */
export function addFill(history: History, own: SpaceHistory, fill: Fill): void {
  const { journal, dropped } = history;
  keepFill(history, own, fill);
  for (const key of own.domains) history.domains.get(key)?.steps.push({ step: 'map', fill });
  if (journal === null) return;
  if (dropped !== null && isPartOf(fill, dropped.fill)) {
    // The first part that comes back tells that nothing was unmapped.
    if (journal.ops[dropped.at]?.op === 'unmap') journal.ops.length = dropped.at;
    note(journal, { op: 'split', from: dropped.fill, to: fill });
  } else noteMap(history, own, own.domains, fill);
}

export function noteMap(
  { journal }: History,
  { type1 }: SpaceHistory,
  domains: readonly number[],
  fill: Fill,
): void {
  const runsAtOnce = type1 ? TYPE1_RUNS : BATCH_RUNS;
  if (journal !== null) note(journal, { op: 'map', domains: [...domains], fill, runsAtOnce });
}

function isPartOf(part: Fill, whole: Fill): boolean {
  return (
    part.source === whole.source &&
    part.page >= whole.page &&
    part.page + part.pageCount <= whole.page + whole.pageCount
  );
}

/** `iopt_area_unfill_domains`, `vfio_unmap_unpin`: the domain that the pages are read from comes last. */
export function dropFill(
  history: History,
  kernel: Kernel,
  own: SpaceHistory,
  fill: Fill,
  pageCount: number,
): void {
  forgetFill(history, own, fill);
  if (history.journal !== null) history.dropped = { fill, at: history.journal.ops.length };
  const { domains } = own;
  for (let at = 1; at < domains.length; at += 1)
    takeOut(history, domains[at]!, fill, pageCount, 'whole', NOBODY);
  const first = domains[0];
  if (first === undefined) return;
  if (own.type1) takeOut(history, first, fill, pageCount, 'runs', NOBODY);
  else takeOut(history, first, fill, pageCount, 'batches', heldByOthers(history, kernel, fill));
}

function takeOut(
  { domains, journal }: History,
  domain: number,
  fill: Fill,
  pageCount: number,
  way: UnmapWay,
  held: readonly HeldPages[],
): void {
  domains.get(domain)?.steps.push({ step: 'unmap', fill, pageCount, way, held });
  if (journal !== null) note(journal, { op: 'unmap', domain, fill, pageCount, way, held });
}

/** `iopt_unfill_domain`: a domain that leaves gives back all areas, as one that is the last does or not. */
export function emptyDomain(history: History, kernel: Kernel, own: SpaceHistory, key: number): void {
  const { journal } = history;
  const isLast = own.domains.length === 0;
  const inOrder = journal === null && !isLast ? [] : [...own.fills.values()].sort((a, b) => a.page - b.page);
  for (const fill of inOrder) {
    if (isLast) forgetFill(history, own, fill);
    if (journal === null) continue;
    const held = isLast ? heldByOthers(history, kernel, fill) : NOBODY;
    const way = isLast ? 'batches' : 'whole';
    note(journal, { op: 'unmap', domain: key, fill, pageCount: fill.pageCount, way, held });
  }
}

const NOBODY: readonly HeldPages[] = [];

/** `domains_itree` and `access_itree` of the pages: what areas in other domains and access objects hold. */
function heldByOthers(history: History, kernel: Kernel, fill: Fill): readonly HeldPages[] {
  const { accessNodes } = kernel.pages;
  const { source, firstIndex, pageCount } = fill;
  const sharers = history.bySource.get(source);
  if (sharers === undefined && accessNodes.size === 0) return NOBODY;
  const held: [number, number][] = [];
  const add = (first: number, last: number): void => {
    const from = Math.max(0, first - firstIndex);
    const to = Math.min(pageCount - 1, last - firstIndex);
    if (from <= to) held.push([from, to]);
  };
  for (const { first, last } of accessNodes.get(source) ?? []) add(first, last);
  for (const other of sharers === undefined ? [] : Array.isArray(sharers) ? sharers : [sharers])
    add(other.firstIndex, other.firstIndex + other.pageCount - 1);
  return merged(held);
}

function merged(ranges: [number, number][]): HeldPages[] {
  const result: [number, number][] = [];
  for (const [first, last] of ranges.sort(([a], [b]) => a - b)) {
    const before = result.at(-1);
    if (before !== undefined && first <= before[1] + 1) before[1] = Math.max(before[1], last);
    else result.push([first, last]);
  }
  return result;
}
