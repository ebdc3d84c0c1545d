/**
 * Invalidations, in terms that all IOMMUs share: which cache forgets what, whose doing it is, and what it is
 * for. Tags are symbolic: which number the kernel gave a domain, no trace tells.
 */

/**
 * What is meant by `iotlb` is the IOTLB of the unit; the paging-structure caches go with it unless only
 * leaves are meant. `context` caches entries of devices (context, device table, stream table entries),
 * `pasid` those of PASIDs (PASID table entries, context descriptors). `device-tlb` is the device's own (ATS).
 */
export type CacheKind = 'iotlb' | 'context' | 'pasid' | 'device-tlb';

/**
 * `global`: everything; `domain`: all with a tag; `pasid`: all with a tag and PASID; `pages`: of these, what
 * lies in a range; `device`: all of one device (and PASID).
 */
export type Granularity = 'global' | 'domain' | 'pasid' | 'pages' | 'device';

/** What the kernel did that called for it, or what user space asked for (`guest`). */
export type Cause = 'map' | 'unmap' | 'entry' | 'tracking' | 'guest';

/**
 * Tag of translations: a domain id (VT-d, AMD), VMID or ASID (SMMUv3), PSCID (RISC-V). `d7` is the paging
 * domain of key 7, `n1:5` the nested HWPT 5 of context 1, `g3` the guest-table entry of device 3 on AMD,
 * `own2` whatever the kernel itself gave device 2.
 */
export type Tag = string;

/**
 * `sure`: exactly this. `split`: one or more that cover the range piece by piece; where they part depends on
 * physical pages that the trace does not tell. `possible`: whether there is any depends on such a fact.
 */
export type Certainty = 'sure' | 'split' | 'possible';

export interface Invalidation {
  /** Call that it belongs to. */
  readonly seq: number;
  readonly who: 'kernel' | 'user';
  readonly cause: Cause;
  /** IOMMU as the topology names it. */
  readonly iommu: string;
  readonly cache: CacheKind;
  readonly granularity: Granularity;
  /** Null where the cache or the granularity has none. */
  readonly tag: Tag | null;
  /** Null where it does not matter. */
  readonly pasid: number | null;
  /** Index in the machine's devices; null where it does not matter. */
  readonly device: number | null;
  /**
   * Pages of 4096 bytes that are forgotten, inclusive: what the hardware is told, not what was asked for.
   * With `ofParent` they are addresses of the second stage below nested translations: all of these go,
   * because hardware keeps no trace of the address in between.
   */
  readonly firstPage: number;
  readonly lastPage: number;
  /** Pages that changed, for which this is meant. */
  readonly changedFirst: number;
  readonly changedLast: number;
  readonly ofParent: boolean;
  /** SMMUv3: translations with a guest's stage 1 (`nested`) and without (`plain`) may share a VMID. */
  readonly reaches: 'all' | 'nested' | 'plain';
  /** SMMUv3: ASID of a guest; null for any. */
  readonly asid: number | null;
  /** Paging-structure caches may keep what they have; null where that depends on physical pages. */
  readonly leafOnly: boolean | null;
  readonly certainty: Certainty;
}

/** Above every page of an IOVA. */
export const LAST_PAGE = 2 ** 52 - 1;

/** The parts of an invalidation that are usual: everything of a cache, for sure, by the kernel. */
export const WHOLE = {
  who: 'kernel',
  tag: null,
  pasid: null,
  device: null,
  firstPage: 0,
  lastPage: LAST_PAGE,
  changedFirst: 0,
  changedLast: LAST_PAGE,
  ofParent: false,
  reaches: 'all',
  asid: null,
  leafOnly: false,
  certainty: 'sure',
} as const satisfies Partial<Invalidation>;

/** An invalidation of everything with a tag. */
export function isWhole({ firstPage, lastPage }: Invalidation): boolean {
  return firstPage === 0 && lastPage >= LAST_PAGE;
}
