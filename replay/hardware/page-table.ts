import type { Access, TableFormat, UnknownBits, Word } from './table-format.ts';

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
  readonly word: Word | null;
}

export interface WalkResult {
  readonly steps: readonly WalkStep[];
  /** Null on a fault. Frame of the IOVA's own page; UNKNOWN_FRAME when the trace does not tell. */
  readonly frame: number | null;
  readonly shift: number;
  readonly prot: number;
  readonly fault: 'outside' | 'not-present' | 'not-readable' | 'not-writable' | null;
}

/** A page table as extents of leaves and of tables; entries are made from it on demand. */
export interface PageTable {
  readonly format: TableFormat;
  /** Levels that it has now. */
  levels(): number;
  /** `iommu_map`: a run of physically contiguous pages (or of unknown ones: each then is a smallest leaf). */
  map(page: number, pageCount: number, frame: number, prot: number): void;
  /** `iommu_unmap`: takes leaves away, and the tables that the range covers wholly. */
  unmap(page: number, pageCount: number): void;
  /** Entries of the tables, top down in walk order (a table's entry before what it holds), in IOVA order. */
  entries(firstPage: number, lastPage: number): Iterable<TableEntry>;
  walk(page: number, access: Access): WalkResult;
}

export type { UnknownBits };
