import type { VersionRule } from './kernel-versions.ts';

/**
 * What kernels can do by release, beyond having a command and its struct size: those are in the tables of
 * src/uapi. The versions were read in the trees of 6.5, 6.8, 6.11, 6.12.117, 6.14, 6.17, 7.0, 7.2.13 and
 * 7.3-rc7; where they leave a gap, the source says how it was closed, or `unknownFrom` that it was not.
 */
export const FEATURES = {
  mockDevice: {
    since: '6.4',
    says: 'the mock has a device object, its id between those of the selftest object and the HWPT',
    source: 'selftest.c iommufd_test_mock_domain; text of the 6.4 pull request',
  },
  vfioCdev: {
    since: '6.6',
    says: 'VFIO devices have character devices, which BIND, ATTACH and DETACH',
    source: 'device_cdev.c',
  },
  mockTellsDevice: {
    since: '6.6',
    says: 'MOCK_DOMAIN of the selftest answers the id of the device',
    source: 'selftest.c iommufd_test_mock_domain; absent in 6.5, there in 6.8, came with HWPT_ALLOC',
  },
  alignsInfoCaps: {
    since: '6.6',
    says: 'capabilities of VFIO_IOMMU_GET_INFO begin at multiples of 8 bytes',
    source: 'vfio_compat.c iommufd_vfio_iommu_get_info; absent in 6.5, there in 6.8, 6.6 from memory',
  },
  nesting: {
    since: '6.7',
    says: 'HWPT_ALLOC takes flags and user data, and makes nested HWPTs',
    source: 'hw_pagetable.c iommufd_hwpt_alloc; by the size of its struct',
  },
  faultQueues: {
    since: '6.11',
    says: 'a HWPT may name a fault queue (IOMMU_HWPT_FAULT_ID_VALID)',
    source: 'hw_pagetable.c iommufd_hwpt_nested_alloc',
  },
  capsIovaAlignment: {
    since: '6.12',
    says: 'the alignment of an automatic IOVA ends at that of a huge page',
    source: 'io_pagetable.c iopt_alloc_iova; absent in 6.11, there in 6.14, and no update of 6.12 brought it',
  },
  userAddressFirst: {
    since: '6.13',
    says: 'MAP tells a user range that wraps before a length that is zero or too long',
    source: 'pages.c iopt_alloc_user_pages; absent in 6.12, there in 6.14, came with MAP_FILE',
  },
  viommu: {
    since: '6.13',
    says: 'vIOMMUs: HWPT_ALLOC and HWPT_INVALIDATE may name one; INVALIDATE looks every type up',
    source: 'viommu.c; hw_pagetable.c iommufd_hwpt_invalidate',
  },
  mockHasFwspec: {
    since: '7.0',
    unknownFrom: '6.18',
    says: 'mock devices can be bound on machines with a VT-d or AMD IOMMU',
    source: 'iommu.c iommu_mock_device_add; absent in 6.17, there in 7.0',
  },
  pagingFlagsOp: {
    since: '6.14',
    unknownFrom: '6.13',
    says: 'IOMMU drivers make nested page tables with an operation of its own; AMD chooses formats by flags',
    source:
      'iommu.h domain_alloc_paging_flags, domain_alloc_nested; one domain_alloc_user in 6.12, there in 6.14',
  },
  amdNesting: {
    since: '7.0',
    unknownFrom: '6.18',
    says: 'AMD IOMMUs tell their features in GET_HW_INFO, and have nest parents and vIOMMUs',
    source:
      'iommufd.h IOMMU_HW_INFO_TYPE_AMD; absent in 6.17, there in 7.0; amd/iommufd.c was read in 7.3-rc7 only',
  },
  vtdFirstStage: {
    since: '6.14',
    unknownFrom: '6.13',
    says: 'VT-d prefers first-stage tables for user space where it has both stages',
    source: 'intel/iommu.c intel_iommu_domain_alloc_paging_flags; absent in 6.12, the rest from memory',
  },
  faultOnPaging: {
    since: '6.14',
    unknownFrom: '6.13',
    says: 'a paging HWPT may name a fault queue, not only a nested one',
    source: 'hw_pagetable.c iommufd_hwpt_paging_alloc',
  },
  pasid: {
    since: '6.15',
    says: 'attachments by PASID: IOMMU_HWPT_ALLOC_PASID, and the operations of the selftest for them',
    source: 'device.c iommufd_device_attach; the header has the flag in 6.14, where it is refused',
  },
  vfioPasid: {
    since: '6.15',
    says: 'ATTACH and DETACH of a VFIO device take a PASID',
    source: 'device_cdev.c vfio_df_ioctl_attach_pt; absent in 6.14, there in 6.17',
  },
  vfioToken: {
    since: '6.17',
    says: 'BIND of a VFIO device has the flag for a token',
    source: 'device_cdev.c vfio_df_ioctl_bind_iommufd; absent in 6.14, there in 6.17',
  },
  vdeviceTombstones: {
    since: '6.17',
    unknownFrom: '6.15',
    says: 'a vDEVICE is destroyed with its device, and its id is never given out again',
    source: 'device.c iommufd_device_remove_vdev',
  },
  hwInfoInputType: {
    since: '6.17',
    says: 'GET_HW_INFO takes the type asked for as an input',
    source: 'device.c iommufd_get_hw_info; absent in 6.14, there in 6.17',
  },
  dmabuf: {
    since: '6.19',
    says: 'MAP_FILE maps a dma-buf, and checks the range before the descriptor',
    source: 'io_pagetable.c iopt_map_file_pages; absent in 6.17, there in 7.0, 6.19 by users',
  },
  genericMockTable: {
    since: '6.19',
    unknownFrom: '6.18',
    says: 'the mock has the generic page table: all page sizes from its own up, data of a paging HWPT',
    source: 'selftest.c mock_domain_alloc_pgtable; absent in 6.17, there in 7.0, 6.19 from memory',
  },
  nestedDataHasTable: {
    since: '6.19',
    unknownFrom: '6.18',
    says: 'nested data of the mock has the type of page table behind the IOTLB value: 8 bytes, at least 4',
    source: 'iommufd_test.h struct iommu_hwpt_selftest; as the generic page table',
  },
  reportsMissingAts: {
    since: '7.2',
    unknownFrom: '7.1',
    says: 'GET_HW_INFO tells when a device can not use PCI ATS',
    source: 'device.c iommufd_get_hw_info; absent in 7.0, there in 7.2.13',
  },
  dmabufGetHidesFd: {
    since: '7.3',
    says: 'DMABUF_GET of the selftest answers 0, not the descriptor that it made',
    source: 'selftest.c iommufd_test_dmabuf_get',
  },
  withoutType1Nesting: {
    since: '6.13',
    says: 'the classic container does not offer TYPE1_NESTING any more',
    source: 'vfio_iommu_type1.c vfio_iommu_type1_check_extension; there in 6.12, absent in 6.14',
  },
  pciRefusesWideIoeventfd: {
    since: '6.14',
    unknownFrom: '6.13',
    says: 'vfio-pci refuses an ioeventfd of eight bytes on every architecture',
    source: 'vfio_pci_rdwr.c vfio_pci_ioeventfd; on 32 bits only in 6.12, everywhere in 6.14',
  },
  type1ChecksOverflow: {
    since: '7.0',
    unknownFrom: '6.18',
    says: 'the classic container tells sums that overflow apart, and a range may end at 2^64',
    source: 'vfio_iommu_type1.c vfio_dma_do_map; absent in 6.17, there in 7.0',
  },
  pciExportsDmabuf: {
    since: '7.0',
    unknownFrom: '6.18',
    says: 'vfio-pci exports a BAR as dma-buf (VFIO_DEVICE_FEATURE_DMA_BUF)',
    source: 'vfio_pci_core.c vfio_pci_core_ioctl_feature; absent in 6.17, there in 7.0',
  },
  pciPrecopyInfo2: {
    since: '7.2',
    unknownFrom: '7.1',
    says: 'DEVICE_FEATURE knows MIG_PRECOPY_INFOv2',
    source: 'vfio_main.c vfio_ioctl_device_feature; absent in 7.0, there in 7.2',
  },
  pciErrorIrqEverywhere: {
    since: '7.3',
    says: 'the error interrupt of vfio-pci exists on conventional PCI too, not only on PCI Express',
    source: 'vfio_pci_core.c vfio_pci_get_irq_count; on PCI Express only in 7.2',
  },
} as const satisfies Record<string, VersionRule>;

export type FeatureName = keyof typeof FEATURES;
