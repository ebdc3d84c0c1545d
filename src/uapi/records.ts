/**
 * Records of the user API that ioctl structs point to, or that are read from and written to event
 * descriptors.
 *
 * Reference sections 1.4 to 1.7; what 6.12 has was compared with its headers. The tables at the end say which
 * record a type number stands for.
 */

import {
  IOMMU_HW_INFO_TYPE,
  IOMMU_HWPT_DATA,
  IOMMU_INVALIDATE_DATA,
  IOMMU_VEVENTQ_TYPE,
  IOMMU_VIOMMU_TYPE,
} from './flags.ts';
import { defineLayout, type StructLayout } from './layout.ts';

export const IOMMU_IOVA_RANGE = defineLayout({
  name: 'iommu_iova_range',
  sizeBytes: 16,
  minBytes: 16,
  fields: [
    { name: 'start', offset: 0, kind: 'u64', dir: 'in', refers: 'iova' },
    { name: 'last', offset: 8, kind: 'u64', dir: 'in', refers: 'iova' },
  ],
});

/** Guest first-stage table, nested on a NEST_PARENT hwpt. */
export const IOMMU_HWPT_VTD_S1 = defineLayout({
  name: 'iommu_hwpt_vtd_s1',
  sizeBytes: 24,
  minBytes: 24,
  fields: [
    { name: 'flags', offset: 0, kind: 'u64', dir: 'in', flags: 'vtdS1' },
    { name: 'pgtbl_addr', offset: 8, kind: 'u64', dir: 'in', refers: 'phys' },
    { name: 'addr_width', offset: 16, kind: 'u32', dir: 'in', refers: 'count' },
    { name: '__reserved', offset: 20, kind: 'u32', dir: 'in', reserved: true },
  ],
});

/** First two words of the guest's stream table entry; only under a vIOMMU. */
export const IOMMU_HWPT_ARM_SMMUV3 = defineLayout({
  name: 'iommu_hwpt_arm_smmuv3',
  sizeBytes: 16,
  minBytes: 16,
  fields: [{ name: 'ste', offset: 0, kind: 'u64[]', count: 2, dir: 'in' }],
});

/** Guest device table entry. */
export const IOMMU_HWPT_AMD_GUEST = defineLayout({
  name: 'iommu_hwpt_amd_guest',
  sizeBytes: 32,
  minBytes: 32,
  fields: [{ name: 'dte', offset: 0, kind: 'u64[]', count: 4, dir: 'in' }],
});

/** 6.12 has `iotlb` only; that 6.19 brought the second field is from memory. */
export const IOMMU_HWPT_SELFTEST = defineLayout({
  name: 'iommu_hwpt_selftest',
  sizeBytes: 8,
  minBytes: 4,
  sizes: [
    { since: '6.7', bytes: 4 },
    { since: '6.19', bytes: 8 },
  ],
  fields: [
    { name: 'iotlb', offset: 0, kind: 'u32', dir: 'in', refers: 'bits' },
    { name: 'pagetable_type', offset: 4, kind: 'u32', dir: 'in', values: 'testPagetable' },
  ],
});

export const IOMMU_HW_INFO_VTD = defineLayout({
  name: 'iommu_hw_info_vtd',
  sizeBytes: 24,
  minBytes: 24,
  fields: [
    { name: 'flags', offset: 0, kind: 'u32', dir: 'out', flags: 'hwInfoVtd' },
    { name: '__reserved', offset: 4, kind: 'u32', dir: 'out', reserved: true },
    { name: 'cap_reg', offset: 8, kind: 'u64', dir: 'out', refers: 'bits' },
    { name: 'ecap_reg', offset: 16, kind: 'u64', dir: 'out', refers: 'bits' },
  ],
});

