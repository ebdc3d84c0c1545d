import type { PageRun } from '../../src/model/index.ts';
import type { Fill, HeldPages } from './fills.ts';
import type { PhysicalPages, PinnedPages } from './physical-pages.ts';

/**
 * Areas as they were put into domains, in columns: a replay makes one for every map and keeps it, so an
 * object for each would be what the collector of garbage is busy with. Rows are numbered as they come.
 */
export interface FillTable {
  count: number;
  page: Float64Array;
  pageCount: Float64Array;
  prot: Uint8Array;
  /** 1: `disable_large_pages`. */
  small: Uint8Array;
  source: Int32Array;
  firstIndex: Float64Array;
  /** Address space of the first page, and its page there. */
  mm: Int32Array;
  userPage: Float64Array;
  /** What is behind the first page, as far as it goes on in one piece. */
  object: Float64Array;
  objectPage: Float64Array;
  /** Pages that went out of the domains when the area did. */
  gone: Float64Array;
  /** Entries of the frame log between which the pages are pinned (PinnedPages). */
  pinnedFrom: Float64Array;
  pinnedUntil: Float64Array;
  /** The next row that shows the same iopt_pages, or NO_FILL. */
  nextSharer: Int32Array;
  /** All pieces of the memory behind a row, where there is more than one. */
  readonly pieces: Map<number, readonly PageRun[]>;
  /** What of a row others held when it went out of the domain that its pages are read back from. */
  readonly held: Map<number, readonly HeldPages[]>;
  /** Rows that were asked for as objects by somebody who writes on them (`told`); null where nobody does. */
  readonly made: Map<number, Fill> | null;
}

export const NO_FILL = -1;
const START = 64;

/** `keep`: a row is always given as the same object. */
export function createFillTable(keep: boolean): FillTable {
  return {
    count: 0,
    page: new Float64Array(START),
    pageCount: new Float64Array(START),
    prot: new Uint8Array(START),
    small: new Uint8Array(START),
    source: new Int32Array(START),
    firstIndex: new Float64Array(START),
    mm: new Int32Array(START),
    userPage: new Float64Array(START),
    object: new Float64Array(START),
    objectPage: new Float64Array(START),
    gone: new Float64Array(START),
    pinnedFrom: new Float64Array(START),
    pinnedUntil: new Float64Array(START),
    nextSharer: new Int32Array(START),
    pieces: new Map(),
    held: new Map(),
    made: keep ? new Map() : null,
  };
}

const COLUMNS = [
  'page',
  'pageCount',
  'firstIndex',
  'userPage',
  'object',
  'objectPage',
  'gone',
  'pinnedFrom',
  'pinnedUntil',
] as const;

/** Number of a new row, whose columns the caller fills. */
export function addRow(table: FillTable): number {
  const row = table.count;
  if (row === table.page.length) grow(table);
  table.count = row + 1;
  table.gone[row] = 0;
  table.pinnedUntil[row] = Number.POSITIVE_INFINITY;
  table.nextSharer[row] = NO_FILL;
  return row;
}

function grow(table: FillTable): void {
  const size = table.count * 2;
  for (const name of COLUMNS) {
    const wider = new Float64Array(size);
    wider.set(table[name]);
    table[name] = wider;
  }
  for (const name of ['source', 'mm', 'nextSharer'] as const) {
    const wider = new Int32Array(size);
    wider.set(table[name]);
    table[name] = wider;
  }
  for (const name of ['prot', 'small'] as const) {
    const wider = new Uint8Array(size);
    wider.set(table[name]);
    table[name] = wider;
  }
}

/** A row for those who read it later. */
export function fillOf(table: FillTable, physical: PhysicalPages, row: number): Fill {
  const known = table.made?.get(row);
  if (known !== undefined) return known;
  const fill: Fill = {
    row,
    page: table.page[row]!,
    pageCount: table.pageCount[row]!,
    prot: table.prot[row]!,
    small: table.small[row] === 1,
    source: table.source[row]!,
    firstIndex: table.firstIndex[row]!,
    mm: table.mm[row]!,
    userPage: table.userPage[row]!,
    pages: pinnedPages(table, physical, row),
  };
  table.made?.set(row, fill);
  return fill;
}

function pinnedPages(table: FillTable, physical: PhysicalPages, row: number): PinnedPages {
  const only = {
    index: 0,
    count: table.pageCount[row]!,
    object: table.object[row]!,
    page: table.objectPage[row]!,
  };
  return {
    runs: table.pieces.get(row) ?? [only],
    physical,
    pinnedFrom: table.pinnedFrom[row]!,
    // The pages may go while somebody has the object still.
    get pinnedUntil() {
      return table.pinnedUntil[row]!;
    },
    told: null,
  };
}
