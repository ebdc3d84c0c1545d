/**
 * The user API of the IOASID series V4 (2021-02-27: `/dev/ioasid`, PASIDs only), of its predecessor in VFIO
 * ("vfio: expose virtual Shared Virtual Addressing to VMs", V7 of 2020-09-10), and the fault records of
 * include/uapi/linux/iommu.h of that time. None of them is in a kernel of today.
 */
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

/** A page request as the IOMMU driver reports it: `struct iommu_fault_page_request`. */
export const IOMMU_FAULT_PAGE_REQUEST_2021 = defineLayout({
  name: 'iommu_fault_page_request',
  sizeBytes: 40,
  minBytes: 40,
  fields: [
    { name: 'flags', offset: 0, kind: 'u32', dir: 'out' },
    { name: 'pasid', offset: 4, kind: 'u32', dir: 'out', refers: 'pasid' },
    { name: 'grpid', offset: 8, kind: 'u32', dir: 'out' },
    { name: 'perm', offset: 12, kind: 'u32', dir: 'out' },
    { name: 'addr', offset: 16, kind: 'u64', dir: 'out', refers: 'va' },
    { name: 'private_data', offset: 24, kind: 'u64[]', count: 2, dir: 'out' },
  ],
});

/** A fault that nobody can repair: `struct iommu_fault_unrecoverable`. */
export const IOMMU_FAULT_UNRECOVERABLE_2021 = defineLayout({
  name: 'iommu_fault_unrecoverable',
  sizeBytes: 32,
  minBytes: 32,
  fields: [
    { name: 'reason', offset: 0, kind: 'u32', dir: 'out' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'out' },
    { name: 'pasid', offset: 8, kind: 'u32', dir: 'out', refers: 'pasid' },
    { name: 'perm', offset: 12, kind: 'u32', dir: 'out' },
    { name: 'addr', offset: 16, kind: 'u64', dir: 'out', refers: 'va' },
    { name: 'fetch_addr', offset: 24, kind: 'u64', dir: 'out', refers: 'phys' },
  ],
});

/** The answer to a group of page requests: `struct iommu_page_response`, version 1. */
export const IOMMU_PAGE_RESPONSE_2021 = defineLayout({
  name: 'iommu_page_response',
  sizeBytes: 24,
  minBytes: 24,
  fields: [
    { name: 'argsz', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'version', offset: 4, kind: 'u32', dir: 'in' },
    { name: 'flags', offset: 8, kind: 'u32', dir: 'in' },
    { name: 'pasid', offset: 12, kind: 'u32', dir: 'in', refers: 'pasid' },
    { name: 'grpid', offset: 16, kind: 'u32', dir: 'in' },
    { name: 'code', offset: 20, kind: 'u32', dir: 'in' },
  ],
});
