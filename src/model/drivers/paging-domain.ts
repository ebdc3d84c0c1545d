import type { Kernel } from '../kernel.ts';
import type { Iommu } from '../machine.ts';
import type { PagingDomain } from '../state.ts';

/** Makes the domain of a real IOMMU, under a key of its own. */
export function pagingDomain(
  kernel: Kernel,
  iommu: Iommu,
  domain: Omit<PagingDomain, 'driver' | 'iommu' | 'key'>,
): PagingDomain {
  const key = kernel.state.nextDomain;
  kernel.state.nextDomain += 1;
  return { driver: iommu.driver, iommu: iommu.name, key, ...domain };
}
