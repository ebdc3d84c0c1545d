/** The smallest naturally aligned power of two of pages that holds a range. */
export interface AlignedBlock {
  readonly firstPage: number;
  /** Pages as a power of two. */
  readonly order: number;
}

/** Bits of a page number. */
const PAGE_BITS = 52;

/**
 * What one page-selective invalidation with an address mask covers: `calculate_psi_aligned_address` of
 * intel/cache.c (6.12 counts pages and 7.3 compares addresses; both end at this block), `build_inv_address`
 * of amd/iommu.c, `arm_smmu_atc_inv_to_cmd`.
 */
export function alignedBlock(firstPage: number, lastPage: number): AlignedBlock {
  let order = 0;
  let size = 1;
  while (order < PAGE_BITS && Math.floor(firstPage / size) !== Math.floor(lastPage / size)) {
    order += 1;
    size *= 2;
  }
  return { firstPage: firstPage - (firstPage % size), order };
}

/** Told of naturally aligned blocks, inclusive. */
export type SeeBlock = (first: number, last: number) => void;

/** The fewest naturally aligned blocks that make up a range: as AMD's driver flushes under a hypervisor. */
export function eachAlignedBlock(firstPage: number, lastPage: number, see: SeeBlock): void {
  for (let page = firstPage; page <= lastPage; ) {
    let size = 1;
    while (page % (size * 2) === 0 && page + size * 2 - 1 <= lastPage) size *= 2;
    see(page, page + size - 1);
    page += size;
  }
}
