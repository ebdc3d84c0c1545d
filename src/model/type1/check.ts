import { reason } from '../reason.ts';

/** Refusals that several ioctls of a type1 container share. */

export const TYPE1_STRUCT_FAULT = reason(
  'type1-struct-fault',
  'EFAULT',
  'vfio_iommu_type1.c, each command',
  'the struct at the argument pointer can not be read or written',
);
export const TYPE1_ARGSZ_OR_FLAGS = reason(
  'type1-argsz-or-flags',
  'EINVAL',
  'vfio_iommu_type1.c, each command',
  'argsz is below what the command needs, or a flag is not known',
);
export const TYPE1_SIZE_ZERO = reason(
  'type1-size-zero',
  'EINVAL',
  'vfio_iommu_type1.c vfio_dma_do_map, vfio_dma_do_unmap, vfio_iommu_type1_dirty_pages',
  'the size is zero',
);
export const TYPE1_MISALIGNED = reason(
  'type1-misaligned',
  'EINVAL',
  'vfio_iommu_type1.c vfio_dma_do_map, vfio_dma_do_unmap, vfio_iommu_type1_dirty_pages',
  'an address or the size is no multiple of the smallest page that all domains have',
);
export const TYPE1_WRAPS = reason(
  'type1-range-wraps',
  'EINVAL',
  'vfio_iommu_type1.c vfio_dma_do_map, vfio_dma_do_unmap, vfio_iommu_type1_dirty_pages; before Linux 6.18',
  'an address + size wraps past 2^64',
);
export const TYPE1_OVERFLOW = reason(
  'type1-range-overflow',
  'EOVERFLOW',
  'vfio_iommu_type1.c vfio_dma_do_map, vfio_dma_do_unmap, vfio_iommu_type1_dirty_pages; since Linux 6.18',
  'an address + size wraps past 2^64',
);
export const TYPE1_BISECTS = reason(
  'type1-bisects-mapping',
  'EINVAL',
  'vfio_iommu_type1.c vfio_dma_do_unmap, vfio_iova_dirty_bitmap',
  'the range begins or ends inside a mapping',
);
