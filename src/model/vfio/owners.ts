import type { Kernel } from '../kernel.ts';
import { type Refusal, reason } from '../reason.ts';

/** Who owns the DMA of an IOMMU group: `iommu_device_claim_dma_owner` and its like in iommu.c. */

const OTHER_OWNER = reason(
  'group-owned-elsewhere',
  'EPERM',
  'iommu.c iommu_device_claim_dma_owner, iommu_group_claim_dma_owner',
  'another context or container owns the DMA of the group',
);

/** Whether a context may claim a device of the group. */
export function refuseDeviceClaim(kernel: Kernel, group: number, context: number): Refusal {
  const owner = kernel.state.vfio.owners[group];
  return owner === undefined || owner.context === context ? null : OTHER_OWNER;
}

/** Whether a container may claim the group as a whole: only one that nobody owns. */
export function refuseGroupClaim(kernel: Kernel, group: number): Refusal {
  return kernel.state.vfio.owners[group] === undefined ? null : OTHER_OWNER;
}

/** `context` is 0 for a type1 container. */
export function claimGroup(kernel: Kernel, group: number, context: number): void {
  const { owners } = kernel.state.vfio;
  const owner = owners[group];
  if (owner === undefined) owners[group] = { context, count: 1 };
  else owner.count += 1;
}

export function releaseClaim(kernel: Kernel, group: number): void {
  const { owners } = kernel.state.vfio;
  const owner = owners[group];
  if (owner === undefined) return;
  owner.count -= 1;
  if (owner.count === 0) delete owners[group];
}
