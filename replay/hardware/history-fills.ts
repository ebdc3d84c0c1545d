import { type IovaSpace, type Kernel, onlyPageRun, pinnedPageRuns } from '../../src/model/index.ts';
import { addRow, type FillTable, fillOf, NO_FILL } from './fill-table.ts';
import type { HeldPages } from './fills.ts';
import type { History, SpaceHistory } from './history.ts';
import { note } from './journal.ts';
import { addStep, STEP, type StepKind } from './step-list.ts';
import { BATCH_RUNS, TYPE1_RUNS } from './unmap-ranges.ts';

/** Areas that go into the domains of their IOAS, and out of them: rows of the table of fills. */

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
): number {
  const { fills, physical, dropped } = history;
  const { areas } = space;
  const row = addRow(fills);
  const page = areas.startPage[slot]!;
  const pageCount = areas.lastPage[slot]! - page + 1;
  const source = areas.pages[slot]!;
  const firstIndex = areas.firstIndex[slot]!;
  fills.page[row] = page;
  fills.pageCount[row] = pageCount;
  fills.prot[row] = areas.prot[slot]!;
  fills.small[row] = small ? 1 : 0;
  fills.source[row] = source;
  fills.firstIndex[row] = firstIndex;
  const mm = kernel.pages.mm[source]!;
  fills.mm[row] = mm;
  fills.userPage[row] = kernel.pages.basePage[source]! + firstIndex;
  if (!history.owners.has(mm)) history.owners.set(mm, ownerOf(kernel, mm));
  fills.pinnedFrom[row] = isPartOfDropped(history, row) ? fills.pinnedFrom[dropped.row]! : physical.log.count;
  const only = onlyPageRun(kernel, source, firstIndex, pageCount);
  if (only !== null) {
    fills.object[row] = only.object;
    fills.objectPage[row] = only.page;
  } else fills.pieces.set(row, pinnedPageRuns(kernel, source, firstIndex, pageCount));
  return row;
}

/** Process with an address space; null for a file, and one that is gone. */
function ownerOf({ state }: Kernel, mm: number): number | null {
  const found = Object.entries(state.processes).find(([, process]) => process.mm === mm);
  return found === undefined ? null : Number(found[0]);
}

export function keepFill({ fills, bySource }: History, own: SpaceHistory, row: number): void {
  own.fills.set(fills.page[row]!, row);
  const source = fills.source[row]!;
  const before = bySource.get(source);
  if (before !== undefined) fills.nextSharer[row] = before;
  bySource.set(source, row);
}

/** The area is in no domain of its IOAS any more. */
export function forgetFill({ fills, bySource, physical }: History, own: SpaceHistory, row: number): void {
  own.fills.delete(fills.page[row]!);
  fills.pinnedUntil[row] = physical.log.count;
  const source = fills.source[row]!;
  const { nextSharer } = fills;
  const head = bySource.get(source);
  if (head === row) {
    const next = nextSharer[row]!;
    if (next === NO_FILL) bySource.delete(source);
    else bySource.set(source, next);
    return;
  }
  for (let at = head ?? NO_FILL; at !== NO_FILL; at = nextSharer[at]!) {
    if (nextSharer[at] !== row) continue;
    nextSharer[at] = nextSharer[row]!;
    return;
  }
}

/** `iopt_area_fill_domains`, `vfio_pin_map_dma`. */
export function addFill(history: History, own: SpaceHistory, row: number): void {
  const { fills, journal, dropped } = history;
  keepFill(history, own, row);
  const kind = fills.small[row] === 1 ? STEP.mapSmall : STEP.map;
  for (const key of own.domains) {
    const domain = history.domains.get(key);
    if (domain !== undefined) addStep(domain.steps, row, kind);
  }
  if (journal === null) return;
  if (isPartOfDropped(history, row)) {
    // The first part that comes back tells that nothing was unmapped.
    if (journal.ops[dropped.at]?.op === 'unmap') journal.ops.length = dropped.at;
    const { physical } = history;
    note(journal, {
      op: 'split',
      from: fillOf(fills, physical, dropped.row),
      to: fillOf(fills, physical, row),
    });
  } else noteMap(history, own, own.domains, row, fills.small[row] === 1);
}