export const IOMMU_HW_INFO_ARM_SMMUV3 = defineLayout({
  name: 'iommu_hw_info_arm_smmuv3',
  sizeBytes: 40,
  minBytes: 40,
  fields: [
    { name: 'flags', offset: 0, kind: 'u32', dir: 'out', flags: 'hwInfoSmmuv3' },
    { name: '__reserved', offset: 4, kind: 'u32', dir: 'out', reserved: true },
    { name: 'idr', offset: 8, kind: 'u32[]', count: 6, dir: 'out', refers: 'bits' },
    { name: 'iidr', offset: 32, kind: 'u32', dir: 'out', refers: 'bits' },
    { name: 'aidr', offset: 36, kind: 'u32', dir: 'out', refers: 'bits' },
  ],
});

export const IOMMU_HW_INFO_TEGRA241_CMDQV = defineLayout({
  name: 'iommu_hw_info_tegra241_cmdqv',
  sizeBytes: 8,
  minBytes: 8,
  fields: [
    { name: 'flags', offset: 0, kind: 'u32', dir: 'out', refers: 'bits' },
    { name: 'version', offset: 4, kind: 'u8', dir: 'out', refers: 'count' },
    { name: 'log2vcmdqs', offset: 5, kind: 'u8', dir: 'out', refers: 'count' },
    { name: 'log2vsids', offset: 6, kind: 'u8', dir: 'out', refers: 'count' },
    { name: '__reserved', offset: 7, kind: 'u8', dir: 'out', reserved: true },
  ],
});

export const IOMMU_HW_INFO_AMD = defineLayout({
  name: 'iommu_hw_info_amd',
  sizeBytes: 16,
  minBytes: 16,
  fields: [
    { name: 'efr', offset: 0, kind: 'u64', dir: 'out', refers: 'bits' },
    { name: 'efr2', offset: 8, kind: 'u64', dir: 'out', refers: 'bits' },
  ],
});

export const IOMMU_HW_INFO_SELFTEST = defineLayout({
  name: 'iommu_test_hw_info',
  sizeBytes: 8,
  minBytes: 8,
  fields: [
    { name: 'flags', offset: 0, kind: 'u32', dir: 'out', refers: 'bits' },
    { name: 'test_reg', offset: 4, kind: 'u32', dir: 'out', refers: 'bits' },
  ],
});

/** `npages` of U64_MAX with `addr` 0 means everything. */
export const IOMMU_INVALIDATE_VTD_S1 = defineLayout({
  name: 'iommu_hwpt_vtd_s1_invalidate',
  sizeBytes: 24,
  minBytes: 24,
  fields: [
    { name: 'addr', offset: 0, kind: 'u64', dir: 'in', refers: 'iova' },
    { name: 'npages', offset: 8, kind: 'u64', dir: 'in', refers: 'length' },
    { name: 'flags', offset: 16, kind: 'u32', dir: 'in', flags: 'vtdInvalidate' },
    { name: '__reserved', offset: 20, kind: 'u32', dir: 'in', reserved: true },
  ],
});

/** One command of the SMMU's command queue. */
export const IOMMU_INVALIDATE_ARM_SMMUV3 = defineLayout({
  name: 'iommu_viommu_arm_smmuv3_invalidate',
  sizeBytes: 16,
  minBytes: 16,
  fields: [{ name: 'cmd', offset: 0, kind: 'u64[]', count: 2, dir: 'in' }],
});

export const IOMMU_INVALIDATE_SELFTEST = defineLayout({
  name: 'iommu_hwpt_invalidate_selftest',
  sizeBytes: 8,
  minBytes: 8,
  fields: [
    { name: 'flags', offset: 0, kind: 'u32', dir: 'in', flags: 'testInvalidate' },
    { name: 'iotlb_id', offset: 4, kind: 'u32', dir: 'in', refers: 'count' },
  ],
});

export const IOMMU_INVALIDATE_VIOMMU_SELFTEST = defineLayout({
  name: 'iommu_viommu_invalidate_selftest',
  sizeBytes: 12,
  minBytes: 12,
  fields: [
    { name: 'flags', offset: 0, kind: 'u32', dir: 'in', flags: 'testInvalidate' },
    { name: 'vdev_id', offset: 4, kind: 'u32', dir: 'in', refers: 'count' },
    { name: 'cache_id', offset: 8, kind: 'u32', dir: 'in', refers: 'count' },
  ],
});

