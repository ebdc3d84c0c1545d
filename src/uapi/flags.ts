/**
 * Flag bits and enum values of the iommufd, VFIO and selftest user API, and their names.
 *
 * Names are the kernel's without their common prefix. Values were compared with the 6.12 headers; what is
 * newer comes from 7.3-rc7 (see the reference, section 1.3).
 */

export type FlagTable = Readonly<Record<string, number>>;
export type EnumTable = Readonly<Record<string, number>>;

// iommufd flags
export const IOMMU_IOAS_MAP_FLAGS = { FIXED_IOVA: 1, WRITEABLE: 2, READABLE: 4 } as const;
/** IOAS_COPY also honours the selftest's SYZ bit on kernels with CONFIG_IOMMUFD_TEST. */
export const IOMMU_IOAS_COPY_FLAGS = { ...IOMMU_IOAS_MAP_FLAGS, SYZ: 0x10000 } as const;
export const IOMMU_HWPT_ALLOC_FLAGS = {
  NEST_PARENT: 1,
  DIRTY_TRACKING: 2,
  FAULT_ID_VALID: 4,
  PASID: 8,
} as const;
export const IOMMU_GET_HW_INFO_FLAGS = { INPUT_TYPE: 1 } as const;
export const IOMMU_HW_CAP = {
  DIRTY_TRACKING: 1,
  PCI_PASID_EXEC: 2,
  PCI_PASID_PRIV: 4,
  PCI_ATS_NOT_SUPPORTED: 8,
} as const;
export const IOMMU_HWPT_DIRTY_TRACKING_FLAGS = { ENABLE: 1 } as const;
export const IOMMU_HWPT_GET_DIRTY_FLAGS = { NO_CLEAR: 1 } as const;
export const IOMMU_VTD_S1_FLAGS = { SRE: 1, EAFE: 2, WPE: 4 } as const;
export const IOMMU_VTD_INV_FLAGS = { LEAF: 1 } as const;
export const IOMMU_HW_INFO_VTD_FLAGS = { ERRATA_772415_SPR17: 1 } as const;
export const IOMMU_HW_INFO_SMMUV3_FLAGS = { REPEAT_TLBI_CFGI: 1 } as const;
export const IOMMU_PGFAULT_FLAGS = { PASID_VALID: 1, LAST_PAGE: 2 } as const;
export const IOMMU_PGFAULT_PERM = { READ: 1, WRITE: 2, EXEC: 4, PRIV: 8 } as const;
export const IOMMU_VEVENTQ_FLAGS = { LOST_EVENTS: 1 } as const;

// selftest flags
export const IOMMU_TEST_ACCESS_FLAGS = { WRITE: 1, SYZ: 0x10000 } as const;
export const IOMMU_TEST_ACCESS_RW_FLAGS = { WRITE: 1, SLOW_PATH: 4, SYZ: 0x10000 } as const;
export const IOMMU_TEST_ACCESS_CREATE_FLAGS = { NEEDS_PIN_PAGES: 1 } as const;
export const IOMMU_TEST_DEVICE_FLAGS = { NO_DIRTY: 1, HUGE_IOVA: 2, PASID: 4 } as const;
export const IOMMU_TEST_INVALIDATE_FLAGS = { ALL: 1 } as const;

