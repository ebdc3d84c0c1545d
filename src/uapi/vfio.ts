/**
 * VFIO commands of containers and groups.
 *
 * The 6.12 layouts were compared with the compiled headers; spapr is here because it shares numbers with
 * type1. VFIO structs begin with `argsz`, and data may follow the struct.
 */

import { VFIO_DIRTY_PAGES_FLAGS, VFIO_DMA_UNMAP_FLAGS, VFIO_EEH_OP } from './flags.ts';
import { type FdKind, type IoctlEntry, structIoctl } from './ioctl.ts';
import { defineLayout } from './layout.ts';

export const VFIO_GROUP_GET_STATUS = defineLayout({
  name: 'vfio_group_status',
  sizeBytes: 8,
  minBytes: 8,
  fields: [
    { name: 'argsz', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'out', flags: 'vfioGroup' },
  ],
});

/** The argument points to one descriptor, of a container or of an iommufd. */
export const VFIO_GROUP_SET_CONTAINER = defineLayout({
  name: 'vfio_group_set_container',
  sizeBytes: 4,
  minBytes: 4,
  fields: [{ name: 'container_fd', offset: 0, kind: 's32', dir: 'in', refers: 'fd' }],
});

/** `argsz` answers the size that all capabilities need; they follow the struct when they fit. */
export const VFIO_IOMMU_GET_INFO = defineLayout({
  name: 'vfio_iommu_type1_info',
  sizeBytes: 24,
  minBytes: 16,
  flexible: true,
  fields: [
    { name: 'argsz', offset: 0, kind: 'u32', dir: 'inout', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'out', flags: 'vfioIommuInfo' },
    { name: 'iova_pgsizes', offset: 8, kind: 'u64', dir: 'out', refers: 'bits' },
    { name: 'cap_offset', offset: 16, kind: 'u32', dir: 'out', refers: 'count' },
    { name: 'pad', offset: 20, kind: 'u32', dir: 'out', reserved: true },
  ],
});

export const VFIO_IOMMU_MAP_DMA = defineLayout({
  name: 'vfio_iommu_type1_dma_map',
  sizeBytes: 32,
  minBytes: 32,
  fields: [
    { name: 'argsz', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'in', flags: 'vfioDmaMap' },
    { name: 'vaddr', offset: 8, kind: 'u64', dir: 'in', refers: 'va' },
    { name: 'iova', offset: 16, kind: 'u64', dir: 'in', refers: 'iova' },
    { name: 'size', offset: 24, kind: 'u64', dir: 'in', refers: 'length' },
  ],
});

/** `size` answers the bytes that were removed. */
export const VFIO_IOMMU_UNMAP_DMA = defineLayout({
  name: 'vfio_iommu_type1_dma_unmap',
  sizeBytes: 24,
  minBytes: 24,
  flexible: true,
  fields: [
    { name: 'argsz', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'in', flags: 'vfioDmaUnmap' },
    { name: 'iova', offset: 8, kind: 'u64', dir: 'in', refers: 'iova' },
    { name: 'size', offset: 16, kind: 'u64', dir: 'inout', refers: 'length' },
  ],
  union: {
    selector: 'flags',
    offset: 24,
    mask: 1,
    cases: {
      [VFIO_DMA_UNMAP_FLAGS.GET_DIRTY_BITMAP]: {
        name: 'bitmap',
        fields: [
          { name: 'pgsize', offset: 0, kind: 'u64', dir: 'in', refers: 'length' },
          { name: 'size', offset: 8, kind: 'u64', dir: 'in', refers: 'length' },
          { name: 'data', offset: 16, kind: 'u64', dir: 'in', refers: 'va' },
        ],
      },
    },
  },
});

