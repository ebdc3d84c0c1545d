/**
 * The user API of the code of September 2021 ("/dev/iommu", RFC of 2021-09-19), never merged. Its numbers are
 * those of VFIO on other descriptors, so that the rows are not among the others'.
 */
import { type IoctlEntry, structIoctl } from './ioctl.ts';
import { defineLayout } from './layout.ts';

export const RFC_DEVICE_INFO_FLAGS = { ENFORCE_SNOOP: 1, PGSIZES: 2, ADDR_WIDTH: 4, CAPS: 8 } as const;
export const RFC_IOASID_FLAGS = { ENFORCE_SNOOP: 1 } as const;
export const RFC_IOASID_TYPE = { KERNEL_TYPE1V2: 1 } as const;
/** By value to IOMMU_CHECK_EXTENSION. */
export const RFC_EXTENSION = { MAP_TYPE1V2: 1, DMA_NO_SNOOP: 2 } as const;

export const RFC_DEVICE_INFO = defineLayout({
  name: 'iommu_device_info',
  sizeBytes: 32,
  minBytes: 32,
  flexible: true,
  fields: [
    { name: 'argsz', offset: 0, kind: 'u32', dir: 'inout', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'out' },
    { name: 'dev_cookie', offset: 8, kind: 'u64', dir: 'in' },
    { name: 'pgsize_bitmap', offset: 16, kind: 'u64', dir: 'out', refers: 'bits' },
    { name: 'addr_width', offset: 24, kind: 'u32', dir: 'out', refers: 'count' },
    { name: 'cap_offset', offset: 28, kind: 'u32', dir: 'out', refers: 'offset' },
  ],
});

/** Answers the number as return value. */
export const RFC_IOASID_ALLOC = defineLayout({
  name: 'iommu_ioasid_alloc',
  sizeBytes: 16,
  minBytes: 16,
  fields: [
    { name: 'argsz', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'in' },
    { name: 'type', offset: 8, kind: 'u32', dir: 'in' },
    { name: 'addr_width', offset: 12, kind: 'u32', dir: 'in', refers: 'count' },
  ],
});

/** The struct that the review asked for instead (2021-09-22): hints for the range, parent, format. */
export const RFC_IOASID_ALLOC_REVIEWED = defineLayout({
  name: 'iommu_ioasid_alloc_reviewed',
  sizeBytes: 48,
  minBytes: 48,
  fields: [
    { name: 'argsz', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'in' },
    { name: 'max_iova_hint', offset: 8, kind: 'u64', dir: 'in', refers: 'iova' },
    { name: 'base_iova_hint', offset: 16, kind: 'u64', dir: 'in', refers: 'iova' },
    { name: 'parent_ios_id', offset: 24, kind: 'u32', dir: 'in', refers: 'ioas' },
    { name: 'format', offset: 28, kind: 'u32', dir: 'in' },
    { name: 'format_flags', offset: 32, kind: 'u32', dir: 'in' },
    { name: 'user_page_directory', offset: 40, kind: 'u64', dir: 'in', refers: 'va' },
  ],
});

export const RFC_IOASID_FREE = defineLayout({
  name: 'ioasid',
  sizeBytes: 4,
  minBytes: 4,
  fields: [{ name: 'ioasid', offset: 0, kind: 's32', dir: 'in', refers: 'ioas' }],
});

/** A struct of VFIO's type1 follows, with its own argsz. */
export const RFC_IOASID_DMA_OP = defineLayout({
  name: 'iommu_ioasid_dma_op',
  sizeBytes: 16,
  minBytes: 16,
  flexible: true,
  fields: [
    { name: 'argsz', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'in' },
    { name: 'ioasid', offset: 8, kind: 's32', dir: 'in', refers: 'ioas' },
    { name: 'padding', offset: 12, kind: 'u32', dir: 'in', reserved: true },
    { name: 'data', offset: 16, kind: 'bytes', count: 'rest', dir: 'inout' },
  ],
});

/** Four bytes of padding stand before the cookie: the review asked for a name for them. */
export const RFC_BIND_DATA = defineLayout({
  name: 'vfio_device_iommu_bind_data',
  sizeBytes: 24,
  minBytes: 24,
  fields: [
    { name: 'argsz', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'in' },
    { name: 'iommu_fd', offset: 8, kind: 's32', dir: 'in', refers: 'fd' },
    { name: 'dev_cookie', offset: 16, kind: 'u64', dir: 'in' },
  ],
});

export const RFC_ATTACH = defineLayout({
  name: 'vfio_device_attach_ioasid',
  sizeBytes: 16,
  minBytes: 16,
  fields: [
    { name: 'argsz', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'in' },
    { name: 'iommu_fd', offset: 8, kind: 's32', dir: 'in', refers: 'fd' },
    { name: 'ioasid', offset: 12, kind: 's32', dir: 'in', refers: 'ioas' },
  ],
});

export const RFC_CMD = {
  IOMMU_CHECK_EXTENSION: 0x3b64,
  IOMMU_DEVICE_GET_INFO: 0x3b65,
  IOMMU_IOASID_ALLOC: 0x3b66,
  IOMMU_IOASID_FREE: 0x3b67,
  IOMMU_MAP_DMA: 0x3b68,
  IOMMU_UNMAP_DMA: 0x3b69,
  VFIO_DEVICE_BIND_IOMMUFD: 0x3b77,
  VFIO_DEVICE_ATTACH_IOASID: 0x3b78,
  VFIO_DEVICE_DETACH_IOASID: 0x3b79,
} as const;

const IOMMU = ['iommufd'] as const;
const DEVICE = ['device'] as const;

/** Rows of this generation; `since` has no meaning here. */
export const RFC_2021_09_IOCTLS = [
  {
    name: 'IOMMU_CHECK_EXTENSION',
    cmd: RFC_CMD.IOMMU_CHECK_EXTENSION,
    kinds: IOMMU,
    argument: 'value',
    layout: null,
    since: '',
  },
  structIoctl('IOMMU_DEVICE_GET_INFO', RFC_CMD.IOMMU_DEVICE_GET_INFO, IOMMU, RFC_DEVICE_INFO, ''),
  structIoctl('IOMMU_IOASID_ALLOC', RFC_CMD.IOMMU_IOASID_ALLOC, IOMMU, RFC_IOASID_ALLOC, ''),
  structIoctl('IOMMU_IOASID_FREE', RFC_CMD.IOMMU_IOASID_FREE, IOMMU, RFC_IOASID_FREE, ''),
  structIoctl('IOMMU_MAP_DMA', RFC_CMD.IOMMU_MAP_DMA, IOMMU, RFC_IOASID_DMA_OP, ''),
  structIoctl('IOMMU_UNMAP_DMA', RFC_CMD.IOMMU_UNMAP_DMA, IOMMU, RFC_IOASID_DMA_OP, ''),
  structIoctl('VFIO_DEVICE_BIND_IOMMUFD', RFC_CMD.VFIO_DEVICE_BIND_IOMMUFD, DEVICE, RFC_BIND_DATA, ''),
  structIoctl('VFIO_DEVICE_ATTACH_IOASID', RFC_CMD.VFIO_DEVICE_ATTACH_IOASID, DEVICE, RFC_ATTACH, ''),
  structIoctl('VFIO_DEVICE_DETACH_IOASID', RFC_CMD.VFIO_DEVICE_DETACH_IOASID, DEVICE, RFC_ATTACH, ''),
] as const satisfies readonly IoctlEntry[];