// VFIO flags
export const VFIO_GROUP_FLAGS = { VIABLE: 1, CONTAINER_SET: 2 } as const;
export const VFIO_DEVICE_FLAGS = {
  RESET: 1,
  PCI: 2,
  PLATFORM: 4,
  AMBA: 8,
  CCW: 0x10,
  AP: 0x20,
  FSL_MC: 0x40,
  CAPS: 0x80,
  CDX: 0x100,
} as const;
export const VFIO_REGION_INFO_FLAGS = { READ: 1, WRITE: 2, MMAP: 4, CAPS: 8 } as const;
export const VFIO_IRQ_INFO_FLAGS = { EVENTFD: 1, MASKABLE: 2, AUTOMASKED: 4, NORESIZE: 8 } as const;
export const VFIO_IRQ_SET_FLAGS = {
  DATA_NONE: 1,
  DATA_BOOL: 2,
  DATA_EVENTFD: 4,
  ACTION_MASK: 8,
  ACTION_UNMASK: 0x10,
  ACTION_TRIGGER: 0x20,
} as const;
export const VFIO_PCI_HOT_RESET_FLAGS = { DEV_ID: 1, DEV_ID_OWNED: 2 } as const;
export const VFIO_GFX_PLANE_FLAGS = { PROBE: 1, DMABUF: 2, REGION: 4 } as const;
export const VFIO_IOEVENTFD_FLAGS = { SIZE_8: 1, SIZE_16: 2, SIZE_32: 4, SIZE_64: 8 } as const;
/** The low 16 bits of the same word hold the feature, VFIO_FEATURE. */
export const VFIO_FEATURE_FLAGS = { GET: 0x10000, SET: 0x20000, PROBE: 0x40000 } as const;
export const VFIO_BIND_FLAGS = { TOKEN: 1 } as const;
export const VFIO_ATTACH_FLAGS = { PASID: 1 } as const;
export const VFIO_IOMMU_INFO_FLAGS = { PGSIZES: 1, CAPS: 2 } as const;
export const VFIO_DMA_MAP_FLAGS = { READ: 1, WRITE: 2, VADDR: 4 } as const;
export const VFIO_DMA_UNMAP_FLAGS = { GET_DIRTY_BITMAP: 1, ALL: 2, VADDR: 4 } as const;
export const VFIO_DIRTY_PAGES_FLAGS = { START: 1, STOP: 2, GET_BITMAP: 4 } as const;
export const VFIO_MIGRATION_FLAGS = { STOP_COPY: 1, P2P: 2, PRE_COPY: 4 } as const;
export const VFIO_SPAPR_INFO_FLAGS = { DDW: 1 } as const;
export const VFIO_PCI_ATOMIC_FLAGS = { COMP32: 1, COMP64: 2, COMP128: 4 } as const;

export const FLAG_TABLES = {
  ioasMap: IOMMU_IOAS_MAP_FLAGS,
  ioasCopy: IOMMU_IOAS_COPY_FLAGS,
  hwptAlloc: IOMMU_HWPT_ALLOC_FLAGS,
  getHwInfo: IOMMU_GET_HW_INFO_FLAGS,
  hwCap: IOMMU_HW_CAP,
  dirtyTracking: IOMMU_HWPT_DIRTY_TRACKING_FLAGS,
  getDirty: IOMMU_HWPT_GET_DIRTY_FLAGS,
  vtdS1: IOMMU_VTD_S1_FLAGS,
  vtdInvalidate: IOMMU_VTD_INV_FLAGS,
  hwInfoVtd: IOMMU_HW_INFO_VTD_FLAGS,
  hwInfoSmmuv3: IOMMU_HW_INFO_SMMUV3_FLAGS,
  pgfault: IOMMU_PGFAULT_FLAGS,
  pgfaultPerm: IOMMU_PGFAULT_PERM,
  veventq: IOMMU_VEVENTQ_FLAGS,
  testAccess: IOMMU_TEST_ACCESS_FLAGS,
  testAccessRw: IOMMU_TEST_ACCESS_RW_FLAGS,
  testAccessCreate: IOMMU_TEST_ACCESS_CREATE_FLAGS,
  testDevice: IOMMU_TEST_DEVICE_FLAGS,
  testInvalidate: IOMMU_TEST_INVALIDATE_FLAGS,
  vfioGroup: VFIO_GROUP_FLAGS,
  vfioDevice: VFIO_DEVICE_FLAGS,
  vfioRegionInfo: VFIO_REGION_INFO_FLAGS,
  vfioIrqInfo: VFIO_IRQ_INFO_FLAGS,
  vfioIrqSet: VFIO_IRQ_SET_FLAGS,
  vfioHotReset: VFIO_PCI_HOT_RESET_FLAGS,
  vfioGfxPlane: VFIO_GFX_PLANE_FLAGS,
  vfioIoeventfd: VFIO_IOEVENTFD_FLAGS,
  vfioFeature: VFIO_FEATURE_FLAGS,
  vfioBind: VFIO_BIND_FLAGS,
  vfioAttach: VFIO_ATTACH_FLAGS,
  vfioIommuInfo: VFIO_IOMMU_INFO_FLAGS,
  vfioDmaMap: VFIO_DMA_MAP_FLAGS,
  vfioDmaUnmap: VFIO_DMA_UNMAP_FLAGS,
  vfioDirtyPages: VFIO_DIRTY_PAGES_FLAGS,
  vfioMigration: VFIO_MIGRATION_FLAGS,
  vfioSpaprInfo: VFIO_SPAPR_INFO_FLAGS,
  vfioPciAtomic: VFIO_PCI_ATOMIC_FLAGS,
} as const satisfies Record<string, FlagTable>;

