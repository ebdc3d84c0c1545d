import {
  IOMMU_HW_INFO_TYPE,
  IOMMU_HWPT_ALLOC_FLAGS,
  IOMMU_HWPT_DATA,
  IOMMU_TEST_DEVICE_FLAGS,
} from '../uapi/index.ts';
import { BAD_USER_POINTER } from './check.ts';
import type { Kernel } from './kernel.ts';
import { type Refusal, reason } from './reason.ts';
import type { Device, PagingDomain } from './state.ts';
import { copyFromUser } from './user-copy.ts';

/** The selftest's IOMMU driver: selftest.c of iommufd. */

const { NEST_PARENT, DIRTY_TRACKING } = IOMMU_HWPT_ALLOC_FLAGS;
const { NO_DIRTY, HUGE_IOVA } = IOMMU_TEST_DEVICE_FLAGS;

/** MOCK_IO_PAGE_SIZE: half a page of the CPU. */
const MOCK_PAGES_PER_CPU_PAGE = 2;
const MOCK_HUGE_FACTOR = 512;
/** Entries of the fake IOTLB of a nested domain. */
export const MOCK_IOTLB_ENTRIES = 4;
/** sizeof(struct iommu_hwpt_selftest) in 6.12. */
const NESTED_DATA_BYTES = 4;

const DRIVER_FLAGS = reason(
  'driver-flags-unsupported',
  'EOPNOTSUPP',
  'selftest.c mock_domain_alloc_user',
  'the IOMMU driver does not offer a page table with these flags or user data',
);
const NESTED_DATA_TYPE = reason(
  'nested-data-type',
  'EOPNOTSUPP',
  'selftest.c mock_domain_alloc_user',
  'the IOMMU driver does not know this type of nested page table',
);
const NESTED_DATA_LENGTH = reason(
  'nested-data-length',
  'EINVAL',
  'iommu.h iommu_copy_struct_from_user',
  'the driver data is shorter or longer than the driver takes',
);
const DOMAIN_INCOMPATIBLE = reason(
  'domain-incompatible',
  'EINVAL',
  'selftest.c mock_domain_nop_attach',
  'the page table tracks dirty pages and the device does not support that',
);

export function isDirtyCapable(device: Device): boolean {
  return (device.flags & NO_DIRTY) === 0;
}

/** `mock_domain_alloc_user` without a parent. */
export function refusePagingDomain(device: Device, flags: number, hasUserData: boolean): Refusal {
  if ((flags & ~(NEST_PARENT | DIRTY_TRACKING)) !== 0) return DRIVER_FLAGS;
  if (hasUserData || ((flags & DIRTY_TRACKING) !== 0 && !isDirtyCapable(device))) return DRIVER_FLAGS;
  return null;
}

export function makePagingDomain(kernel: Kernel, device: Device, flags: number): PagingDomain {
  const page = kernel.profile.pageBytes / MOCK_PAGES_PER_CPU_PAGE;
  const pageSizes = (device.flags & HUGE_IOVA) !== 0 ? page + page * MOCK_HUGE_FACTOR : page;
  // MOCK_APERTURE_START 0x1000000, MOCK_APERTURE_LAST 0x7fffffff.
  const aperture = { startPage: 0x1000, startOffset: 0, lastPage: 0x7ffff, lastOffset: 0xfff };
  const key = kernel.state.nextDomain;
  kernel.state.nextDomain += 1;
  return { driver: 'mock', key, pageSizes, aperture, dirtyOps: (flags & DIRTY_TRACKING) !== 0 };
}

/** What a nested domain begins with: the value of its IOTLB entries, or why there is none. */
export interface NestedData {
  refusal: Refusal;
  iotlb: number;
}

/** `mock_domain_alloc_user` with a parent. */
export function readNestedData(
  kernel: Kernel,
  type: number,
  length: number,
  page: number,
  offset: number,
): NestedData {
  if (type !== IOMMU_HWPT_DATA.SELFTEST) return { refusal: NESTED_DATA_TYPE, iotlb: 0 };
  if (length !== NESTED_DATA_BYTES) return { refusal: NESTED_DATA_LENGTH, iotlb: 0 };
  const data = copyFromUser(kernel, page, offset, length);
  if (data === null) return { refusal: BAD_USER_POINTER, iotlb: 0 };
  const iotlb = new DataView(data.bytes.buffer, data.bytes.byteOffset, 4).getUint32(0, true);
  return { refusal: null, iotlb };
}

/** `attach_dev` of the driver. */
export function refuseDriverAttach(device: Device, dirtyOps: boolean): Refusal {
  return dirtyOps && !isDirtyCapable(device) ? DOMAIN_INCOMPATIBLE : null;
}

/** struct iommu_test_hw_info: flags 0, test_reg 0xdeadbeef. */
export const MOCK_HW_INFO = {
  type: IOMMU_HW_INFO_TYPE.SELFTEST,
  bytes: Uint8Array.from([0, 0, 0, 0, 0xef, 0xbe, 0xad, 0xde]),
} as const;
