import {
  addNumbers,
  createIntervals,
  hasNumber,
  type Intervals,
  numberFrom,
  removeNumbers,
} from './intervals.ts';
import { placeLeaves } from './leaf-sizes.ts';
import {
  addSegment,
  createSegments,
  cutSegments,
  type Segment,
  type SegmentList,
  segmentFrom,
} from './segments.ts';
import { type Access, READ, type TableFormat, UNKNOWN_FRAME, type Word, WRITE } from './table-format.ts';

/**
 * A page table of any format, as runs of leaves and intervals of tables: a map costs what it touches of
 * these, not its size, and entries are made when somebody looks.
 *
 * A table once made stays when its last leaf goes; it goes when one unmap covers all that it spans, or when a
 * leaf takes its place (iommu_pt.h __unmap_range and clear_contig; 6.12: intel/iommu.c dma_pte_clear_level
 * and switch_to_super_page). So what there is depends on the order of maps and unmaps.
 */

/** One entry of a table, made when somebody looks. */
export interface TableEntry {
  /** Level of the table that it stands in; 1 is the last. */
  readonly level: number;
  readonly index: number;
  /** First IOVA page that it translates. */
  readonly page: number;
  readonly kind: 'table' | 'leaf';
  readonly word: Word;
  /** Of a leaf: its whole size in bytes as a power of two, and the frame of this entry's own slot. */
  readonly shift: number;
  readonly frame: number;
  readonly prot: number;
}

export interface WalkStep {
  readonly level: number;
  readonly index: number;
  /** Null when nothing is there. */
  readonly word: Word | null;
}

export type WalkFault = 'outside' | 'not-present' | 'not-readable' | 'not-writable' | 'not-executable';

export interface WalkResult {
  readonly steps: readonly WalkStep[];
  /** Null on a fault. Frame of the IOVA's own page; UNKNOWN_FRAME when the trace does not tell. */
  readonly frame: number | null;
  readonly shift: number;
  readonly prot: number;
  readonly fault: WalkFault | null;
}

export interface PageTable {
  readonly format: TableFormat;
  /** Levels that it has now. */
  levels(): number;
  /** `iommu_map`: a run of physically contiguous pages (or of unknown ones: each then is a smallest leaf). */
  map(page: number, pageCount: number, frame: number, prot: number): void;
  /** `iommu_unmap`: takes leaves away, and the tables that the range covers wholly. */
  unmap(page: number, pageCount: number): void;
  /** Entries that translate a page of first..last (inclusive), a table's before those it holds, by IOVA. */
  entries(firstPage: number, lastPage: number): Iterable<TableEntry>;
  walk(page: number, access: Access): WalkResult;
  /** The run of leaves with this page; null when it is not mapped. For bulk translation: makes no entries. */
  find(page: number): Segment | null;
  /** What hardware lets through where iommufd mapped `prot`. */
  grants(prot: number): number;
  /** Whether an unmap of these pages would take tables away. */
  coversTable(page: number, pageCount: number): boolean;
  /**
   * First page of the first table of a level (1 is the last) that begins at or above a page; Infinity when
   * there is none.
   */
  nextTable(level: number, page: number): number;
}

interface State {
  readonly format: TableFormat;
  levels: number;
  readonly leaves: SegmentList;
  /**
   * Numbers of the tables of each level below the top one, by level: the first page over what a table
   * spans.
   */
  readonly tables: readonly Intervals[];
  readonly granted: readonly number[];
}

export function createPageTable(format: TableFormat): PageTable {
  const state: State = {
    format,
    levels: format.growsFrom ?? format.levels,
    leaves: createSegments(),
    tables: Array.from({ length: format.levels }, createIntervals),
    granted: [0, 1, 2, 3].map((prot) => grantedBy(format, prot)),
  };
  return {
    format,
    levels: () => state.levels,
    map: (page, pageCount, frame, prot) => map(state, page, pageCount, frame, prot),
    unmap: (page, pageCount) => unmap(state, page, pageCount),
    entries: (firstPage, lastPage) =>
      entriesOf(state, state.levels, 0, firstPage, Math.min(lastPage, spanPages(state, state.levels) - 1)),
    walk: (page, access) => walk(state, page, access),
    find: (page) => find(state, page),
    grants: (prot) => state.granted[prot]!,
    coversTable: (page, pageCount) => coversTable(state, page, pageCount),
    nextTable: (level, page) => nextTable(state, level, page),
  };
}

function coversTable(state: State, page: number, pageCount: number): boolean {
  const end = page + pageCount;
  for (let level = 1; level < state.levels; level += 1) {
    const span = spanPages(state, level);
    if (numberFrom(state.tables[level]!, Math.ceil(page / span)) <= Math.floor(end / span) - 1) return true;
  }
  return false;
}

function nextTable(state: State, level: number, page: number): number {
  if (level >= state.levels) return Number.POSITIVE_INFINITY;
  const span = spanPages(state, level);
  return numberFrom(state.tables[level]!, Math.ceil(page / span)) * span;
}

function grantedBy(format: TableFormat, prot: number): number {
  if (prot === 0) return 0;
  const size = format.leafSizes[0]!;
  const parsed = format.parse(format.leafWord(0, prot, size, 0).value, size.level);
  return parsed.kind === 'leaf' ? parsed.prot : 0;
}

/** Pages that one entry of a level spans. */
function itemPages(format: TableFormat, level: number): number {
  return 2 ** (format.itemShift(level) - 12);
}

