import { alignedBlock } from './aligned-block.ts';
import type { Span } from './entry.ts';
import { type Cause, type Certainty, LAST_PAGE, type Tag } from './invalidation.ts';
import { emit, type LiveState } from './live-state.ts';
import { type KnownUnits, vtdFacts } from './vtd-facts.ts';
import type { CacheTag, TagList } from './vtd-tags.ts';

/** Flushing the caches that hold what a domain maps: intel/cache.c. */

export interface Vtd {
  readonly state: LiveState;
  readonly tags: TagList;
  readonly units: KnownUnits;
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

function flushTag({ state, units }: Vtd, tag: CacheTag, change: Change): void {
  const { kind, perPasid } = tag;
  const isDevice = kind === 'device-tlb' || kind === 'nested-device-tlb';
  if (isDevice && !change.withDevices) return;
  // A device keeps nested translations without a trace of the address in between: all of them go.
  const ofParent = kind === 'nested-iotlb' || kind === 'nested-device-tlb';
  const block = blockOf(change.firstPage, change.lastPage);
  const isAll = block.lastPage >= LAST_PAGE || kind === 'nested-device-tlb';
  const byDomain = !isDevice && !perPasid && !fitsMask(state, units, tag.iommu, block);
  const granularity = byDomain ? 'domain' : !isAll ? 'pages' : isDevice ? 'device' : 'pasid';
  const isPages = granularity === 'pages';
  // One literal: every map and unmap passes here.
  emit(state, {
    who: change.who,
    cause: change.cause,
    iommu: tag.iommu,
    cache: isDevice ? 'device-tlb' : 'iotlb',
    granularity,
    tag: isDevice ? null : tag.tag,
    pasid: isDevice || perPasid ? tag.pasid : null,
    device: tag.device,
    firstPage: isPages ? block.firstPage : 0,
    lastPage: isPages ? block.lastPage : LAST_PAGE,
    changedFirst: change.firstPage,
    changedLast: change.lastPage,
    ofParent,
    leafOnly: byDomain ? false : change.leafOnly,
    certainty: change.certainty,
  });
}

/** Without page-selective invalidation, or beyond the largest mask, everything of the domain goes. */
function fitsMask(
  state: LiveState,
  units: KnownUnits,
  iommu: string,
  { firstPage, lastPage }: Span,
): boolean {
  const { pageSelective, mostOrder } = vtdFacts(state, units, iommu);
  return pageSelective !== false && lastPage - firstPage + 1 <= 2 ** mostOrder;
}

function blockOf(first: number, last: number): Span {
  if (last >= LAST_PAGE) return { firstPage: 0, lastPage: LAST_PAGE };
  const { firstPage, order } = alignedBlock(first, last);
  return { firstPage, lastPage: Math.min(firstPage + 2 ** order - 1, LAST_PAGE) };
}
