import type { PinnedPages } from './physical-pages.ts';

/**
 * What was done to a domain, in order: cheap to note for every map and unmap (step-list.ts), worked out when
 * somebody looks (apply-steps.ts).
 */

/** An area as it was put into domains. */
export interface Fill {
  /** In the table of fills. */
  readonly row: number;
  readonly page: number;
  readonly pageCount: number;
  readonly prot: number;
  readonly pages: PinnedPages;
  /** `disable_large_pages`: mapped one CPU page at a time. */
  readonly small: boolean;
  /** The iopt_pages that it shows, and the index there of its first page. */
  readonly source: number;
  readonly firstIndex: number;
  /** Address space that the pages come from, and the page there of the first one. */
  readonly mm: number;
  readonly userPage: number;
}

/**
 * How the kernel takes an area out of a domain: `whole` with one `iommu_unmap`; `batches` where it reads the
 * pages back from the domain to unpin them (`iopt_area_unfill_domain`); `runs`, one for each contiguous run
 * (`vfio_unmap_unpin`).
 */
export type UnmapWay = 'whole' | 'batches' | 'runs';

/** Pages first..last (inclusive, from the area's first) that somebody else holds still. */
export type HeldPages = readonly [first: number, last: number];

export interface UnmapStep {
  readonly step: 'unmap';
  readonly fill: Fill;
  /** Pages of the fill that go, from its first one. */
  readonly pageCount: number;
  readonly way: UnmapWay;
  /** Ascending and disjoint: what `batches` need not unpin. */
  readonly held: readonly HeldPages[];
}

export type TableStep = { readonly step: 'map'; readonly fill: Fill } | UnmapStep;
