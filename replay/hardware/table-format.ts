/**
 * What a page table format is, as data: how wide each level is, which leaves there are, and the words of its
 * entries. One generic engine (page-table.ts) places leaves and tables for every format.
 *
 * Addresses are numbers of 4096-byte pages (`page` for IOVAs, `frame` for physical addresses), whatever the
 * granule of the format: exact in a double. Words are bigints.
 */

/** IOMMU_READ and IOMMU_WRITE, as areas have them. */
export const READ = 1;
export const WRITE = 2;

export type Access = 'r' | 'w' | 'x';

/** A physical page whose number the trace does not tell. */
export const UNKNOWN_FRAME = -1;

/** Bits of a word that the trace does not determine, and what they hold. */
export interface UnknownBits {
  readonly mask: bigint;
  /** `table address`, `page address`, `accessed`, `dirty` … */
  readonly holds: string;
}

/** A word of a table. Bits of `unknown` are zero in `value`. */
export interface Word {
  readonly value: bigint;
  readonly unknown: readonly UnknownBits[];
}

/** One size of leaf. Level 1 is the last one. */
export interface LeafSize {
  /** Bytes as a power of two; at least 12. */
  readonly shift: number;
  readonly level: number;
  /** Entries that it takes, all of one table: 1, or a contiguous encoding's. */
  readonly slots: number;
}

export interface TableFormat {
  /** `vtd-ss`, `vtd-fs`, `amdv1`, `amdv2`, `riscv-sv57`, `smmu-s1-4k` … */
  readonly name: string;
  /** Levels of a walk. With `growsFrom` the most there can be. */
  readonly levels: number;
  /**
   * Level from which on an unmap leaves tables in place, however much it covers: Arm's driver goes no higher
   * than the largest page it is told to take away (__arm_lpae_unmap). Null: tables of all levels go.
   */
  readonly keepsFrom: number | null;
  /** Levels that a new table has, where it grows with the IOVAs mapped (AMD v1); null when it never does. */
  readonly growsFrom: number | null;
  /** Bytes of one entry's span at a level, as a power of two: 12, 21, 30 … for 4 KiB tables. */
  itemShift(level: number): number;
  /** Index bits of a table at a level; the top one may differ (concatenated tables, x4 formats). */
  indexBits(level: number): number;
  /** Every leaf that a domain of this kind may use, ascending: the domain's page-size bitmap is applied. */
  readonly leafSizes: readonly LeafSize[];
  /**
   * Word of one entry of a leaf. `frame` is that of the leaf's first byte, or UNKNOWN_FRAME. `slot` counts
   * the entries of a contiguous encoding from 0.
   */
  leafWord(frame: number, prot: number, size: LeafSize, slot: number): Word;
  /** Word of an entry at `level` that points at a table of the level below. */
  tableWord(level: number): Word;
  /**
   * Physical address in bytes that a table's word holds; for readers of dumps and of guest memory.
   */
  tableAddress(word: bigint, level: number): bigint;
  /** What a word that was read from memory is. */
  parse(word: bigint, level: number): ParsedWord;
}

export type ParsedWord =
  | { readonly kind: 'empty' }
  | { readonly kind: 'table'; readonly frame: number; readonly prot: number }
  | { readonly kind: 'leaf'; readonly frame: number; readonly prot: number; readonly shift: number }
  | { readonly kind: 'reserved'; readonly why: string };

/** What the choice of a format depends on. */
export interface FormatFacts {
  /** `PagingDomain.format`, e.g. `vtd-fs`; the name of the topology's table format otherwise. */
  readonly format: string;
  /** Inclusive last byte of the aperture, as a page number: decides the levels. */
  readonly apertureLastPage: number;
  /** `pgsize_bitmap` of the domain. */
  readonly pageSizes: bigint;
  /** Kernel as major * 100 + minor: 612, 703. */
  readonly kernel: number;
  readonly dirtyTracking: boolean;
  readonly nestParent: boolean;
  /** IOMMU_HWPT enforce_cache_coherency: the snoop bit where the format has one. */
  readonly enforceCoherency: boolean;
  /** Bit of the IOMMU's GET_HW_INFO bytes; null when not recorded. */
  hwInfoBit(byteOffset: number, bit: number): boolean | null;
  /** What the topology states of the IOMMU by key; null when it does not. */
  stated(key: string): boolean | null;
}

/** Makes the format of a domain; null when the name is none of its. */
export type MakeFormat = (facts: FormatFacts) => TableFormat | null;
