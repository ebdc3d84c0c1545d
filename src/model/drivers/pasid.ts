import { reason } from '../reason.ts';

/** What the IOMMU core says of PASIDs, whatever the driver: iommu.c. */

export const PASID_TOO_LARGE = reason(
  'pasid-too-large',
  'EINVAL',
  'iommu.c iommu_attach_device_pasid',
  'the device has no such PASID',
);
export const PASID_UNSUPPORTED = reason(
  'pasid-unsupported',
  'EOPNOTSUPP',
  'iommu.c iommu_attach_device_pasid',
  'the page table of this IOMMU driver can not be attached to a PASID',
);
