/**
 * Structs of include/uapi/linux/iommu.h as Linux 5.14 had it, and those of its time that were posted and
 * never merged: faults and their answers, guest page tables and PASID tables.
 */
import { defineLayout } from './layout.ts';

/** `IOMMU_FAULT_PAGE_REQUEST_*`; the last one came with Linux 5.10. */
export const FAULT_2021_FLAGS = {
  PASID_VALID: 1,
  LAST_PAGE: 2,
  PRIV_DATA: 4,
  RESPONSE_NEEDS_PASID: 8,
} as const;
/** `IOMMU_FAULT_DMA_UNRECOV`, `IOMMU_FAULT_PAGE_REQ`. */
export const FAULT_2021_TYPE = { DMA_UNRECOV: 1, PAGE_REQ: 2 } as const;
export const FAULT_2021_RESPONSE = { SUCCESS: 0, INVALID: 1, FAILURE: 2 } as const;
export const FAULT_2021_RESPONSE_VERSION = 1;

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

/** `struct iommu_fault`: the type, and one of the two before in a union of 56 bytes. */
export const IOMMU_FAULT_2021 = defineLayout({
  name: 'iommu_fault',
  sizeBytes: 64,
  minBytes: 64,
  fields: [
    { name: 'type', offset: 0, kind: 'u32', dir: 'out' },
    { name: 'padding', offset: 4, kind: 'u32', dir: 'out', reserved: true },
    { name: 'data', offset: 8, kind: 'bytes', count: 56, dir: 'out' },
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

/** `IOMMU_PASID_FORMAT_SMMUV3`, and what the guest's stage does. */
export const PASID_TABLE_2021 = { VERSION: 1, SMMUV3: 1, TRANSLATE: 1, BYPASS: 2, ABORT: 3 } as const;

/**
 * A PASID table in guest memory, for SMMUv3: `struct iommu_pasid_table_config` of "SMMUv3 Nested Stage
 * Setup".
 */
export const IOMMU_PASID_TABLE_CONFIG_2021 = defineLayout({
  name: 'iommu_pasid_table_config',
  sizeBytes: 32,
  minBytes: 32,
  fields: [
    { name: 'version', offset: 0, kind: 'u32', dir: 'in' },
    { name: 'format', offset: 4, kind: 'u32', dir: 'in' },
    { name: 'base_ptr', offset: 8, kind: 'u64', dir: 'in', refers: 'phys' },
    { name: 'pasid_bits', offset: 16, kind: 'u8', dir: 'in', refers: 'count' },
    { name: 'config', offset: 17, kind: 'u8', dir: 'in' },
    { name: 'padding', offset: 18, kind: 'bytes', count: 6, dir: 'in', reserved: true },
    { name: 'smmuv3_version', offset: 24, kind: 'u32', dir: 'in' },
    { name: 's1fmt', offset: 28, kind: 'u8', dir: 'in' },
    { name: 's1dss', offset: 29, kind: 'u8', dir: 'in' },
    { name: 'smmuv3_padding', offset: 30, kind: 'bytes', count: 2, dir: 'in', reserved: true },
  ],
});

export const GPASID_BIND_2021 = { VERSION: 1, INTEL_VTD: 1, GPASID_VALID: 1, VTD_FLAGS: 0x7f } as const;
/** Bytes before the part that is the vendor's own. */
export const GPASID_BIND_VENDOR_AT = 56;

/** A guest's page table for one PASID: `struct iommu_gpasid_bind_data`, with the part of VT-d. */
export const IOMMU_GPASID_BIND_DATA_2021 = defineLayout({
  name: 'iommu_gpasid_bind_data',
  sizeBytes: 72,
  minBytes: GPASID_BIND_VENDOR_AT,
  fields: [
    { name: 'argsz', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'version', offset: 4, kind: 'u32', dir: 'in' },
    { name: 'format', offset: 8, kind: 'u32', dir: 'in' },
    { name: 'addr_width', offset: 12, kind: 'u32', dir: 'in', refers: 'count' },
    { name: 'flags', offset: 16, kind: 'u64', dir: 'in', refers: 'bits' },
    { name: 'gpgd', offset: 24, kind: 'u64', dir: 'in', refers: 'phys' },
    { name: 'hpasid', offset: 32, kind: 'u64', dir: 'in' },
    { name: 'gpasid', offset: 40, kind: 'u64', dir: 'in' },
    { name: 'padding', offset: 48, kind: 'bytes', count: 8, dir: 'in', reserved: true },
    { name: 'vtd_flags', offset: 56, kind: 'u64', dir: 'in', refers: 'bits' },
    { name: 'vtd_pat', offset: 64, kind: 'u32', dir: 'in' },
    { name: 'vtd_emt', offset: 68, kind: 'u32', dir: 'in' },
  ],
});

/** A page request as it stands in VT-d's queue: `struct page_req_dsc` of drivers/iommu/intel/svm.c, 5.14. */
export interface VtdPageRequest {
  readonly hasPasid: boolean;
  readonly hasPrivateData: boolean;
  /** Source id: bus, device and function. */
  readonly rid: number;
  readonly pasid: number;
  readonly execute: boolean;
  readonly privileged: boolean;
  readonly read: boolean;
  readonly write: boolean;
  /** Last page in group. */
  readonly isLast: boolean;
  readonly groupIndex: number;
  /** Number of the page of 4096 bytes. */
  readonly page: bigint;
  readonly privateData: readonly [bigint, bigint];
}

const VTD_PAGE_REQUEST_BYTES = 32;
const bits = (word: bigint, first: number, count: number): bigint =>
  (word >> BigInt(first)) & ((1n << BigInt(count)) - 1n);
const bit = (word: bigint, at: number): boolean => bits(word, at, 1) === 1n;

/** Reads a descriptor of the page request queue. @throws RangeError when it is not 32 bytes long */
export function decodeVtdPageRequest(bytes: Uint8Array): VtdPageRequest {
  if (bytes.length !== VTD_PAGE_REQUEST_BYTES)
    throw new RangeError(`a page request has ${VTD_PAGE_REQUEST_BYTES} bytes, not ${bytes.length}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const word = (nth: number): bigint => view.getBigUint64(nth * 8, true);
  const [first, second] = [word(0), word(1)];
  return {
    hasPasid: bit(first, 8),
    hasPrivateData: bit(first, 9),
    rid: Number(bits(first, 16, 16)),
    pasid: Number(bits(first, 32, 20)),
    execute: bit(first, 52),
    privileged: bit(first, 53),
    read: bit(second, 0),
    write: bit(second, 1),
    isLast: bit(second, 2),
    groupIndex: Number(bits(second, 3, 9)),
    page: bits(second, 12, 52),
    privateData: [word(2), word(3)],
  };
}
