import {
  IOMMU_HW_INFO_TYPE,
  IOMMU_HWPT_ALLOC_FLAGS,
  IOMMU_HWPT_DATA,
  IOMMU_VIOMMU_TYPE,
} from '../../uapi/index.ts';
import { PROT_READ, PROT_WRITE } from '../area-table.ts';
import type { Kernel } from '../kernel.ts';
import type { Iommu } from '../machine.ts';
import { type Refusal, reason } from '../reason.ts';
import { groupOf, type Hwpt, RID } from '../slots.ts';
import type { Context, Device } from '../state.ts';
import type { IommuDriver, NestedContents, Refused } from './driver.ts';
import { apertureOf, both, can, pasidsOf, physicalOf, registerBit, stated } from './facts.ts';
import { hwInfoOf, NO_HW_INFO } from './hw-info.ts';
import { NO_VDEVICE } from './no-vdevice.ts';
import { VIOMMU_UNSUPPORTED } from './no-viommu.ts';
import { pagingDomain } from './paging-domain.ts';
import { PASID_TOO_LARGE } from './pasid.ts';
import { invalidateSmmuv3 } from './smmuv3-invalidate.ts';
import { refuseSte, STE_BYTES, translates } from './smmuv3-ste.ts';
import { isRefused, readUserData } from './user-data.ts';

/**
 * Arm SMMUv3: arm-smmu-v3.c, arm-smmu-v3-iommufd.c of Linux 7.3-rc7. Nest parents, GET_HW_INFO and
 * enforced coherency came with vIOMMUs; 6.12 has none of them.
 */

const { NEST_PARENT, DIRTY_TRACKING, PASID } = IOMMU_HWPT_ALLOC_FLAGS;
/** Offset of IDR0 in the bytes of GET_HW_INFO. */
const IDR0 = 8;

const FLAGS = reason(
  'smmuv3-flags-unsupported',
  'EOPNOTSUPP',
  'arm-smmu-v3.c arm_smmu_domain_alloc_paging_flags',
  'this SMMU does not offer a page table with these flags, or user data was given',
);
const NESTED_FLAGS = reason(
  'smmuv3-nested-flags',
  'EOPNOTSUPP',
  'arm-smmu-v3-iommufd.c arm_vsmmu_alloc_domain_nested',
  'a nested page table of SMMUv3 takes no flags',
);
const OTHER_SMMU = reason(
  'smmuv3-other-instance',
  'EINVAL',
  'arm-smmu-v3.c arm_smmu_attach_dev',
  'the page table was made for another SMMU than that of the device',
);
const SUBSTREAMS_IN_USE = reason(
  'smmuv3-substreams-in-use',
  'EBUSY',
  'arm-smmu-v3.c arm_smmu_attach_dev',
  'the device uses PASIDs, and the page table leaves no context descriptors for them',
);
const NOT_COHERENT = reason(
  'smmuv3-domain-incompatible',
  'EINVAL',
  'arm-smmu-v3.c arm_smmu_attach_prepare',
  'the page table enforces cache coherency and the device can not',
);
const PASID_STAGE = reason(
  'smmuv3-pasid-needs-stage-1',
  'EINVAL',
  'arm-smmu-v3.c arm_smmu_s1_set_dev_pasid',
  'a PASID takes stage-1 tables of its own SMMU only',
);

const hasStage1 = (iommu: Iommu): boolean | null => registerBit(iommu, IDR0, 1);
const hasStage2 = (iommu: Iommu): boolean | null => registerBit(iommu, IDR0, 0);

/** ARM_SMMU_FEAT_NESTING: both stages. */
function hasNesting(kernel: Kernel, iommu: Iommu): boolean {
  const known = stated(iommu, 'nest_parent') ?? both(hasStage1(iommu), hasStage2(iommu));
  return can(kernel, iommu.name, 'nest parents', known);
}

/** A vIOMMU needs a way to keep the guest coherent: canwbs, or S2FWB. */
function offersViommu(kernel: Kernel, device: Device): boolean {
  const { iommu } = physicalOf(kernel, device);
  return hasNesting(kernel, iommu) && can(kernel, iommu.name, 'vIOMMUs', stated(iommu, 'nesting'));
}

