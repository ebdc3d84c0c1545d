import type { VersionRule } from './kernel-versions.ts';

/**
 * Fixes that change an answer, and that older releases got later. Numbers of 6.12 and 7.3 are of the Debian
 * changelog, which names the first point release of each. Where `backports` has no row for a release, nobody
 * looked whether its updates have the fix.
 */
export const FIXES = {
  replaceNeedsAttachment: {
    since: '6.15',
    backports: { '6.12': 24 },
    says: 'a replace is refused (EINVAL) on a device that has no attachment, whatever its group has',
    source: 'device.c iommufd_device_do_replace; absent in 6.14',
  },
  hwInfoPasid: {
    since: '6.15',
    backports: { '6.12': 31 },
    says: 'GET_HW_INFO tells the PASID width in a byte that was reserved, and no longer checked',
    source: 'device.c iommufd_get_hw_info; absent in 6.14',
  },
  refusesFaultOnNestParent: {
    since: '6.15',
    backports: { '6.12': 31 },
    says: 'HWPT_ALLOC refuses NEST_PARENT with a fault queue; 6.12 refuses every paging HWPT with one anyway',
    source:
      'hw_pagetable.c iommufd_hwpt_paging_alloc; absent in 6.14, there in 6.17, came with PASID attachments',
  },
  emptyUnmapSucceeds: {
    since: '6.18',
    backports: { '6.12': 59, '6.17': 9 },
    says: 'VFIO_IOMMU_UNMAP_DMA of a range without mappings succeeds; before, ENOENT',
    source:
      'io_pagetable.c iopt_unmap_iova_range; absent in 6.17, there in 7.0; 6.12.59, 6.17.9 by review mails',
  },
  vfioBindTakesToken: {
    since: '7.0',
    unknownFrom: '6.18',
    says: 'BIND reads the token, which is behind 16 bytes; before, what is there must be zero (E2BIG)',
    source: 'device_cdev.c vfio_df_ioctl_bind_iommufd; absent in 6.17',
  },
  answersWriteFault: {
    since: '7.2',
    unknownFrom: '7.1',
    backports: { '6.12': 91 },
    says: 'a write that can not be read is EFAULT; before, the number of bytes missing of the response',
    source: 'eventq.c iommufd_fault_fops_write; absent in 7.0',
  },
  boundsInvalidation: {
    since: '7.2',
    unknownFrom: '7.1',
    backports: { '6.12': 96 },
    says: 'HWPT_INVALIDATE refuses entries above a page and more than 2^19 of them',
    source: 'hw_pagetable.c iommufd_hwpt_invalidate; absent in 7.0',
  },
  strictFaultRead: {
    since: '7.2',
    unknownFrom: '7.1',
    backports: { '6.12': 101 },
    says: 'a read too short for the first group of faults is EINVAL; before, 0',
    source: 'eventq.c iommufd_fault_fops_read; absent in 7.0',
  },
  strictVeventRead: {
    since: '7.2',
    unknownFrom: '7.1',
    says: 'a read too short for a header, or for the first event, is EINVAL; before, 0',
    source: 'eventq.c iommufd_veventq_fops_read; absent in 7.0, there in 7.2.13',
  },
  boundsVeventDepth: {
    since: '7.2',
    unknownFrom: '7.1',
    says: 'VEVENTQ_ALLOC refuses a depth above 2^19',
    source: 'eventq.c iommufd_veventq_alloc; absent in 7.0, there in 7.2.13',
  },
  refusesEmptyBitmap: {
    since: null,
    backports: { '6.12': 117, '7.3': 4 },
    says: 'HWPT_GET_DIRTY_BITMAP refuses a length of zero',
    source: 'io_pagetable.c iommufd_check_iova_range; absent in 7.3-rc7',
  },
} as const satisfies Record<string, VersionRule>;

export type FixName = keyof typeof FIXES;