export const VFIO_IOMMU_DIRTY_PAGES = defineLayout({
  name: 'vfio_iommu_type1_dirty_bitmap',
  sizeBytes: 8,
  minBytes: 8,
  flexible: true,
  fields: [
    { name: 'argsz', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'in', flags: 'vfioDirtyPages' },
  ],
  union: {
    selector: 'flags',
    offset: 8,
    mask: 4,
    cases: {
      [VFIO_DIRTY_PAGES_FLAGS.GET_BITMAP]: {
        name: 'get',
        fields: [
          { name: 'iova', offset: 0, kind: 'u64', dir: 'in', refers: 'iova' },
          { name: 'size', offset: 8, kind: 'u64', dir: 'in', refers: 'length' },
          { name: 'pgsize', offset: 16, kind: 'u64', dir: 'in', refers: 'length' },
          { name: 'bitmap_size', offset: 24, kind: 'u64', dir: 'in', refers: 'length' },
          { name: 'data', offset: 32, kind: 'u64', dir: 'in', refers: 'va' },
        ],
      },
    },
  },
});

export const VFIO_IOMMU_SPAPR_TCE_GET_INFO = defineLayout({
  name: 'vfio_iommu_spapr_tce_info',
  sizeBytes: 32,
  minBytes: 16,
  fields: [
    { name: 'argsz', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'out', flags: 'vfioSpaprInfo' },
    { name: 'dma32_window_start', offset: 8, kind: 'u32', dir: 'out', refers: 'length' },
    { name: 'dma32_window_size', offset: 12, kind: 'u32', dir: 'out', refers: 'length' },
    { name: 'pgsizes', offset: 16, kind: 'u64', dir: 'out', refers: 'bits' },
    { name: 'max_dynamic_windows_supported', offset: 24, kind: 'u32', dir: 'out', refers: 'count' },
    { name: 'levels', offset: 28, kind: 'u32', dir: 'out', refers: 'count' },
  ],
});

export const VFIO_IOMMU_SPAPR_REGISTER_MEMORY = defineLayout({
  name: 'vfio_iommu_spapr_register_memory',
  sizeBytes: 24,
  minBytes: 24,
  fields: [
    { name: 'argsz', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'in', refers: 'bits' },
    { name: 'vaddr', offset: 8, kind: 'u64', dir: 'in', refers: 'va' },
    { name: 'size', offset: 16, kind: 'u64', dir: 'in', refers: 'length' },
  ],
});

export const VFIO_IOMMU_SPAPR_TCE_CREATE = defineLayout({
  name: 'vfio_iommu_spapr_tce_create',
  sizeBytes: 40,
  minBytes: 40,
  fields: [
    { name: 'argsz', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'in', refers: 'bits' },
    { name: 'page_shift', offset: 8, kind: 'u32', dir: 'in', refers: 'count' },
    { name: '__resv1', offset: 12, kind: 'u32', dir: 'in', reserved: true },
    { name: 'window_size', offset: 16, kind: 'u64', dir: 'in', refers: 'length' },
    { name: 'levels', offset: 24, kind: 'u32', dir: 'in', refers: 'count' },
    { name: '__resv2', offset: 28, kind: 'u32', dir: 'in', reserved: true },
    { name: 'start_addr', offset: 32, kind: 'u64', dir: 'out', refers: 'iova' },
  ],
});

export const VFIO_IOMMU_SPAPR_TCE_REMOVE = defineLayout({
  name: 'vfio_iommu_spapr_tce_remove',
  sizeBytes: 16,
  minBytes: 16,
  fields: [
    { name: 'argsz', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'in', refers: 'bits' },
    { name: 'start_addr', offset: 8, kind: 'u64', dir: 'in', refers: 'iova' },
  ],
});

export const VFIO_EEH_PE_OP = defineLayout({
  name: 'vfio_eeh_pe_op',
  sizeBytes: 40,
  minBytes: 12,
  fields: [
    { name: 'argsz', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'in', refers: 'bits' },
    { name: 'op', offset: 8, kind: 'u32', dir: 'in', values: 'vfioEehOp' },
  ],
  union: {
    selector: 'op',
    offset: 16,
    cases: {
      [VFIO_EEH_OP.INJECT_ERR]: {
        name: 'err',
        fields: [
          { name: 'type', offset: 0, kind: 'u32', dir: 'in', refers: 'count' },
          { name: 'func', offset: 4, kind: 'u32', dir: 'in', refers: 'count' },
          { name: 'addr', offset: 8, kind: 'u64', dir: 'in', refers: 'iova' },
          { name: 'mask', offset: 16, kind: 'u64', dir: 'in', refers: 'bits' },
        ],
      },
    },
  },
});

