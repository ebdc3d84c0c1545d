/**
 * The user API of the IOASID series V4 (2021-02-27: `/dev/ioasid`, PASIDs only), of its predecessor in VFIO
 * ("vfio: expose virtual Shared Virtual Addressing to VMs", V7 of 2020-09-10). None of them was ever merged.
 */
import { type IoctlEntry, structIoctl } from './ioctl.ts';
import { defineLayout } from './layout.ts';

/** `_IO('i', 100 + n)`. */
export const IOASID_CMD = {
  IOASID_GET_API_VERSION: 0x6964,
  IOASID_GET_INFO: 0x6965,
  IOASID_REQUEST_ALLOC: 0x6966,
  IOASID_REQUEST_FREE: 0x6967,
} as const;
export const IOASID_API_VERSION = 0;
/** IOASID_GET_INFO answers it. */
export const IOASID_BITS = 31;

export const IOASID_INFO = defineLayout({
  name: 'ioasid_info',
  sizeBytes: 12,
  minBytes: 12,
  fields: [
    { name: 'argsz', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'in' },
    { name: 'ioasid_bits', offset: 8, kind: 'u32', dir: 'out', refers: 'count' },
  ],
});

/** Both ends are inclusive; the id is the return value. */
export const IOASID_ALLOC_REQUEST = defineLayout({
  name: 'ioasid_alloc_request',
  sizeBytes: 16,
  minBytes: 16,
  fields: [
    { name: 'argsz', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'in' },
    { name: 'min', offset: 8, kind: 'u32', dir: 'in', refers: 'pasid' },
    { name: 'max', offset: 12, kind: 'u32', dir: 'in', refers: 'pasid' },
  ],
});

/** The number that goes back, read through a pointer. */
export const IOASID_FREE_REQUEST = defineLayout({
  name: 'ioasid',
  sizeBytes: 4,
  minBytes: 4,
  fields: [{ name: 'ioasid', offset: 0, kind: 's32', dir: 'in', refers: 'pasid' }],
});

/** `VFIO_BASE + 18` and `+ 19` on a container, 2020 only. */
export const SVA_2020_CMD = { VFIO_IOMMU_PASID_REQUEST: 0x3b76, VFIO_IOMMU_NESTING_OP: 0x3b77 } as const;
export const SVA_2020_PASID_FLAGS = { ALLOC: 1, FREE: 2 } as const;
/** In the low 16 bits of `flags`. */
export const SVA_2020_NESTING_OP = { BIND_PGTBL: 0, UNBIND_PGTBL: 1 } as const;

export const VFIO_IOMMU_TYPE1_PASID_REQUEST = defineLayout({
  name: 'vfio_iommu_type1_pasid_request',
  sizeBytes: 16,
  minBytes: 16,
  fields: [
    { name: 'argsz', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'in' },
    { name: 'min', offset: 8, kind: 'u32', dir: 'in', refers: 'pasid' },
    { name: 'max', offset: 12, kind: 'u32', dir: 'in', refers: 'pasid' },
  ],
});

export const VFIO_IOMMU_TYPE1_NESTING_OP = defineLayout({
  name: 'vfio_iommu_type1_nesting_op',
  sizeBytes: 8,
  minBytes: 8,
  flexible: true,
  fields: [
    { name: 'argsz', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'in' },
    { name: 'data', offset: 8, kind: 'bytes', count: 'rest', dir: 'in' },
  ],
});

const IOMMU = ['iommufd'] as const;
const CONTAINER = ['container'] as const;

/** Rows of this generation: `/dev/ioasid`, and what a container had before it. */
export const IOASID_V4_IOCTLS = [
  {
    name: 'IOASID_GET_API_VERSION',
    cmd: IOASID_CMD.IOASID_GET_API_VERSION,
    kinds: IOMMU,
    argument: 'none',
    layout: null,
    since: '',
  },
  structIoctl('IOASID_GET_INFO', IOASID_CMD.IOASID_GET_INFO, IOMMU, IOASID_INFO, ''),
  structIoctl('IOASID_REQUEST_ALLOC', IOASID_CMD.IOASID_REQUEST_ALLOC, IOMMU, IOASID_ALLOC_REQUEST, ''),
  structIoctl('IOASID_REQUEST_FREE', IOASID_CMD.IOASID_REQUEST_FREE, IOMMU, IOASID_FREE_REQUEST, ''),
  structIoctl(
    'VFIO_IOMMU_PASID_REQUEST',
    SVA_2020_CMD.VFIO_IOMMU_PASID_REQUEST,
    CONTAINER,
    VFIO_IOMMU_TYPE1_PASID_REQUEST,
    '',
  ),
  structIoctl(
    'VFIO_IOMMU_NESTING_OP',
    SVA_2020_CMD.VFIO_IOMMU_NESTING_OP,
    CONTAINER,
    VFIO_IOMMU_TYPE1_NESTING_OP,
    '',
  ),
] as const satisfies readonly IoctlEntry[];
