import {
  IOMMU_HW_INFO_TYPE,
  IOMMU_HWPT_ALLOC_FLAGS,
  IOMMU_HWPT_DATA,
  IOMMU_TEST_DEVICE_FLAGS,
  IOMMU_TEST_PAGETABLE,
  IOMMU_VIOMMU_TYPE,
} from '../../uapi/index.ts';
import { PROT_READ, PROT_WRITE } from '../area-table.ts';
import { BAD_USER_POINTER } from '../check.ts';
import type { Kernel } from '../kernel.ts';
import { type Refusal, reason } from '../reason.ts';
import type { Device, PagingDomain } from '../state.ts';
import { copyFromUser } from '../user-copy.ts';
import type { IommuDriver, UserData } from './driver.ts';
import { refuseHwInfoType } from './hw-info.ts';
import { refuseMockAttach } from './mock-attach.ts';
import { isDirtyCapable, mockPasidLimit } from './mock-device.ts';
import { invalidateMock, MOCK_IOTLB_ENTRIES } from './mock-invalidate.ts';
import { invalidateMockViommu } from './mock-viommu.ts';
import { VIOMMU_UNSUPPORTED } from './no-viommu.ts';
import { DATA_LENGTH } from './user-data.ts';

/** The selftest's IOMMU driver: selftest.c of iommufd. */

const { NEST_PARENT, DIRTY_TRACKING, PASID, FAULT_ID_VALID } = IOMMU_HWPT_ALLOC_FLAGS;
const DEVICE = IOMMU_TEST_DEVICE_FLAGS;

/** MOCK_IO_PAGE_SIZE: half a page of the CPU. */
const MOCK_PAGES_PER_CPU_PAGE = 2;
const MOCK_HUGE_FACTOR = 512;
/**
 * Bits of the mock's virtual addresses with the generic page table: three levels of 512 entries above 2 KiB.
 */
const GENERIC_ADDRESS_BITS = 38;
/** Largest page of the generic page table is one bit below its address range. */
const GENERIC_LARGEST_BITS = GENERIC_ADDRESS_BITS - 1;

const DRIVER_FLAGS = reason(
  'driver-flags-unsupported',
  'EOPNOTSUPP',
  'selftest.c mock_domain_alloc_user; mock_domain_alloc_paging_flags since 6.13',
  'the IOMMU driver does not offer a page table with these flags or user data',
);
const DATA_TYPE = reason(
  'paging-data-type',
  'EOPNOTSUPP',
  'selftest.c mock_domain_alloc_paging_flags',
  'the IOMMU driver does not know this type of data for a page table',
);
const TABLE_TYPE = reason(
  'mock-table-type',
  'EOPNOTSUPP',
  'selftest.c mock_domain_alloc_pgtable',
  'the mock IOMMU has no such type of page table',
);
const NESTED_DATA_TYPE = reason(
  'nested-data-type',
  'EOPNOTSUPP',
  'selftest.c mock_domain_alloc_user; mock_domain_alloc_nested since 6.13',
  'the IOMMU driver does not know this type of nested page table',
);

/** User data of a page table as the driver reads it. */
interface MockData {
  readonly refusal: Refusal;
  readonly given: boolean;
  /** First value of the fake IOTLB. */
  readonly iotlb: number;
  /** IOMMU_TEST_PAGETABLE. */
  readonly table: number;
}

const NO_MOCK_DATA: MockData = { refusal: null, given: false, iotlb: 0, table: 0 };

/** Allocating a page table without a parent: what the driver refuses. */
function refusePaging(kernel: Kernel, device: Device, flags: number, given: UserData): Refusal {
  const data = readMockData(kernel, given);
  const { has } = kernel.profile;
  const known = NEST_PARENT | DIRTY_TRACKING | (has.pasid ? PASID : 0);
  // The core keeps FAULT_ID_VALID for itself.
  if ((flags & ~(known | FAULT_ID_VALID)) !== 0) return DRIVER_FLAGS;
  if ((flags & DIRTY_TRACKING) !== 0 && !isDirtyCapable(device)) return DRIVER_FLAGS;
  if (!data.given) return null;
  if (!has.genericMockTable) return DRIVER_FLAGS;
  if (data.refusal !== null) return data.refusal === NESTED_DATA_TYPE ? DATA_TYPE : data.refusal;
  return data.table > IOMMU_TEST_PAGETABLE.HUGE ? TABLE_TYPE : null;
}