export const SMMUV3: IommuDriver = {
  takesFlags: true,
  nestsOnParent: false,
  nestsOnViommu: true,
  pasidLimit(kernel, device) {
    return pasidsOf(kernel, physicalOf(kernel, device), true);
  },
  isDirtyCapable(kernel, device) {
    const { iommu } = physicalOf(kernel, device);
    return can(kernel, iommu.name, 'dirty tracking', stated(iommu, 'dirty_tracking') ?? noDirty(iommu));
  },
  enforcesCoherency(kernel, device) {
    const { iommu } = physicalOf(kernel, device);
    return kernel.profile.has.viommu && (stated(iommu, 'enforce_cache_coherency') ?? false);
  },
  supportsAts(kernel, device) {
    const { bdf, ats, iommu } = physicalOf(kernel, device);
    return can(kernel, bdf, 'ATS', both(registerBit(iommu, IDR0, 10), ats));
  },
  refusePaging(kernel, device, flags, data) {
    const { iommu } = physicalOf(kernel, device);
    if ((flags & ~(DIRTY_TRACKING | PASID | NEST_PARENT)) !== 0 || data.length > 0) return FLAGS;
    if (flags === 0) return null;
    if (flags === NEST_PARENT) return kernel.profile.has.viommu && hasNesting(kernel, iommu) ? null : FLAGS;
    if ((flags & NEST_PARENT) !== 0) return FLAGS;
    return can(kernel, iommu.name, 'stage 1', hasStage1(iommu)) ? null : FLAGS;
  },
  makePaging(kernel, device, flags) {
    const { iommu } = physicalOf(kernel, device);
    const isParent = flags === NEST_PARENT;
    const isStage2 = isParent || (flags === 0 && hasStage1(iommu) === false);
    const aperture = isParent ? (iommu.nestAperture ?? apertureOf(kernel, iommu)) : apertureOf(kernel, iommu);
    return pagingDomain(kernel, iommu, {
      pageSizes: iommu.pageSizes ?? kernel.profile.pageBytes,
      aperture,
      dirtyOps: (flags & DIRTY_TRACKING) !== 0,
      needsProt: PROT_READ | PROT_WRITE,
      format: isStage2 ? 'smmu-s2' : 'smmu-s1',
    });
  },
  makeNested(kernel, _device, _parent, _viommu, flags, data): NestedContents | Refused {
    if (flags !== 0) return { refusal: NESTED_FLAGS };
    const bytes = readUserData(kernel, data, IOMMU_HWPT_DATA.ARM_SMMUV3, STE_BYTES);
    if (isRefused(bytes)) return bytes;
    const refusal = refuseSte(bytes);
    return refusal === null ? { iotlb: [], data: Buffer.from(bytes).toString('hex') } : { refusal };
  },
  refuseAttach(kernel, context, device, pasid, hwpt) {
    const { iommu } = physicalOf(kernel, device);
    if (pasid !== RID) return refusePasid(kernel, device, iommu, pasid, hwpt);
    if (hwpt.type === 'hwpt-nested') return refuseNestedAttach(kernel, context, device, iommu, hwpt);
    if (hwpt.domain.iommu !== iommu.name) return OTHER_SMMU;
    if (hwpt.domain.format === 'smmu-s2' && usesPasids(context, device)) return SUBSTREAMS_IN_USE;
    return hwpt.enforceCacheCoherency && !SMMUV3.enforcesCoherency(kernel, device) ? NOT_COHERENT : null;
  },
  hwInfo(kernel, device, asked) {
    if (!kernel.profile.has.viommu) return NO_HW_INFO;
    return hwInfoOf(kernel, physicalOf(kernel, device).iommu, IOMMU_HW_INFO_TYPE.ARM_SMMUV3, asked);
  },
  refuseViommu(kernel, device, type) {
    return type === IOMMU_VIOMMU_TYPE.ARM_SMMUV3 && offersViommu(kernel, device) ? null : VIOMMU_UNSUPPORTED;
  },
  invalidateNested: null,
  invalidateViommu: invalidateSmmuv3,
};

/** Without HTTU the SMMU can not; with it, more is needed than IDR0 tells. */
function noDirty(iommu: Iommu): boolean | null {
  return registerBit(iommu, IDR0, 7) === false ? false : null;
}

function usesPasids(context: Context, device: Device): boolean {
  return Object.keys(groupOf(context, device).slots).some((pasid) => Number(pasid) !== RID);
}

function refusePasid(kernel: Kernel, device: Device, iommu: Iommu, pasid: number, hwpt: Hwpt): Refusal {
  const limit = SMMUV3.pasidLimit(kernel, device);
  if (limit > 0 && pasid >= limit) return PASID_TOO_LARGE;
  if (limit === 0) return null;
  const isOwn = hwpt.type === 'hwpt-paging' && hwpt.domain.iommu === iommu.name;
  return isOwn && hwpt.domain.format === 'smmu-s1' ? null : PASID_STAGE;
}

/** `arm_smmu_attach_dev_nested`. */
function refuseNestedAttach(
  kernel: Kernel,
  context: Context,
  device: Device,
  iommu: Iommu,
  hwpt: Extract<Hwpt, { type: 'hwpt-nested' }>,
): Refusal {
  const viommu = context.objects[hwpt.viommu];
  if (viommu?.type !== 'viommu' || viommu.iommu !== iommu.name) return OTHER_SMMU;
  if (usesPasids(context, device)) return SUBSTREAMS_IN_USE;
  const vdevice = context.objects[device.vdevice];
  const isKnown = vdevice?.type === 'vdevice' && vdevice.viommu === hwpt.viommu;
  if (!isKnown && translates(hwpt.data)) return NO_VDEVICE;
  const parent = context.objects[hwpt.parent];
  const isCoherent = parent?.type === 'hwpt-paging' && parent.enforceCacheCoherency;
  return isCoherent && !SMMUV3.enforcesCoherency(kernel, device) ? NOT_COHERENT : null;
}