/** One record read from a fault queue. `length` is always 0. */
export const IOMMU_HWPT_PGFAULT = defineLayout({
  name: 'iommu_hwpt_pgfault',
  sizeBytes: 40,
  minBytes: 40,
  fields: [
    { name: 'flags', offset: 0, kind: 'u32', dir: 'out', flags: 'pgfault' },
    { name: 'dev_id', offset: 4, kind: 'u32', dir: 'out', refers: 'device' },
    { name: 'pasid', offset: 8, kind: 'u32', dir: 'out', refers: 'pasid' },
    { name: 'grpid', offset: 12, kind: 'u32', dir: 'out', refers: 'count' },
    { name: 'perm', offset: 16, kind: 'u32', dir: 'out', flags: 'pgfaultPerm' },
    { name: '__reserved', offset: 20, kind: 'u32', dir: 'out', reserved: true },
    { name: 'addr', offset: 24, kind: 'u64', dir: 'out', refers: 'iova' },
    { name: 'length', offset: 32, kind: 'u32', dir: 'out', refers: 'length' },
    { name: 'cookie', offset: 36, kind: 'u32', dir: 'out', refers: 'count' },
  ],
});

/** The answer written to a fault queue. */
export const IOMMU_HWPT_PAGE_RESPONSE = defineLayout({
  name: 'iommu_hwpt_page_response',
  sizeBytes: 8,
  minBytes: 8,
  fields: [
    { name: 'cookie', offset: 0, kind: 'u32', dir: 'in', refers: 'count' },
    { name: 'code', offset: 4, kind: 'u32', dir: 'in', values: 'pageResponse' },
  ],
});

/** Stands before each event read from a vEVENTQ; alone when it says LOST_EVENTS. */
export const IOMMUFD_VEVENT_HEADER = defineLayout({
  name: 'iommufd_vevent_header',
  sizeBytes: 8,
  minBytes: 8,
  fields: [
    { name: 'flags', offset: 0, kind: 'u32', dir: 'out', flags: 'veventq' },
    { name: 'sequence', offset: 4, kind: 'u32', dir: 'out', refers: 'count' },
  ],
});

/** The stream id in it is the virtual one. */
export const IOMMU_VEVENT_ARM_SMMUV3 = defineLayout({
  name: 'iommu_vevent_arm_smmuv3',
  sizeBytes: 32,
  minBytes: 32,
  fields: [{ name: 'evt', offset: 0, kind: 'u64[]', count: 4, dir: 'out' }],
});

export const IOMMU_VEVENT_TEGRA241_CMDQV = defineLayout({
  name: 'iommu_vevent_tegra241_cmdqv',
  sizeBytes: 16,
  minBytes: 16,
  fields: [{ name: 'lvcmdq_err_map', offset: 0, kind: 'u64[]', count: 2, dir: 'out' }],
});

export const IOMMU_VEVENT_SELFTEST = defineLayout({
  name: 'iommu_viommu_event_selftest',
  sizeBytes: 4,
  minBytes: 4,
  fields: [{ name: 'virt_id', offset: 0, kind: 'u32', dir: 'out', refers: 'bits' }],
});

export const IOMMU_VIOMMU_TEGRA241_CMDQV = defineLayout({
  name: 'iommu_viommu_tegra241_cmdqv',
  sizeBytes: 16,
  minBytes: 16,
  fields: [
    { name: 'out_vintf_mmap_offset', offset: 0, kind: 'u64', dir: 'out', refers: 'offset' },
    { name: 'out_vintf_mmap_length', offset: 8, kind: 'u64', dir: 'out', refers: 'length' },
  ],
});