function makePaging(kernel: Kernel, device: Device, flags: number, given: UserData): PagingDomain {
  const data = readMockData(kernel, given);
  const { has, pageBytes } = kernel.profile;
  const page = pageBytes / MOCK_PAGES_PER_CPU_PAGE;
  const key = kernel.state.nextDomain;
  kernel.state.nextDomain += 1;
  const common = {
    driver: 'mock',
    iommu: '',
    key,
    dirtyOps: (flags & DIRTY_TRACKING) !== 0,
    needsProt: has.genericMockTable ? PROT_READ | PROT_WRITE : 0,
    format: '',
  } as const;
  if (has.genericMockTable && data.table === IOMMU_TEST_PAGETABLE.HUGE) {
    const lastPage = 2 ** (GENERIC_ADDRESS_BITS - 12) - 1;
    const aperture = { startPage: 0, startOffset: 0, lastPage, lastOffset: 0xfff };
    return { ...common, pageSizes: pageBytes + page * MOCK_HUGE_FACTOR, aperture };
  }
  // MOCK_APERTURE_START 0x1000000, MOCK_APERTURE_LAST 0x7fffffff.
  const aperture = { startPage: 0x1000, startOffset: 0, lastPage: 0x7ffff, lastOffset: 0xfff };
  let pageSizes = (device.flags & DEVICE.HUGE_IOVA) !== 0 ? page + page * MOCK_HUGE_FACTOR : page;
  if (has.genericMockTable) pageSizes = 2 ** GENERIC_LARGEST_BITS - page;
  return { ...common, pageSizes, aperture };
}

/** Reads `struct iommu_hwpt_selftest`. */
function readMockData(kernel: Kernel, { type, length, page, offset }: UserData): MockData {
  if (length === 0) return NO_MOCK_DATA;
  const refused = (refusal: Refusal): MockData => ({ ...NO_MOCK_DATA, refusal, given: true });
  if (type !== IOMMU_HWPT_DATA.SELFTEST) return refused(NESTED_DATA_TYPE);
  const mostBytes = kernel.profile.has.nestedDataHasTable ? 8 : 4;
  if (length < 4 || length > mostBytes) return refused(DATA_LENGTH);
  const data = copyFromUser(kernel, page, offset, length);
  if (data === null) return refused(BAD_USER_POINTER);
  const bytes = new Uint8Array(8);
  bytes.set(data.bytes);
  const view = new DataView(bytes.buffer);
  return { refusal: null, given: true, iotlb: view.getUint32(0, true), table: view.getUint32(4, true) };
}

/** struct iommu_test_hw_info: flags 0, test_reg 0xdeadbeef. */
const HW_INFO = {
  type: IOMMU_HW_INFO_TYPE.SELFTEST,
  bytes: Uint8Array.from([0, 0, 0, 0, 0xef, 0xbe, 0xad, 0xde]),
} as const;

export const MOCK: IommuDriver = {
  takesFlags: true,
  nestsOnParent: true,
  nestsOnViommu: true,
  pasidLimit: (_kernel, device) => mockPasidLimit(device),
  isDirtyCapable: (_kernel, device) => isDirtyCapable(device),
  enforcesCoherency: () => false,
  supportsAts: () => false,
  refusePaging,
  makePaging,
  makeNested(kernel, _device, _parent, _viommu, _flags, given) {
    const data = readMockData(kernel, given);
    if (data.refusal !== null) return { refusal: data.refusal };
    return { iotlb: new Array<number>(MOCK_IOTLB_ENTRIES).fill(data.iotlb), data: '' };
  },
  refuseAttach: (_kernel, context, device, pasid, hwpt) => refuseMockAttach(context, device, pasid, hwpt),
  hwInfo(_kernel, _device, asked) {
    const refusal = refuseHwInfoType(HW_INFO.type, asked);
    return refusal === null ? HW_INFO : { refusal };
  },
  refuseViommu: (_kernel, _device, type) => (type === IOMMU_VIOMMU_TYPE.SELFTEST ? null : VIOMMU_UNSUPPORTED),
  invalidateNested: invalidateMock,
  invalidateViommu: invalidateMockViommu,
};