export function noteMap(
  { journal, fills, physical }: History,
  { type1 }: SpaceHistory,
  domains: readonly number[],
  row: number,
  small: boolean,
): void {
  if (journal === null) return;
  const runsAtOnce = type1 ? TYPE1_RUNS : BATCH_RUNS;
  const fill = fillOf(fills, physical, row);
  const own = fill.small === small ? fill : { ...fill, small };
  note(journal, { op: 'map', domains: [...domains], fill: own, runsAtOnce });
}

/** The row is a part of the area that this call took away: it was cut in two, and nothing was unmapped. */
export function isPartOfDropped({ fills, dropped }: History, row: number): boolean {
  return dropped.row !== NO_FILL && row >= 0 && isPartOf(fills, row, dropped.row);
}

function isPartOf({ source, page, pageCount }: FillTable, part: number, whole: number): boolean {
  return (
    source[part] === source[whole] &&
    page[part]! >= page[whole]! &&
    page[part]! + pageCount[part]! <= page[whole]! + pageCount[whole]!
  );
}

/**
 * `iopt_area_unfill_domains`, `vfio_unmap_unpin`: the domain that the pages are read from comes last.
 * `pageCount`: pages of it that go.
 */
export function dropFill(
  history: History,
  kernel: Kernel,
  own: SpaceHistory,
  row: number,
  pageCount: number,
): void {
  const { fills, journal, dropped } = history;
  forgetFill(history, own, row);
  fills.gone[row] = pageCount;
  dropped.row = row;
  dropped.at = journal?.ops.length ?? 0;
  const { domains } = own;
  for (let at = 1; at < domains.length; at += 1) takeOut(history, domains[at]!, row, STEP.whole);
  const first = domains[0];
  if (first === undefined) return;
  if (own.type1) {
    takeOut(history, first, row, STEP.runs);
    return;
  }
  const held = heldByOthers(history, kernel, row);
  if (held.length > 0) fills.held.set(row, held);
  takeOut(history, first, row, STEP.batches);
}

function takeOut(history: History, key: number, row: number, kind: StepKind): void {
  const { domains, journal, fills, physical } = history;
  const domain = domains.get(key);
  if (domain !== undefined) addStep(domain.steps, row, kind);
  if (journal === null) return;
  const way = kind === STEP.whole ? 'whole' : kind === STEP.runs ? 'runs' : 'batches';
  const held = way === 'batches' ? (fills.held.get(row) ?? NOBODY) : NOBODY;
  const fill = fillOf(fills, physical, row);
  note(journal, { op: 'unmap', domain: key, fill, pageCount: fills.gone[row]!, way, held });
}

/** Rows that an IOAS has in its domains, by IOVA. */
export function fillsInOrder({ fills }: History, own: SpaceHistory): number[] {
  return [...own.fills.values()].sort((a, b) => fills.page[a]! - fills.page[b]!);
}

/** `iopt_unfill_domain`: a domain that leaves gives back all areas, as one that is the last does or not. */
export function emptyDomain(history: History, kernel: Kernel, own: SpaceHistory, key: number): void {
  const { journal, fills, physical } = history;
  const isLast = own.domains.length === 0;
  if (journal === null && !isLast) return;
  for (const row of fillsInOrder(history, own)) {
    if (isLast) forgetFill(history, own, row);
    if (journal === null) continue;
    const held = isLast ? heldByOthers(history, kernel, row) : NOBODY;
    const way = isLast ? 'batches' : 'whole';
    const fill = fillOf(fills, physical, row);
    note(journal, { op: 'unmap', domain: key, fill, pageCount: fill.pageCount, way, held });
  }
}

const NOBODY: readonly HeldPages[] = [];

/** `domains_itree` and `access_itree` of the pages: what areas in other domains and access objects hold. */
function heldByOthers({ fills, bySource }: History, kernel: Kernel, row: number): readonly HeldPages[] {
  const { accessNodes } = kernel.pages;
  const source = fills.source[row]!;
  const head = bySource.get(source);
  if (head === undefined && accessNodes.size === 0) return NOBODY;
  const held: [number, number][] = [];
  const base = fills.firstIndex[row]!;
  const end = fills.pageCount[row]! - 1;
  const add = (first: number, last: number): void => {
    const from = Math.max(0, first - base);
    const to = Math.min(end, last - base);
    if (from <= to) held.push([from, to]);
  };
  for (const { first, last } of accessNodes.get(source) ?? []) add(first, last);
  for (let at = head ?? NO_FILL; at !== NO_FILL; at = fills.nextSharer[at]!)
    add(fills.firstIndex[at]!, fills.firstIndex[at]! + fills.pageCount[at]! - 1);
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
