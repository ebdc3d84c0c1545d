import { IOMMU_HW_INFO_TYPE, IOMMU_HWPT_ALLOC_FLAGS } from '../../uapi/index.ts';
import { PROT_READ, PROT_WRITE } from '../area-table.ts';
import type { IovaRange } from '../iova-space.ts';
import type { Kernel } from '../kernel.ts';
import type { Iommu } from '../machine.ts';
import { type Refusal, reason } from '../reason.ts';
import { RID } from '../slots.ts';
import type { Device, HwptPaging } from '../state.ts';
import type { IommuDriver } from './driver.ts';
import { apertureOf, both, can, EVERYTHING, pasidsOf, physicalOf, registerBit, stated } from './facts.ts';
import { hwInfoOf, NO_HW_INFO } from './hw-info.ts';
import { NO_NESTED_TABLES } from './no-nesting.ts';
import { VIOMMU_UNSUPPORTED } from './no-viommu.ts';
import { pagingDomain } from './paging-domain.ts';
import { PASID_UNSUPPORTED } from './pasid.ts';

/**
 * AMD IOMMU: amd/iommu.c, iommufd.c of Linux 7.3-rc7, and what 6.12 had of it: one format for all page
 * tables, dirty tracking and nothing else.
 */

const { NEST_PARENT, DIRTY_TRACKING, PASID } = IOMMU_HWPT_ALLOC_FLAGS;
/** AMD_IOMMU_PGSIZES: every power of two from 4 KiB to 2^51 but 512 GiB, which hardware gets wrong. */
const V1_PAGE_SIZES = 2 ** 52 - 4096 - 2 ** 39;
const V2_PAGE_SIZES = 4096 + 2 ** 21 + 2 ** 30;
/** Bits of the extended feature register. */
const GT = 4;
const GIOSUP = 48;
const HDSUP = 52;
/** Bit of the second extended feature register. */
const GCR3TRPMODE = 3;

const FLAGS = reason(
  'amd-flags-unsupported',
  'EOPNOTSUPP',
  'amd/iommu.c amd_iommu_domain_alloc_paging_flags',
  'this AMD IOMMU does not offer a page table with these flags, or user data was given',
);
const DIRTY_INCOMPATIBLE = reason(
  'amd-domain-incompatible',
  'EINVAL',
  'amd/iommu.c amd_iommu_attach_device',
  'the page table tracks dirty pages and the IOMMU of the device does not support that',
);

const efr = (iommu: Iommu, bit: number): boolean | null => registerBit(iommu, 0, bit);

/** Version 2 tables need GT and GIOSUP. */
function hasV2(iommu: Iommu): boolean | null {
  return both(efr(iommu, GT), efr(iommu, GIOSUP));
}

/** Format of a page table with these flags: `amd_iommu_pgtable` decides for no flag, and once for all. */
function formatOf(kernel: Kernel, iommu: Iommu, flags: number): 'amdv1' | 'amdv2' {
  const isChosen = kernel.profile.has.pagingFlagsOp;
  if (isChosen && (flags & (DIRTY_TRACKING | NEST_PARENT)) !== 0) return 'amdv1';
  return flags === PASID || iommu.tableFormat === 'amdv2' ? 'amdv2' : 'amdv1';
}

export const AMD: IommuDriver = {
  takesFlags: true,
  nestsOnParent: false,
  nestsOnViommu: false,
  pasidLimit(kernel, device) {
    const physical = physicalOf(kernel, device);
    return pasidsOf(kernel, physical, hasV2(physical.iommu) !== false);
  },
  isDirtyCapable(kernel, device) {
    const { iommu } = physicalOf(kernel, device);
    return can(kernel, iommu.name, 'dirty tracking', stated(iommu, 'dirty_tracking') ?? efr(iommu, HDSUP));
  },
  enforcesCoherency: () => true,
  supportsAts(kernel, device) {
    const { bdf, ats } = physicalOf(kernel, device);
    return can(kernel, bdf, 'ATS', ats);
  },
  refusePaging(kernel, device, flags, data): Refusal {
    const { iommu } = physicalOf(kernel, device);
    const { has } = kernel.profile;
    const known = DIRTY_TRACKING | (has.pagingFlagsOp ? PASID : 0) | (has.amdNesting ? NEST_PARENT : 0);
    if ((flags & ~known) !== 0 || data.length > 0) return FLAGS;
    // PASIDs need version 2, dirty tracking and nest parents version 1.
    if ((flags & PASID) !== 0 && flags !== PASID) return FLAGS;
    if ((flags & DIRTY_TRACKING) !== 0 && !AMD.isDirtyCapable(kernel, device)) return FLAGS;
    if ((flags & NEST_PARENT) !== 0) {
      const offered = stated(iommu, 'nest_parent') ?? both(hasV2(iommu), registerBit(iommu, 8, GCR3TRPMODE));
      if (!can(kernel, iommu.name, 'nest parents', offered)) return FLAGS;
    }
    if (flags === PASID && !can(kernel, iommu.name, 'PASIDs', hasV2(iommu))) return FLAGS;
    return null;
  },
  makePaging(kernel, device, flags) {
    const { iommu } = physicalOf(kernel, device);
    const format = formatOf(kernel, iommu, flags);
    const isUsual = format === (iommu.tableFormat ?? 'amdv1');
    return pagingDomain(kernel, iommu, {
      pageSizes: iommu.pageSizes ?? (format === 'amdv1' ? V1_PAGE_SIZES : V2_PAGE_SIZES),
      aperture: isUsual ? apertureOf(kernel, iommu) : otherAperture(iommu, format),
      dirtyOps: (flags & DIRTY_TRACKING) !== 0,
      needsProt: PROT_READ | PROT_WRITE,
      format,
    });
  },
  makeNested: () => NO_NESTED_TABLES,
  refuseAttach(kernel, context, device, pasid, hwpt) {
    // Only page tables of processes have `set_dev_pasid`.
    if (pasid !== RID) return PASID_UNSUPPORTED;
    const paging = hwpt.type === 'hwpt-paging' ? hwpt : (context.objects[hwpt.parent] as HwptPaging);
    return paging.domain.dirtyOps && !AMD.isDirtyCapable(kernel, device) ? DIRTY_INCOMPATIBLE : null;
  },
  hwInfo(kernel: Kernel, device: Device, asked: number) {
    if (!kernel.profile.has.amdNesting) return NO_HW_INFO;
    return hwInfoOf(kernel, physicalOf(kernel, device).iommu, IOMMU_HW_INFO_TYPE.AMD, asked);
  },
  // The size does not depend on the type: any one gives a vIOMMU.
  refuseViommu: (kernel) => (kernel.profile.has.amdNesting ? null : VIOMMU_UNSUPPORTED),
  invalidateNested: null,
  invalidateViommu: null,
};

/** Aperture of the format that is not the usual one: 47 or 56 bits of version 2, everything of version 1. */
function otherAperture(iommu: Iommu, format: 'amdv1' | 'amdv2'): IovaRange {
  if (format === 'amdv1') return EVERYTHING;
  const fiveLevels = efr(iommu, 12) === true;
  return { ...EVERYTHING, lastPage: 2 ** ((fiveLevels ? 56 : 47) - 12) - 1 };
}