export type FlagTableName = keyof typeof FLAG_TABLES;

// iommufd enums
export const IOMMU_OPTION_ID = { RLIMIT_MODE: 0, HUGE_PAGES: 1 } as const;
export const IOMMU_OPTION_OP = { SET: 0, GET: 1 } as const;
export const IOMMU_VFIO_IOAS_OP = { GET: 0, SET: 1, CLEAR: 2 } as const;
export const IOMMU_HWPT_DATA = { NONE: 0, VTD_S1: 1, ARM_SMMUV3: 2, AMD_GUEST: 3, SELFTEST: 0xdead } as const;
export const IOMMU_HW_INFO_TYPE = {
  NONE: 0,
  INTEL_VTD: 1,
  ARM_SMMUV3: 2,
  TEGRA241_CMDQV: 3,
  AMD: 4,
  SELFTEST: 0xfeedbeef,
} as const;
/** On a vIOMMU the selftest uses the same number as on a hwpt. */
export const IOMMU_INVALIDATE_DATA = { VTD_S1: 0, VIOMMU_ARM_SMMUV3: 1, SELFTEST: 0xdeadbeef } as const;
export const IOMMU_VIOMMU_TYPE = {
  DEFAULT: 0,
  ARM_SMMUV3: 1,
  TEGRA241_CMDQV: 2,
  SELFTEST: 0xdeadbeef,
} as const;
export const IOMMU_VEVENTQ_TYPE = {
  DEFAULT: 0,
  ARM_SMMUV3: 1,
  TEGRA241_CMDQV: 2,
  SELFTEST: 0xbeefbeef,
} as const;
export const IOMMU_HW_QUEUE_TYPE = { DEFAULT: 0, TEGRA241_CMDQV: 1, SELFTEST: 0xdeadbeef } as const;
export const IOMMU_PAGE_RESP = { SUCCESS: 0, INVALID: 1 } as const;

/** Operations of IOMMU_TEST_CMD. */
export const IOMMU_TEST_OP = {
  ADD_RESERVED: 1,
  MOCK_DOMAIN: 2,
  MD_CHECK_MAP: 3,
  MD_CHECK_REFS: 4,
  CREATE_ACCESS: 5,
  DESTROY_ACCESS_PAGES: 6,
  ACCESS_PAGES: 7,
  ACCESS_RW: 8,
  SET_TEMP_MEMORY_LIMIT: 9,
  MOCK_DOMAIN_REPLACE: 10,
  ACCESS_REPLACE_IOAS: 11,
  MOCK_DOMAIN_FLAGS: 12,
  DIRTY: 13,
  MD_CHECK_IOTLB: 14,
  TRIGGER_IOPF: 15,
  DEV_CHECK_CACHE: 16,
  TRIGGER_VEVENT: 17,
  PASID_ATTACH: 18,
  PASID_REPLACE: 19,
  PASID_DETACH: 20,
  PASID_CHECK_HWPT: 21,
  DMABUF_GET: 22,
  DMABUF_REVOKE: 23,
} as const;
export const IOMMU_TEST_PAGETABLE = { DEFAULT: 0, HUGE: 1 } as const;