export const IOMMU_VIOMMU_SELFTEST = defineLayout({
  name: 'iommu_viommu_selftest',
  sizeBytes: 24,
  minBytes: 24,
  fields: [
    { name: 'in_data', offset: 0, kind: 'u32', dir: 'in', refers: 'bits' },
    { name: 'out_data', offset: 4, kind: 'u32', dir: 'out', refers: 'bits' },
    { name: 'out_mmap_offset', offset: 8, kind: 'u64', dir: 'out', refers: 'offset' },
    { name: 'out_mmap_length', offset: 16, kind: 'u64', dir: 'out', refers: 'length' },
  ],
});

type RecordTable = ReadonlyMap<number, StructLayout>;

/** User data of HWPT_ALLOC by `data_type`. */
export const HWPT_DATA_RECORDS: RecordTable = new Map<number, StructLayout>([
  [IOMMU_HWPT_DATA.VTD_S1, IOMMU_HWPT_VTD_S1],
  [IOMMU_HWPT_DATA.ARM_SMMUV3, IOMMU_HWPT_ARM_SMMUV3],
  [IOMMU_HWPT_DATA.AMD_GUEST, IOMMU_HWPT_AMD_GUEST],
  [IOMMU_HWPT_DATA.SELFTEST, IOMMU_HWPT_SELFTEST],
]);

/** What GET_HW_INFO writes, by `out_data_type`. */
export const HW_INFO_RECORDS: RecordTable = new Map<number, StructLayout>([
  [IOMMU_HW_INFO_TYPE.INTEL_VTD, IOMMU_HW_INFO_VTD],
  [IOMMU_HW_INFO_TYPE.ARM_SMMUV3, IOMMU_HW_INFO_ARM_SMMUV3],
  [IOMMU_HW_INFO_TYPE.TEGRA241_CMDQV, IOMMU_HW_INFO_TEGRA241_CMDQV],
  [IOMMU_HW_INFO_TYPE.AMD, IOMMU_HW_INFO_AMD],
  [IOMMU_HW_INFO_TYPE.SELFTEST, IOMMU_HW_INFO_SELFTEST],
]);

/** Entries of HWPT_INVALIDATE on a nested HWPT, by `data_type`. */
export const HWPT_INVALIDATE_RECORDS: RecordTable = new Map<number, StructLayout>([
  [IOMMU_INVALIDATE_DATA.VTD_S1, IOMMU_INVALIDATE_VTD_S1],
  [IOMMU_INVALIDATE_DATA.SELFTEST, IOMMU_INVALIDATE_SELFTEST],
]);

/** Entries of HWPT_INVALIDATE on a vIOMMU, by `data_type`. */
export const VIOMMU_INVALIDATE_RECORDS: RecordTable = new Map<number, StructLayout>([
  [IOMMU_INVALIDATE_DATA.VIOMMU_ARM_SMMUV3, IOMMU_INVALIDATE_ARM_SMMUV3],
  [IOMMU_INVALIDATE_DATA.SELFTEST, IOMMU_INVALIDATE_VIOMMU_SELFTEST],
]);

/** Events after IOMMUFD_VEVENT_HEADER, by the type of the queue. */
export const VEVENT_RECORDS: RecordTable = new Map<number, StructLayout>([
  [IOMMU_VEVENTQ_TYPE.ARM_SMMUV3, IOMMU_VEVENT_ARM_SMMUV3],
  [IOMMU_VEVENTQ_TYPE.TEGRA241_CMDQV, IOMMU_VEVENT_TEGRA241_CMDQV],
  [IOMMU_VEVENTQ_TYPE.SELFTEST, IOMMU_VEVENT_SELFTEST],
]);

/** User data of VIOMMU_ALLOC by `type`. */
export const VIOMMU_DATA_RECORDS: RecordTable = new Map<number, StructLayout>([
  [IOMMU_VIOMMU_TYPE.TEGRA241_CMDQV, IOMMU_VIOMMU_TEGRA241_CMDQV],
  [IOMMU_VIOMMU_TYPE.SELFTEST, IOMMU_VIOMMU_SELFTEST],
]);
