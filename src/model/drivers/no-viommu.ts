import { reason } from '../reason.ts';
import type { IommuDriver } from './driver.ts';

/** Drivers without vIOMMUs. */

export const VIOMMU_UNSUPPORTED = reason(
  'viommu-type-unsupported',
  'EOPNOTSUPP',
  'viommu.c iommufd_viommu_alloc_ioctl',
  'the IOMMU of the device does not offer a vIOMMU of this type',
);

export const NO_VIOMMU: Pick<IommuDriver, 'refuseViommu' | 'invalidateViommu'> = {
  refuseViommu: () => VIOMMU_UNSUPPORTED,
  invalidateViommu: null,
};
