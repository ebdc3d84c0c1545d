import { IOMMU_TEST_OP } from '../../uapi/index.ts';
import { about, type Check, inOrder, when } from './check.ts';
import * as if_ from './conditions.ts';
import { ANSWER, attach, DISPATCHER, PIN_BY_ACCESS, replace } from './shared.ts';

/** The operations of IOMMU_TEST_CMD: every check that the model makes, in the kernel's order. selftest.c. */

export type TestOperation = keyof typeof IOMMU_TEST_OP;

const MD_CHECK_MAP = inOrder(
  // Since it asks the page table for its page size, 7.x looks for that first.
  when(if_.hasGenericTable, 'hwpt-not-found'),
  'check-misaligned',
  when(if_.not(if_.hasGenericTable), 'hwpt-not-found'),
  'page-range-wraps',
  'check-user-page-fault',
  'check-map-differs',
);

const OWN: Readonly<Record<TestOperation, readonly Check[]>> = {
  ADD_RESERVED: inOrder('reserved-range-empty', 'reserved-range-wraps', 'ioas-not-found', 'range-in-use'),
  MOCK_DOMAIN: inOrder('mock-device-unprobed', attach(if_.names('id', 'ioas')), ANSWER),
  MD_CHECK_MAP,
  MD_CHECK_REFS: inOrder(
    'check-misaligned',
    'page-range-wraps',
    'check-user-page-fault',
    'check-refs-differ',
  ),
  CREATE_ACCESS: inOrder('unknown-flags', 'ioas-not-found', 'areas-misaligned', ANSWER),
  DESTROY_ACCESS_PAGES: inOrder('not-an-access-descriptor', 'access-pages-not-found'),
  ACCESS_PAGES: inOrder(
    'access-too-long',
    'unknown-flags',
    'not-an-access-descriptor',
    'access-does-not-pin',
    PIN_BY_ACCESS,
    'check-user-page-fault',
    'access-pages-differ',
    ANSWER,
  ),
  ACCESS_RW: inOrder(
    'access-too-long',
    'unknown-flags',
    'not-an-access-descriptor',
    when(if_.accessWrites, about('uptr', 'user-buffer-fault')),
    'access-length-zero',
    'access-range-wraps',
    'access-not-attached',
    'area-permission-missing',
    when(if_.hasFilePages, 'access-copies-dmabuf', 'file-not-pinnable'),
    'access-copy-fault',
    'hole-in-range',
    when(if_.not(if_.accessWrites), about('uptr', 'user-buffer-fault')),
  ),
  SET_TEMP_MEMORY_LIMIT: inOrder('memory-limit-too-small'),
  MOCK_DOMAIN_REPLACE: inOrder('selftest-object-not-found', replace(if_.names('pt_id', 'ioas')), ANSWER),
  ACCESS_REPLACE_IOAS: inOrder(
    'not-an-access-descriptor',
    'access-not-attached',
    'ioas-not-found',
    'areas-misaligned',
  ),
  MOCK_DOMAIN_FLAGS: inOrder(
    'mock-device-flags',
    'mock-device-unprobed',
    attach(if_.names('id', 'ioas')),
    ANSWER,
  ),
  DIRTY: inOrder(
    'dirty-test-range-malformed',
    'dirty-test-too-many-bits',
    'hwpt-not-found',
    'dirty-test-not-tracking',
    about('uptr', 'user-buffer-fault'),
    ANSWER,
  ),
  MD_CHECK_IOTLB: inOrder('hwpt-not-found', 'check-iotlb-differs'),
  TRIGGER_IOPF: inOrder('device-not-found'),
  DEV_CHECK_CACHE: inOrder('device-not-found', 'check-device-cache-differs'),
  TRIGGER_VEVENT: inOrder('device-not-found', 'vevent-without-vdevice', 'no-veventq-of-type'),
  PASID_ATTACH: inOrder('selftest-object-not-found', attach(if_.names('pt_id', 'ioas')), ANSWER),
  PASID_REPLACE: inOrder('selftest-object-not-found', replace(if_.names('pt_id', 'ioas')), ANSWER),
  PASID_DETACH: inOrder('selftest-object-not-found'),
  PASID_CHECK_HWPT: inOrder(
    'selftest-object-not-found',
    when(if_.expectsHwpt, 'check-pasid-target-not-found', 'check-pasid-target-of-wrong-type'),
    'check-pasid-differs',
  ),
  DMABUF_GET: inOrder('dmabuf-length'),
  DMABUF_REVOKE: inOrder('dmabuf-not-open', 'not-a-dmabuf'),
};

/** Command of the selftest whose operation the kernel may not know. */
export const TEST_CMD = 'IOMMU_TEST_CMD';

/** By command and operation, such as `IOMMU_TEST_CMD MOCK_DOMAIN`; alone for an operation without a name. */
export const SELFTEST_ORDER: Readonly<Record<string, readonly Check[]>> = Object.fromEntries([
  [TEST_CMD, inOrder(DISPATCHER, 'selftest-operation-unknown')],
  ...Object.entries(OWN).map(([op, checks]) => [
    `${TEST_CMD} ${op}`,
    inOrder(DISPATCHER, 'selftest-operation-unknown', checks),
  ]),
]);

/** Name of an operation by its number. */
export const TEST_OPERATIONS: ReadonlyMap<number, string> = new Map(
  Object.entries(IOMMU_TEST_OP).map(([name, op]) => [op, name]),
);
