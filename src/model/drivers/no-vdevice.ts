import { reason } from '../reason.ts';

/** Attaching a nested page table of a vIOMMU: driver.c of iommufd. */

export const NO_VDEVICE = reason(
  'nested-without-vdevice',
  'ENOENT',
  'driver.c iommufd_viommu_get_vdev_id',
  'the page table belongs to a vIOMMU on which the device has no vDEVICE',
);
