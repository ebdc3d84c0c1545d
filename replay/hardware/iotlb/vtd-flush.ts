import { alignedBlock } from './aligned-block.ts';
import { type Cause, type Certainty, LAST_PAGE, type Tag } from './invalidation.ts';
import { emit, type LiveState } from './live-state.ts';
import { vtdFacts } from './vtd-facts.ts';
import type { CacheTag, TagList } from './vtd-tags.ts';

/** Flushing the caches that hold what a domain maps: intel/cache.c. */

export interface Vtd {
  readonly state: LiveState;
  readonly tags: TagList;
}

export interface Change {
  readonly cause: Cause;
  readonly who: 'kernel' | 'user';
  readonly firstPage: number;
  readonly lastPage: number;
  readonly leafOnly: boolean | null;
  readonly certainty: Certainty;
  /** Device TLBs do not keep entries that are not present. */
  readonly withDevices: boolean;
}

/** cache_tag_flush_range, cache_tag_flush_range_np. */
export function flushTags(vtd: Vtd, owner: Tag, change: Change): void {
  for (const tag of vtd.tags.of(owner)) flushTag(vtd, tag, change);
}

function flushTag(vtd: Vtd, tag: CacheTag, { withDevices, firstPage, lastPage, ...change }: Change): void {
  const { iommu, kind, pasid, device } = tag;
  const changed = { changedFirst: firstPage, changedLast: lastPage };
  if (kind === 'device-tlb' || kind === 'nested-device-tlb') {
    if (!withDevices) return;
    const whole = { ...change, ...changed, iommu, device, pasid, cache: 'device-tlb' } as const;
    if (kind === 'nested-device-tlb') emit(vtd.state, { ...whole, granularity: 'device', ofParent: true });
    else emit(vtd.state, { ...whole, granularity: 'pages', ...blockOf(firstPage, lastPage) });
    return;
  }
  const told = { ...change, ...changed, iommu, cache: 'iotlb', tag: tag.tag } as const;
  const block = blockOf(firstPage, lastPage);
  if (tag.perPasid) {
    const granularity = block.lastPage >= LAST_PAGE ? 'pasid' : 'pages';
    emit(vtd.state, { ...told, granularity, pasid, ...block });
    return;
  }
  const ofParent = kind === 'nested-iotlb';
  const { pageSelective, mostOrder } = vtdFacts(vtd.state.kernel, iommu);
  const isTooLarge = block.lastPage - block.firstPage + 1 > 2 ** mostOrder;
  // Without page-selective invalidation, or beyond the largest mask: everything of the domain.
  if (pageSelective === false || isTooLarge)
    emit(vtd.state, { ...told, granularity: 'domain', ofParent, leafOnly: false });
  else emit(vtd.state, { ...told, granularity: 'pages', ...block, ofParent });
}

function blockOf(first: number, last: number): { readonly firstPage: number; readonly lastPage: number } {
  if (last >= LAST_PAGE) return { firstPage: 0, lastPage: LAST_PAGE };
  const { firstPage, order } = alignedBlock(first, last);
  return { firstPage, lastPage: Math.min(firstPage + 2 ** order - 1, LAST_PAGE) };
}
