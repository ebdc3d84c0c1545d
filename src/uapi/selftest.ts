/**
 * IOMMU_TEST_CMD, the one command of the selftest (CONFIG_IOMMUFD_TEST), and the constants of its mock
 * hardware.
 *
 * Operations 1 to 15 were compared with the 6.12 source; 16 to 23 are of 7.x, from the reference, section
 * 1.9.
 */

import { IOMMU_TEST_OP } from './flags.ts';
import { type IoctlEntry, structIoctl } from './ioctl.ts';
import { defineLayout } from './layout.ts';

/** Inclusive bounds of the mock aperture, and its page size in bytes. */
export const MOCK_APERTURE_START = 0x0100_0000;
export const MOCK_APERTURE_LAST = 0x7fff_ffff;
export const MOCK_PAGE_BYTES = 2048;
/** What each of the four fake IOTLB entries and device-cache entries holds at first. */
export const MOCK_IOTLB_DEFAULT = 0xbadbeef;
export const MOCK_DEV_CACHE_DEFAULT = 0xbaddad;
export const MOCK_CACHE_ENTRY_COUNT = 4;

/**
 * `id` is an IOAS, a HWPT, a selftest device or an access descriptor, as the operation says; the union
 * starts at 16.
 */
export const IOMMU_TEST_CMD = defineLayout({
  name: 'IOMMU_TEST_CMD',
  sizeBytes: 72,
  minBytes: 52,
  sizes: [
    // The union had 32 bytes, and `last` came behind it.
    { since: '6.2', bytes: 56, minBytes: 52 },
    { since: '6.7', bytes: 72, minBytes: 68 },
  ],
  fields: [
    { name: 'size', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'op', offset: 4, kind: 'u32', dir: 'in', values: 'testOp' },
    { name: 'id', offset: 8, kind: 'u32', dir: 'in', refers: 'object' },
    { name: '__reserved', offset: 12, kind: 'u32', dir: 'in', reserved: true },
    { name: 'last', offset: 64, kind: 'u32', dir: 'in', reserved: true },
  ],
  union: {
    selector: 'op',
    offset: 16,
    cases: {
      [IOMMU_TEST_OP.ADD_RESERVED]: {
        name: 'add_reserved',
        fields: [
          { name: 'start', offset: 0, kind: 'u64', dir: 'in', refers: 'iova' },
          { name: 'length', offset: 8, kind: 'u64', dir: 'in', refers: 'length' },
        ],
      },
      [IOMMU_TEST_OP.MOCK_DOMAIN]: {
        name: 'mock_domain',
        fields: [
          { name: 'out_stdev_id', offset: 0, kind: 'u32', dir: 'out', refers: 'selftest-device' },
          { name: 'out_hwpt_id', offset: 4, kind: 'u32', dir: 'out', refers: 'hwpt' },
          { name: 'out_idev_id', offset: 8, kind: 'u32', dir: 'out', refers: 'device' },
        ],
      },
      [IOMMU_TEST_OP.MD_CHECK_MAP]: {
        name: 'check_map',
        fields: [
          { name: 'iova', offset: 0, kind: 'u64', dir: 'in', refers: 'iova' },
          { name: 'length', offset: 8, kind: 'u64', dir: 'in', refers: 'length' },
          { name: 'uptr', offset: 16, kind: 'u64', dir: 'in', refers: 'va' },
        ],
      },
      [IOMMU_TEST_OP.MD_CHECK_REFS]: {
        name: 'check_refs',
        fields: [
          { name: 'length', offset: 0, kind: 'u64', dir: 'in', refers: 'length' },
          { name: 'uptr', offset: 8, kind: 'u64', dir: 'in', refers: 'va' },
          { name: 'refs', offset: 16, kind: 'u32', dir: 'in', refers: 'count' },
        ],
      },
      [IOMMU_TEST_OP.CREATE_ACCESS]: {
        name: 'create_access',
        fields: [
          { name: 'out_access_fd', offset: 0, kind: 's32', dir: 'out', refers: 'fd' },
          { name: 'flags', offset: 4, kind: 'u32', dir: 'in', flags: 'testAccessCreate' },
        ],
      },
      [IOMMU_TEST_OP.DESTROY_ACCESS_PAGES]: {
        name: 'destroy_access_pages',
        fields: [{ name: 'access_pages_id', offset: 0, kind: 'u32', dir: 'in', refers: 'access-pages' }],
      },
      [IOMMU_TEST_OP.ACCESS_PAGES]: {
        name: 'access_pages',
        fields: [
          { name: 'flags', offset: 0, kind: 'u32', dir: 'in', flags: 'testAccess' },
          { name: 'out_access_pages_id', offset: 4, kind: 'u32', dir: 'out', refers: 'access-pages' },
          { name: 'iova', offset: 8, kind: 'u64', dir: 'in', refers: 'iova' },
          { name: 'length', offset: 16, kind: 'u64', dir: 'in', refers: 'length' },
          { name: 'uptr', offset: 24, kind: 'u64', dir: 'in', refers: 'va' },
        ],
      },
      [IOMMU_TEST_OP.ACCESS_RW]: {
        name: 'access_rw',
        fields: [
          { name: 'iova', offset: 0, kind: 'u64', dir: 'in', refers: 'iova' },
          { name: 'length', offset: 8, kind: 'u64', dir: 'in', refers: 'length' },
          { name: 'uptr', offset: 16, kind: 'u64', dir: 'in', refers: 'va' },
          { name: 'flags', offset: 24, kind: 'u32', dir: 'in', flags: 'testAccessRw' },
        ],
      },
      [IOMMU_TEST_OP.SET_TEMP_MEMORY_LIMIT]: {
        name: 'memory_limit',
        fields: [{ name: 'limit', offset: 0, kind: 'u32', dir: 'in', refers: 'length' }],
      },
      [IOMMU_TEST_OP.MOCK_DOMAIN_REPLACE]: {
        name: 'mock_domain_replace',
        fields: [{ name: 'pt_id', offset: 0, kind: 'u32', dir: 'inout', refers: 'pt' }],
      },
      [IOMMU_TEST_OP.ACCESS_REPLACE_IOAS]: {
        name: 'access_replace_ioas',
        fields: [{ name: 'ioas_id', offset: 0, kind: 'u32', dir: 'in', refers: 'ioas' }],
      },
      [IOMMU_TEST_OP.MOCK_DOMAIN_FLAGS]: {
        name: 'mock_domain_flags',
        fields: [
          { name: 'out_stdev_id', offset: 0, kind: 'u32', dir: 'out', refers: 'selftest-device' },
          { name: 'out_hwpt_id', offset: 4, kind: 'u32', dir: 'out', refers: 'hwpt' },
          { name: 'out_idev_id', offset: 8, kind: 'u32', dir: 'out', refers: 'device' },
          { name: 'dev_flags', offset: 12, kind: 'u32', dir: 'in', flags: 'testDevice' },
        ],
      },
      [IOMMU_TEST_OP.DIRTY]: {
        name: 'dirty',
        fields: [
          { name: 'flags', offset: 0, kind: 'u32', dir: 'in', refers: 'bits' },
          { name: 'iova', offset: 8, kind: 'u64', dir: 'in', refers: 'iova' },
          { name: 'length', offset: 16, kind: 'u64', dir: 'in', refers: 'length' },
          { name: 'page_size', offset: 24, kind: 'u64', dir: 'in', refers: 'length' },
          { name: 'uptr', offset: 32, kind: 'u64', dir: 'in', refers: 'va' },
          { name: 'out_nr_dirty', offset: 40, kind: 'u64', dir: 'out', refers: 'count' },
        ],
      },
      [IOMMU_TEST_OP.MD_CHECK_IOTLB]: {
        name: 'check_iotlb',
        fields: [
          { name: 'id', offset: 0, kind: 'u32', dir: 'in', refers: 'count' },
          { name: 'iotlb', offset: 4, kind: 'u32', dir: 'in', refers: 'bits' },
        ],
      },
      [IOMMU_TEST_OP.TRIGGER_IOPF]: {
        name: 'trigger_iopf',
        fields: [
          { name: 'dev_id', offset: 0, kind: 'u32', dir: 'in', refers: 'device' },
          { name: 'pasid', offset: 4, kind: 'u32', dir: 'in', refers: 'pasid' },
          { name: 'grpid', offset: 8, kind: 'u32', dir: 'in', refers: 'count' },
          { name: 'perm', offset: 12, kind: 'u32', dir: 'in', flags: 'pgfaultPerm' },
          { name: 'addr', offset: 16, kind: 'u64', dir: 'in', refers: 'iova' },
        ],
      },
      [IOMMU_TEST_OP.DEV_CHECK_CACHE]: {
        name: 'check_dev_cache',
        fields: [
          { name: 'id', offset: 0, kind: 'u32', dir: 'in', refers: 'count' },
          { name: 'cache', offset: 4, kind: 'u32', dir: 'in', refers: 'bits' },
        ],
      },
      [IOMMU_TEST_OP.TRIGGER_VEVENT]: {
        name: 'trigger_vevent',
        fields: [{ name: 'dev_id', offset: 0, kind: 'u32', dir: 'in', refers: 'device' }],
      },
      [IOMMU_TEST_OP.PASID_ATTACH]: {
        name: 'pasid_attach',
        fields: [
          { name: 'pasid', offset: 0, kind: 'u32', dir: 'in', refers: 'pasid' },
          { name: 'pt_id', offset: 4, kind: 'u32', dir: 'in', refers: 'pt' },
        ],
      },
      [IOMMU_TEST_OP.PASID_REPLACE]: {
        name: 'pasid_replace',
        fields: [
          { name: 'pasid', offset: 0, kind: 'u32', dir: 'in', refers: 'pasid' },
          { name: 'pt_id', offset: 4, kind: 'u32', dir: 'in', refers: 'pt' },
        ],
      },
      [IOMMU_TEST_OP.PASID_DETACH]: {
        name: 'pasid_detach',
        fields: [{ name: 'pasid', offset: 0, kind: 'u32', dir: 'in', refers: 'pasid' }],
      },
      [IOMMU_TEST_OP.PASID_CHECK_HWPT]: {
        name: 'pasid_check',
        fields: [
          { name: 'pasid', offset: 0, kind: 'u32', dir: 'in', refers: 'pasid' },
          { name: 'hwpt_id', offset: 4, kind: 'u32', dir: 'in', refers: 'hwpt' },
        ],
      },
      [IOMMU_TEST_OP.DMABUF_GET]: {
        name: 'dmabuf_get',
        fields: [
          { name: 'length', offset: 0, kind: 'u32', dir: 'in', refers: 'length' },
          { name: 'open_flags', offset: 4, kind: 'u32', dir: 'in', refers: 'bits' },
        ],
      },
      [IOMMU_TEST_OP.DMABUF_REVOKE]: {
        name: 'dmabuf_revoke',
        fields: [
          { name: 'dmabuf_fd', offset: 0, kind: 's32', dir: 'in', refers: 'fd' },
          { name: 'revoked', offset: 4, kind: 'u32', dir: 'in', refers: 'count' },
        ],
      },
    },
  },
});