/** Heads each capability in the data after VFIO_IOMMU_GET_INFO and VFIO_DEVICE_GET_REGION_INFO. */
export const VFIO_INFO_CAP_HEADER = defineLayout({
  name: 'vfio_info_cap_header',
  sizeBytes: 8,
  minBytes: 8,
  fields: [
    { name: 'id', offset: 0, kind: 'u16', dir: 'out' },
    { name: 'version', offset: 2, kind: 'u16', dir: 'out' },
    { name: 'next', offset: 4, kind: 'u32', dir: 'out', refers: 'count' },
  ],
});

/** `iova_ranges` are pairs of first and last address. */
export const VFIO_IOMMU_CAP_IOVA_RANGE = defineLayout({
  name: 'vfio_iommu_type1_info_cap_iova_range',
  sizeBytes: 16,
  minBytes: 16,
  flexible: true,
  fields: [
    { name: 'id', offset: 0, kind: 'u16', dir: 'out', values: 'vfioIommuCap' },
    { name: 'version', offset: 2, kind: 'u16', dir: 'out' },
    { name: 'next', offset: 4, kind: 'u32', dir: 'out', refers: 'count' },
    { name: 'nr_iovas', offset: 8, kind: 'u32', dir: 'out', refers: 'count' },
    { name: 'reserved', offset: 12, kind: 'u32', dir: 'out', reserved: true },
    { name: 'iova_ranges', offset: 16, kind: 'u64[]', count: 'rest', dir: 'out', refers: 'iova' },
  ],
});

export const VFIO_IOMMU_CAP_MIGRATION = defineLayout({
  name: 'vfio_iommu_type1_info_cap_migration',
  sizeBytes: 32,
  minBytes: 32,
  fields: [
    { name: 'id', offset: 0, kind: 'u16', dir: 'out', values: 'vfioIommuCap' },
    { name: 'version', offset: 2, kind: 'u16', dir: 'out' },
    { name: 'next', offset: 4, kind: 'u32', dir: 'out', refers: 'count' },
    { name: 'flags', offset: 8, kind: 'u32', dir: 'out', refers: 'bits' },
    { name: 'pgsize_bitmap', offset: 16, kind: 'u64', dir: 'out', refers: 'bits' },
    { name: 'max_dirty_bitmap_size', offset: 24, kind: 'u64', dir: 'out', refers: 'length' },
  ],
});

export const VFIO_IOMMU_CAP_DMA_AVAIL = defineLayout({
  name: 'vfio_iommu_type1_info_dma_avail',
  sizeBytes: 12,
  minBytes: 12,
  fields: [
    { name: 'id', offset: 0, kind: 'u16', dir: 'out', values: 'vfioIommuCap' },
    { name: 'version', offset: 2, kind: 'u16', dir: 'out' },
    { name: 'next', offset: 4, kind: 'u32', dir: 'out', refers: 'count' },
    { name: 'avail', offset: 8, kind: 'u32', dir: 'out', refers: 'count' },
  ],
});

export const VFIO_PRECOPY_INFO = defineLayout({
  name: 'vfio_precopy_info',
  sizeBytes: 24,
  minBytes: 24,
  fields: [
    { name: 'argsz', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'out', refers: 'bits' },
    { name: 'initial_bytes', offset: 8, kind: 'u64', dir: 'out', refers: 'length' },
    { name: 'dirty_bytes', offset: 16, kind: 'u64', dir: 'out', refers: 'length' },
  ],
});

/** iommufd answers the container's commands, on /dev/iommu too. */
const CONTAINER: readonly FdKind[] = ['container', 'iommufd'];
const GROUP: readonly FdKind[] = ['group'];