/** Pages that a whole table of a level spans. */
function spanPages({ format }: State, level: number): number {
  return itemPages(format, level) * 2 ** format.indexBits(level);
}

function map(state: State, page: number, pageCount: number, frame: number, prot: number): void {
  const { format } = state;
  while (state.levels < format.levels && page + pageCount > spanPages(state, state.levels)) {
    // The old top becomes the first table below the new one.
    addNumbers(state.tables[state.levels]!, 0, 0);
    state.levels += 1;
  }
  placeLeaves(format.leafSizes, page, pageCount, frame, (first, last, size, from) => {
    const { level } = format.leafSizes[size]!;
    for (let below = 1; below < state.levels; below += 1) {
      const span = spanPages(state, below);
      const numbers = [Math.floor(first / span), Math.floor(last / span)] as const;
      if (below < level) removeNumbers(state.tables[below]!, ...numbers);
      else addNumbers(state.tables[below]!, ...numbers);
    }
    addSegment(state.leaves, { page: first, last, size, frame: from, prot });
  });
}

function unmap(state: State, page: number, pageCount: number): void {
  const end = page + pageCount;
  cutSegments(state.leaves, page, end - 1);
  for (let level = 1; level < state.levels; level += 1) {
    const span = spanPages(state, level);
    removeNumbers(state.tables[level]!, Math.ceil(page / span), Math.floor(end / span) - 1);
  }
}

function find({ leaves }: State, page: number): Segment | null {
  const found = segmentFrom(leaves, page);
  return found !== null && found.page <= page ? found : null;
}

/** Frame of a page of a segment. */
export function frameIn({ frame, page: first }: Segment, page: number): number {
  return frame === UNKNOWN_FRAME ? UNKNOWN_FRAME : frame + page - first;
}

function leafEntry(state: State, segment: Segment, page: number): TableEntry {
  const { format } = state;
  const size = format.leafSizes[segment.size]!;
  const item = itemPages(format, size.level);
  const leafPages = 2 ** (size.shift - 12);
  const own = page - (page % item);
  const start = page - (page % leafPages);
  return {
    level: size.level,
    index: indexOf(state, size.level, page),
    page: own,
    kind: 'leaf',
    word: format.leafWord(frameIn(segment, start), segment.prot, size, (own - start) / item),
    shift: size.shift,
    frame: frameIn(segment, own),
    prot: segment.prot,
  };
}

function indexOf(state: State, level: number, page: number): number {
  return Math.floor(page / itemPages(state.format, level)) % 2 ** state.format.indexBits(level);
}

function tableEntry(state: State, level: number, page: number): TableEntry {
  const word = state.format.tableWord(level);
  const index = indexOf(state, level, page);
  const shift = state.format.itemShift(level);
  return { level, index, page, kind: 'table', word, shift, frame: UNKNOWN_FRAME, prot: READ | WRITE };
}

/** Entries of the table of `level` that begins at page `base`, and of all below it. */
function* entriesOf(
  state: State,
  level: number,
  base: number,
  firstPage: number,
  lastPage: number,
): Generator<TableEntry> {
  const { format, leaves, tables } = state;
  const item = itemPages(format, level);
  const end = Math.min(base + spanPages(state, level), lastPage + 1);
  let page = Math.max(base, firstPage - (firstPage % item));
  while (page < end) {
    if (level > 1 && hasNumber(tables[level - 1]!, page / item)) {
      yield tableEntry(state, level, page);
      yield* entriesOf(state, level - 1, page, firstPage, lastPage);
      page += item;
      continue;
    }
    const segment = segmentFrom(leaves, page);
    if (segment !== null && segment.page <= page) {
      yield leafEntry(state, segment, page);
      page += item;
      continue;
    }
    const nextLeaf = segment === null ? Number.POSITIVE_INFINITY : segment.page - (segment.page % item);
    const nextTable =
      level > 1 ? numberFrom(tables[level - 1]!, page / item) * item : Number.POSITIVE_INFINITY;
    page = Math.min(nextLeaf, nextTable);
  }
}

function walk(state: State, page: number, access: Access): WalkResult {
  const { format, tables } = state;
  const steps: WalkStep[] = [];
  if (page >= spanPages(state, state.levels))
    return { steps, frame: null, shift: 0, prot: 0, fault: 'outside' };
  const segment = find(state, page);
  const leafLevel = segment === null ? 0 : format.leafSizes[segment.size]!.level;
  for (let level = state.levels; level > leafLevel; level -= 1) {
    const isTable = level > 1 && hasNumber(tables[level - 1]!, Math.floor(page / itemPages(format, level)));
    const word = isTable ? format.tableWord(level) : null;
    steps.push({ level, index: indexOf(state, level, page), word });
    if (word === null) return { steps, frame: null, shift: 0, prot: 0, fault: 'not-present' };
  }
  if (segment === null) throw new Error('a walk that found no leaf went on below the last level');
  const { level, index, word, shift } = leafEntry(state, segment, page);
  steps.push({ level, index, word });
  const prot = state.granted[segment.prot]!;
  const fault = faultOf(prot, access);
  return { steps, frame: fault === null ? frameIn(segment, page) : null, shift, prot, fault };
}

function faultOf(prot: number, access: Access): WalkFault | null {
  if (access === 'w') return (prot & WRITE) === 0 ? 'not-writable' : null;
  if ((prot & READ) !== 0) return null;
  return access === 'x' ? 'not-executable' : 'not-readable';
}
