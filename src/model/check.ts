import { reason } from './reason.ts';

/** Refusals that many calls share. */

export const RESERVED_SET = reason(
  'reserved-field-set',
  'EOPNOTSUPP',
  'each command of iommufd',
  'a reserved field is not zero',
);
export const UNKNOWN_FLAGS = reason(
  'unknown-flags',
  'EOPNOTSUPP',
  'each command of iommufd',
  'a flag that this kernel does not know',
);
export const IOAS_NOT_FOUND = reason(
  'ioas-not-found',
  'ENOENT',
  'main.c iommufd_get_object',
  'no IOAS has this id',
);
export const DEVICE_NOT_FOUND = reason(
  'device-not-found',
  'ENOENT',
  'main.c iommufd_get_object',
  'no bound device has this id',
);
export const HWPT_NOT_FOUND = reason(
  'hwpt-not-found',
  'ENOENT',
  'main.c iommufd_get_object',
  'no hardware page table of the kind asked for has this id',
);
export const VIOMMU_NOT_FOUND = reason(
  'viommu-not-found',
  'ENOENT',
  'main.c iommufd_get_object',
  'no vIOMMU has this id',
);
export const BAD_USER_POINTER = reason(
  'user-buffer-fault',
  'EFAULT',
  'copy_from_user / copy_to_user',
  'a buffer that the call points to can not be read or written',
);
export const OTHER_IOMMU = reason(
  'viommu-of-other-iommu',
  'EINVAL',
  'hw_pagetable.c iommufd_hwpt_alloc; viommu.c iommufd_vdevice_alloc_ioctl',
  'the device is behind another IOMMU than the vIOMMU',
);
export const UNKNOWN_TAIL = reason(
  'struct-tail-not-zero',
  'E2BIG',
  'uaccess.h copy_struct_from_user',
  'the struct is longer than this kernel knows, and a byte beyond is not zero',
);