export const VFIO_GROUP_IOCTLS = [
  structIoctl('VFIO_GROUP_GET_STATUS', 0x3b67, GROUP, VFIO_GROUP_GET_STATUS, '6.2'),
  structIoctl('VFIO_GROUP_SET_CONTAINER', 0x3b68, GROUP, VFIO_GROUP_SET_CONTAINER, '6.2'),
  {
    name: 'VFIO_GROUP_UNSET_CONTAINER',
    cmd: 0x3b69,
    kinds: GROUP,
    argument: 'none',
    layout: null,
    since: '6.2',
  },
  {
    name: 'VFIO_GROUP_GET_DEVICE_FD',
    cmd: 0x3b6a,
    kinds: GROUP,
    argument: 'string',
    layout: null,
    since: '6.2',
  },
] as const satisfies readonly IoctlEntry[];

export const VFIO_CONTAINER_IOCTLS = [
  {
    name: 'VFIO_GET_API_VERSION',
    cmd: 0x3b64,
    kinds: CONTAINER,
    argument: 'none',
    layout: null,
    since: '6.2',
  },
  {
    name: 'VFIO_CHECK_EXTENSION',
    cmd: 0x3b65,
    kinds: CONTAINER,
    argument: 'value',
    layout: null,
    since: '6.2',
    values: 'vfioExtension',
  },
  {
    name: 'VFIO_SET_IOMMU',
    cmd: 0x3b66,
    kinds: CONTAINER,
    argument: 'value',
    layout: null,
    since: '6.2',
    values: 'vfioExtension',
  },
  structIoctl('VFIO_IOMMU_GET_INFO', 0x3b70, CONTAINER, VFIO_IOMMU_GET_INFO, '6.2'),
  structIoctl('VFIO_IOMMU_MAP_DMA', 0x3b71, CONTAINER, VFIO_IOMMU_MAP_DMA, '6.2'),
  structIoctl('VFIO_IOMMU_UNMAP_DMA', 0x3b72, CONTAINER, VFIO_IOMMU_UNMAP_DMA, '6.2'),
  {
    name: 'VFIO_IOMMU_ENABLE',
    cmd: 0x3b73,
    kinds: CONTAINER,
    argument: 'none',
    layout: null,
    since: '6.2',
    driver: 'spapr',
  },
  {
    name: 'VFIO_IOMMU_DISABLE',
    cmd: 0x3b74,
    kinds: CONTAINER,
    argument: 'none',
    layout: null,
    since: '6.2',
    driver: 'spapr',
  },
  structIoctl('VFIO_IOMMU_DIRTY_PAGES', 0x3b75, CONTAINER, VFIO_IOMMU_DIRTY_PAGES, '6.2'),
] as const satisfies readonly IoctlEntry[];

/**
 * Commands of the POWER driver; the first two share their number with type1, which wins when both are
 * possible.
 */
const SPAPR: readonly FdKind[] = ['container'];

export const VFIO_SPAPR_IOCTLS = [
  {
    ...structIoctl('VFIO_IOMMU_SPAPR_TCE_GET_INFO', 0x3b70, SPAPR, VFIO_IOMMU_SPAPR_TCE_GET_INFO, '6.2'),
    driver: 'spapr',
  },
  {
    ...structIoctl(
      'VFIO_IOMMU_SPAPR_REGISTER_MEMORY',
      0x3b75,
      SPAPR,
      VFIO_IOMMU_SPAPR_REGISTER_MEMORY,
      '6.2',
    ),
    driver: 'spapr',
  },
  {
    ...structIoctl(
      'VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY',
      0x3b76,
      SPAPR,
      VFIO_IOMMU_SPAPR_REGISTER_MEMORY,
      '6.2',
    ),
    driver: 'spapr',
  },
  {
    ...structIoctl('VFIO_IOMMU_SPAPR_TCE_CREATE', 0x3b77, SPAPR, VFIO_IOMMU_SPAPR_TCE_CREATE, '6.2'),
    driver: 'spapr',
  },
  {
    ...structIoctl('VFIO_IOMMU_SPAPR_TCE_REMOVE', 0x3b78, SPAPR, VFIO_IOMMU_SPAPR_TCE_REMOVE, '6.2'),
    driver: 'spapr',
  },
  { ...structIoctl('VFIO_EEH_PE_OP', 0x3b79, SPAPR, VFIO_EEH_PE_OP, '6.2'), driver: 'spapr' },
] as const satisfies readonly IoctlEntry[];