/**
 * The newest operation by release; there are no gaps. Compared with the trees of 6.5, 6.8, 6.11, 6.12.117,
 * 6.14, 6.17, 7.0, 7.2.13 and 7.3-rc7; between them an operation came with the feature that it tests.
 */
export const LAST_TEST_OP = [
  { since: '6.2', op: IOMMU_TEST_OP.SET_TEMP_MEMORY_LIMIT },
  { since: '6.6', op: IOMMU_TEST_OP.ACCESS_REPLACE_IOAS },
  { since: '6.7', op: IOMMU_TEST_OP.DIRTY },
  { since: '6.8', op: IOMMU_TEST_OP.MD_CHECK_IOTLB },
  { since: '6.11', op: IOMMU_TEST_OP.TRIGGER_IOPF },
  { since: '6.13', op: IOMMU_TEST_OP.DEV_CHECK_CACHE },
  { since: '6.15', op: IOMMU_TEST_OP.PASID_CHECK_HWPT },
  { since: '6.19', op: IOMMU_TEST_OP.DMABUF_REVOKE },
] as const;

export const SELFTEST_IOCTLS = [
  structIoctl('IOMMU_TEST_CMD', 0x3ba0, ['iommufd', 'container'], IOMMU_TEST_CMD, '6.2'),
] as const satisfies readonly IoctlEntry[];
