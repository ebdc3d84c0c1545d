import type { Entry } from '../../../replay/index.ts';
import { functionName } from './bound.ts';
import type { ChainLink } from './finding.ts';
import type { LintWorld } from './rule.ts';
import { span } from './text.ts';

/** Entries of caches in words. */

export function entrySpan({ firstPage, lastPage }: Entry): string {
  return span(BigInt(firstPage) * 4096n, BigInt(lastPage) * 4096n + 4095n);
}

export function cacheName({ cache, iommu }: Entry): string {
  if (cache === 'device-tlb') return 'its device TLB';
  return cache === 'iotlb' ? `the IOTLB of ${iommu}` : `the paging-structure cache of ${iommu}`;
}

/** The device whose access made the entry. */
export function cacheOwner(world: LintWorld, { device, pasid }: Entry): string {
  const name = functionName(world, device);
  return pasid === 0 ? name : `${name} (PASID ${pasid})`;
}

/** How the entry came, and what made it untrue. */
export function stepLinks(entry: Entry): ChainLink[] {
  const { filledAt, stale } = entry;
  const links: ChainLink[] = [
    { seq: filledAt, role: 'cached', says: `an access leaves ${entrySpan(entry)} in ${cacheName(entry)}` },
  ];
  if (stale !== null)
    links.push({ seq: stale.seq, role: 'changed', says: `a walk finds ${stale.now} there from now on` });
  return links;
}

/**
 * A call moved the device to other tables of the guest, which lead nowhere: it must find those first, so that
 * an entry of the old ones is out of reach.
 */
export function isOutOfReach({ recordAt }: LintWorld, { parent, stale }: Entry): boolean {
  if (parent === null || stale === null || stale.now !== 'nothing') return false;
  const change = recordAt(stale.seq);
  return change !== null && change.op !== 'note';
}