// VFIO enums
/** Both the IOMMU types of VFIO_SET_IOMMU and the questions of VFIO_CHECK_EXTENSION. */
export const VFIO_EXTENSION = {
  TYPE1: 1,
  SPAPR_TCE: 2,
  TYPE1v2: 3,
  DMA_CC: 4,
  EEH: 5,
  TYPE1_NESTING: 6,
  SPAPR_TCE_v2: 7,
  NOIOMMU: 8,
  UNMAP_ALL: 9,
  UPDATE_VADDR: 10,
} as const;
export const VFIO_FEATURE = {
  PCI_VF_TOKEN: 0,
  MIGRATION: 1,
  MIG_DEVICE_STATE: 2,
  LOW_POWER_ENTRY: 3,
  LOW_POWER_ENTRY_WITH_WAKEUP: 4,
  LOW_POWER_EXIT: 5,
  DMA_LOGGING_START: 6,
  DMA_LOGGING_STOP: 7,
  DMA_LOGGING_REPORT: 8,
  MIG_DATA_SIZE: 9,
  BUS_MASTER: 10,
  DMA_BUF: 11,
  MIG_PRECOPY_INFOv2: 12,
} as const;
export const VFIO_MIG_STATE = {
  ERROR: 0,
  STOP: 1,
  RUNNING: 2,
  STOP_COPY: 3,
  RESUMING: 4,
  RUNNING_P2P: 5,
  PRE_COPY: 6,
  PRE_COPY_P2P: 7,
} as const;
export const VFIO_BUS_MASTER = { CLEAR: 0, SET: 1 } as const;
export const VFIO_IOMMU_CAP = { IOVA_RANGE: 1, MIGRATION: 2, DMA_AVAIL: 3 } as const;
export const VFIO_EEH_OP = {
  DISABLE: 0,
  ENABLE: 1,
  UNFREEZE_IO: 2,
  UNFREEZE_DMA: 3,
  GET_STATE: 4,
  RESET_DEACTIVATE: 5,
  RESET_HOT: 6,
  RESET_FUNDAMENTAL: 7,
  CONFIGURE: 8,
  INJECT_ERR: 9,
} as const;

export const ENUM_TABLES = {
  optionId: IOMMU_OPTION_ID,
  optionOp: IOMMU_OPTION_OP,
  vfioIoasOp: IOMMU_VFIO_IOAS_OP,
  hwptData: IOMMU_HWPT_DATA,
  hwInfoType: IOMMU_HW_INFO_TYPE,
  invalidateData: IOMMU_INVALIDATE_DATA,
  viommuType: IOMMU_VIOMMU_TYPE,
  veventqType: IOMMU_VEVENTQ_TYPE,
  hwQueueType: IOMMU_HW_QUEUE_TYPE,
  pageResponse: IOMMU_PAGE_RESP,
  testOp: IOMMU_TEST_OP,
  testPagetable: IOMMU_TEST_PAGETABLE,
  vfioExtension: VFIO_EXTENSION,
  vfioFeature: VFIO_FEATURE,
  vfioMigState: VFIO_MIG_STATE,
  vfioBusMaster: VFIO_BUS_MASTER,
  vfioIommuCap: VFIO_IOMMU_CAP,
  vfioEehOp: VFIO_EEH_OP,
} as const satisfies Record<string, EnumTable>;

export type EnumTableName = keyof typeof ENUM_TABLES;

/**
 * Names of the set bits, lowest table entry first, then what has no name: `FIXED_IOVA|WRITEABLE|0x10`; 0
 * is `0`.
 */
export function renderFlags(table: FlagTable, value: number | bigint): string {
  let rest = BigInt(value);
  const names: string[] = [];
  for (const [name, bit] of Object.entries(table)) {
    if ((rest & BigInt(bit)) === 0n) continue;
    names.push(name);
    rest &= ~BigInt(bit);
  }
  if (rest !== 0n || names.length === 0) names.push(rest === 0n ? '0' : `0x${rest.toString(16)}`);
  return names.join('|');
}

/** The name of a value; one without a name is printed as a number, hexadecimal from 0x10000 on. */
export function renderEnum(table: EnumTable, value: number | bigint): string {
  const number = Number(value);
  const found = Object.entries(table).find(([, known]) => known === number);
  if (found) return found[0];
  return number < 0x10000 ? String(value) : `0x${value.toString(16)}`;
}

/** The bits or the value of a name; undefined when the table does not know it. */
export function valueOfName(table: FlagTable | EnumTable, name: string): number | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}
