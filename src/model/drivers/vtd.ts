import { IOMMU_HW_INFO_TYPE, IOMMU_HWPT_ALLOC_FLAGS, IOMMU_HWPT_DATA } from '../../uapi/index.ts';
import { PROT_READ, PROT_WRITE } from '../area-table.ts';
import type { IovaRange } from '../iova-space.ts';
import type { Kernel } from '../kernel.ts';
import type { Iommu } from '../machine.ts';
import { reason } from '../reason.ts';
import { RID } from '../slots.ts';
import type { Device, HwptPaging, PagingDomain } from '../state.ts';
import type { IommuDriver, NestedContents, Refused } from './driver.ts';
import { apertureOf, both, can, pasidsOf, physicalOf, registerBit, stated } from './facts.ts';
import { hwInfoOf } from './hw-info.ts';
import { NO_VIOMMU } from './no-viommu.ts';
import { pagingDomain } from './paging-domain.ts';
import { PASID_TOO_LARGE } from './pasid.ts';
import { isRefused, readUserData } from './user-data.ts';
import { invalidateVtd, NESTED_BYTES, refuseNestedConfig } from './vtd-nested.ts';

/** Intel VT-d: intel/iommu.c, nested.c, pasid.c of Linux 6.12 and 7.3-rc7. */

const { NEST_PARENT, DIRTY_TRACKING, PASID } = IOMMU_HWPT_ALLOC_FLAGS;
const GIB = 2 ** 30;
const PAGE_SIZES = 4096 + 2 ** 21 + GIB;

const FLAGS = reason(
  'vtd-flags-unsupported',
  'EOPNOTSUPP',
  'intel/iommu.c intel_iommu_domain_alloc_paging_flags',
  'this VT-d unit does not offer a page table with these flags, or user data was given',
);
const NESTED_UNSUPPORTED = reason(
  'vtd-nesting-unsupported',
  'EOPNOTSUPP',
  'intel/nested.c intel_iommu_domain_alloc_nested',
  'this VT-d unit does not nest, or a flag or type of data that a nested page table of VT-d does not take',
);
const NOT_NEST_PARENT = reason(
  'vtd-parent-not-second-stage',
  'EINVAL',
  'intel/nested.c intel_iommu_domain_alloc_nested',
  'the parent is no second-stage table that was allocated as a nest parent',
);
const DIRTY_INCOMPATIBLE = reason(
  'vtd-domain-incompatible',
  'EINVAL',
  'intel/iommu.c paging_domain_compatible',
  'the page table needs snoop control or dirty tracking, a stage or a width that the unit of this device lacks',
);
const NO_PAGE_REQUESTS = reason(
  'no-page-requests',
  'ENODEV',
  'intel/iommu.c intel_iommu_enable_iopf',
  'the page table reports faults and the device has no page requests switched on',
);
const NO_PASID = reason(
  'vtd-pasid-unsupported',
  'EOPNOTSUPP',
  'intel/iommu.c intel_iommu_set_dev_pasid',
  'the VT-d unit has no PASIDs',
);

/** Bit of the capability or extended capability register. */
const cap = (iommu: Iommu, bit: number): boolean | null => registerBit(iommu, 8, bit);
const ecap = (iommu: Iommu, bit: number): boolean | null => registerBit(iommu, 16, bit);

/** `sm_supported`: scalable mode is there and on. */
function isScalable(iommu: Iommu): boolean | null {
  return stated(iommu, 'scalable_mode') ?? ecap(iommu, 43);
}

function hasNesting(kernel: Kernel, iommu: Iommu): boolean {
  return can(
    kernel,
    iommu.name,
    'nesting',
    stated(iommu, 'nesting') ?? both(isScalable(iommu), ecap(iommu, 26)),
  );
}

function hasPasids(iommu: Iommu): boolean | null {
  return both(isScalable(iommu), ecap(iommu, 40));
}

/** First stage is preferred since 6.14; 6.12 never uses it for user domains. */
function prefersFirstStage(kernel: Kernel, iommu: Iommu): boolean {
  if (!kernel.profile.has.vtdFirstStage) return false;
  if (iommu.tableFormat !== null) return iommu.tableFormat === 'vtd-fs';
  return both(isScalable(iommu), ecap(iommu, 47)) ?? false;
}

/** Second stage: always there in legacy mode. */
function hasSecondStage(iommu: Iommu): boolean {
  return isScalable(iommu) !== true || (ecap(iommu, 46) ?? true);
}

function usesFirstStage(kernel: Kernel, iommu: Iommu, flags: number): boolean {
  return (flags & ~PASID) === 0 && prefersFirstStage(kernel, iommu);
}

export const VTD: IommuDriver = {
  takesFlags: true,
  nestsOnParent: true,
  nestsOnViommu: false,
  ...NO_VIOMMU,
  pasidLimit(kernel, device) {
    const physical = physicalOf(kernel, device);
    return pasidsOf(kernel, physical, hasPasids(physical.iommu) !== false);
  },
  isDirtyCapable(kernel, device) {
    const { iommu } = physicalOf(kernel, device);
    const known = stated(iommu, 'dirty_tracking') ?? both(isScalable(iommu), ecap(iommu, 45));
    return can(kernel, iommu.name, 'dirty tracking', known);
  },
  enforcesCoherency(kernel, device) {
    const { iommu } = physicalOf(kernel, device);
    return stated(iommu, 'enforce_cache_coherency') ?? ecap(iommu, 7) ?? false;
  },
  supportsAts(kernel, device) {
    const physical = physicalOf(kernel, device);
    const known = both(ecap(physical.iommu, 2), physical.ats);
    return can(kernel, physical.bdf, 'ATS', known);
  },
  refusePaging(kernel, device, flags, data) {
    const { iommu } = physicalOf(kernel, device);
    if (data.length > 0) return FLAGS;
    if (usesFirstStage(kernel, iommu, flags)) return null;
    if ((flags & ~(NEST_PARENT | DIRTY_TRACKING | (kernel.profile.has.pasid ? PASID : 0))) !== 0)
      return FLAGS;
    if ((flags & NEST_PARENT) !== 0 && !hasNesting(kernel, iommu)) return FLAGS;
    if ((flags & DIRTY_TRACKING) !== 0 && !VTD.isDirtyCapable(kernel, device)) return FLAGS;
    // Before first-stage tables were for users, a unit without second stage was told at the attach only.
    return hasSecondStage(iommu) || !kernel.profile.has.vtdFirstStage ? null : FLAGS;
  },
  makePaging(kernel, device, flags): PagingDomain {
    const { iommu } = physicalOf(kernel, device);
    const isFirst = usesFirstStage(kernel, iommu, flags);
    const isParent = (flags & NEST_PARENT) !== 0;
    return pagingDomain(kernel, iommu, {
      pageSizes: iommu.pageSizes ?? PAGE_SIZES,
      aperture:
        isFirst || !prefersFirstStage(kernel, iommu) ? apertureOf(kernel, iommu) : secondStage(kernel, iommu),
      dirtyOps: (flags & DIRTY_TRACKING) !== 0,
      // Erratum 772415: a nest parent maps nothing read-only.
      needsProt: isParent ? PROT_WRITE : PROT_READ | PROT_WRITE,
      format: isFirst ? 'vtd-fs' : 'vtd-ss',
    });
  },
  makeNested(kernel, device, parent, _viommu, flags, data): NestedContents | Refused {
    const { iommu } = physicalOf(kernel, device);
    const known = kernel.profile.has.pasid ? PASID : 0;
    if (!hasNesting(kernel, iommu) || (flags & ~known) !== 0) return { refusal: NESTED_UNSUPPORTED };
    if (data.type !== IOMMU_HWPT_DATA.VTD_S1) return { refusal: NESTED_UNSUPPORTED };
    if (parent.domain.format !== 'vtd-ss' || !parent.nestParent) return { refusal: NOT_NEST_PARENT };
    const bytes = readUserData(kernel, data, IOMMU_HWPT_DATA.VTD_S1, NESTED_BYTES);
    if (isRefused(bytes)) return bytes;
    return { iotlb: [], data: Buffer.from(bytes).toString('hex') };
  },
  refuseAttach(kernel, context, device, pasid, hwpt) {
    const { iommu } = physicalOf(kernel, device);
    if (pasid !== RID) {
      const limit = VTD.pasidLimit(kernel, device);
      if (limit > 0 && pasid >= limit) return PASID_TOO_LARGE;
      // The core asks the driver only for devices that have PASIDs.
      if (limit === 0) return null;
      if (hasPasids(iommu) === false) return NO_PASID;
    }
    const paging = hwpt.type === 'hwpt-paging' ? hwpt : (context.objects[hwpt.parent] as HwptPaging);
    if (!fits(kernel, device, iommu, paging)) return DIRTY_INCOMPATIBLE;
    if (hwpt.fault !== 0 && !can(kernel, physicalOf(kernel, device).bdf, 'PRI', priOf(kernel, device)))
      return NO_PAGE_REQUESTS;
    if (hwpt.type !== 'hwpt-nested') return null;
    return refuseNestedConfig(hwpt, {
      fiveLevels: () => can(kernel, iommu.name, 'five levels', cap(iommu, 60)),
      supervisor: () => can(kernel, iommu.name, 'supervisor requests', ecap(iommu, 31)),
      extended: () => can(kernel, iommu.name, 'extended access flags', ecap(iommu, 34)),
    });
  },
  hwInfo(kernel, device, asked) {
    return hwInfoOf(kernel, physicalOf(kernel, device).iommu, IOMMU_HW_INFO_TYPE.INTEL_VTD, asked);
  },
  invalidateNested: invalidateVtd,
};

/** Aperture of a second-stage table where the usual table is of the first stage: the maximum guest width. */
function secondStage(kernel: Kernel, iommu: Iommu): IovaRange {
  if (iommu.nestAperture !== null) return iommu.nestAperture;
  const width = iommu.hwInfo === null ? 0 : (iommu.hwInfo.bytes[10]! & 0x3f) + 1;
  return width < 32
    ? apertureOf(kernel, iommu)
    : { ...apertureOf(kernel, iommu), lastPage: 2 ** (width - 12) - 1 };
}

/** Page requests need ATS and PRS of the unit, and PRI of the device. */
function priOf(kernel: Kernel, device: Device): boolean | null {
  const { iommu, ats, pri } = physicalOf(kernel, device);
  return both(both(ecap(iommu, 2), ecap(iommu, 29)), both(ats, pri));
}

/** `paging_domain_compatible`, 6.12: `prepare_domain_attach_device`. */
function fits(
  kernel: Kernel,
  device: Device,
  iommu: Iommu,
  { domain, enforceCacheCoherency }: HwptPaging,
): boolean {
  if (enforceCacheCoherency && !VTD.enforcesCoherency(kernel, device)) return false;
  if (domain.dirtyOps && !VTD.isDirtyCapable(kernel, device)) return false;
  if (!kernel.profile.has.vtdFirstStage && !hasSecondStage(iommu)) return false;
  if (domain.iommu === iommu.name) return true;
  if (domain.format === 'vtd-fs') return both(isScalable(iommu), ecap(iommu, 47)) !== false;
  return hasSecondStage(iommu) && domain.aperture.lastPage <= apertureOf(kernel, iommu).lastPage;
}
