/**
 * The commands of /dev/iommu, 0x3b80 to 0x3b95, as of Linux 7.3-rc7.
 *
 * /dev/vfio/vfio answers them too when iommufd serves it (CONFIG_IOMMUFD_VFIO_CONTAINER). Offsets and sizes
 * up to 0x3b8e were compared with the compiled 6.12 headers; the later ones come from the reference, section
 * 1.2.
 */

import { type FdKind, type IoctlEntry, structIoctl } from './ioctl.ts';
import { defineLayout } from './layout.ts';

export const IOMMU_DESTROY = defineLayout({
  name: 'IOMMU_DESTROY',
  sizeBytes: 8,
  minBytes: 8,
  fields: [
    { name: 'size', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'id', offset: 4, kind: 'u32', dir: 'in', refers: 'object' },
  ],
});

export const IOMMU_IOAS_ALLOC = defineLayout({
  name: 'IOMMU_IOAS_ALLOC',
  sizeBytes: 12,
  minBytes: 12,
  fields: [
    { name: 'size', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'in', refers: 'bits' },
    { name: 'out_ioas_id', offset: 8, kind: 'u32', dir: 'out', refers: 'ioas' },
  ],
});

/** `allowed_iovas` points to `num_iovas` records of IOMMU_IOVA_RANGE. */
export const IOMMU_IOAS_ALLOW_IOVAS = defineLayout({
  name: 'IOMMU_IOAS_ALLOW_IOVAS',
  sizeBytes: 24,
  minBytes: 24,
  fields: [
    { name: 'size', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'ioas_id', offset: 4, kind: 'u32', dir: 'in', refers: 'ioas' },
    { name: 'num_iovas', offset: 8, kind: 'u32', dir: 'in', refers: 'count' },
    { name: '__reserved', offset: 12, kind: 'u32', dir: 'in', reserved: true },
    { name: 'allowed_iovas', offset: 16, kind: 'u64', dir: 'in', refers: 'va' },
  ],
});

export const IOMMU_IOAS_COPY = defineLayout({
  name: 'IOMMU_IOAS_COPY',
  sizeBytes: 40,
  minBytes: 40,
  fields: [
    { name: 'size', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'in', flags: 'ioasCopy' },
    { name: 'dst_ioas_id', offset: 8, kind: 'u32', dir: 'in', refers: 'ioas' },
    { name: 'src_ioas_id', offset: 12, kind: 'u32', dir: 'in', refers: 'ioas' },
    { name: 'length', offset: 16, kind: 'u64', dir: 'in', refers: 'length' },
    { name: 'dst_iova', offset: 24, kind: 'u64', dir: 'inout', refers: 'iova' },
    { name: 'src_iova', offset: 32, kind: 'u64', dir: 'in', refers: 'iova' },
  ],
});

/** The array that `allowed_iovas` points to is output. */
export const IOMMU_IOAS_IOVA_RANGES = defineLayout({
  name: 'IOMMU_IOAS_IOVA_RANGES',
  sizeBytes: 32,
  minBytes: 32,
  fields: [
    { name: 'size', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'ioas_id', offset: 4, kind: 'u32', dir: 'in', refers: 'ioas' },
    { name: 'num_iovas', offset: 8, kind: 'u32', dir: 'inout', refers: 'count' },
    { name: '__reserved', offset: 12, kind: 'u32', dir: 'in', reserved: true },
    { name: 'allowed_iovas', offset: 16, kind: 'u64', dir: 'in', refers: 'va' },
    { name: 'out_iova_alignment', offset: 24, kind: 'u64', dir: 'out', refers: 'length' },
  ],
});

/** `iova` is input with FIXED_IOVA, else output. */
export const IOMMU_IOAS_MAP = defineLayout({
  name: 'IOMMU_IOAS_MAP',
  sizeBytes: 40,
  minBytes: 40,
  fields: [
    { name: 'size', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'in', flags: 'ioasMap' },
    { name: 'ioas_id', offset: 8, kind: 'u32', dir: 'in', refers: 'ioas' },
    { name: '__reserved', offset: 12, kind: 'u32', dir: 'in', reserved: true },
    { name: 'user_va', offset: 16, kind: 'u64', dir: 'in', refers: 'va' },
    { name: 'length', offset: 24, kind: 'u64', dir: 'in', refers: 'length' },
    { name: 'iova', offset: 32, kind: 'u64', dir: 'inout', refers: 'iova' },
  ],
});

export const IOMMU_IOAS_UNMAP = defineLayout({
  name: 'IOMMU_IOAS_UNMAP',
  sizeBytes: 24,
  minBytes: 24,
  fields: [
    { name: 'size', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'ioas_id', offset: 4, kind: 'u32', dir: 'in', refers: 'ioas' },
    { name: 'iova', offset: 8, kind: 'u64', dir: 'in', refers: 'iova' },
    { name: 'length', offset: 16, kind: 'u64', dir: 'inout', refers: 'length' },
  ],
});

export const IOMMU_OPTION = defineLayout({
  name: 'IOMMU_OPTION',
  sizeBytes: 24,
  minBytes: 24,
  fields: [
    { name: 'size', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'option_id', offset: 4, kind: 'u32', dir: 'in', values: 'optionId' },
    { name: 'op', offset: 8, kind: 'u16', dir: 'in', values: 'optionOp' },
    { name: '__reserved', offset: 10, kind: 'u16', dir: 'in', reserved: true },
    { name: 'object_id', offset: 12, kind: 'u32', dir: 'in', refers: 'object' },
    { name: 'val64', offset: 16, kind: 'u64', dir: 'inout' },
  ],
});

export const IOMMU_VFIO_IOAS = defineLayout({
  name: 'IOMMU_VFIO_IOAS',
  sizeBytes: 12,
  minBytes: 12,
  fields: [
    { name: 'size', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'ioas_id', offset: 4, kind: 'u32', dir: 'inout', refers: 'ioas' },
    { name: 'op', offset: 8, kind: 'u16', dir: 'in', values: 'vfioIoasOp' },
    { name: '__reserved', offset: 10, kind: 'u16', dir: 'in', reserved: true },
  ],
});

/** `__reserved2` is not checked by the kernel. */
export const IOMMU_HWPT_ALLOC = defineLayout({
  name: 'IOMMU_HWPT_ALLOC',
  sizeBytes: 48,
  minBytes: 24,
  sizes: [
    { since: '6.6', bytes: 24 },
    { since: '6.7', bytes: 40 },
    { since: '6.11', bytes: 48 },
  ],
  fields: [
    { name: 'size', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'in', flags: 'hwptAlloc' },
    { name: 'dev_id', offset: 8, kind: 'u32', dir: 'in', refers: 'device' },
    { name: 'pt_id', offset: 12, kind: 'u32', dir: 'in', refers: 'pt' },
    { name: 'out_hwpt_id', offset: 16, kind: 'u32', dir: 'out', refers: 'hwpt' },
    { name: '__reserved', offset: 20, kind: 'u32', dir: 'in', reserved: true },
    { name: 'data_type', offset: 24, kind: 'u32', dir: 'in', values: 'hwptData' },
    { name: 'data_len', offset: 28, kind: 'u32', dir: 'in', refers: 'count' },
    { name: 'data_uptr', offset: 32, kind: 'u64', dir: 'in', refers: 'va' },
    { name: 'fault_id', offset: 40, kind: 'u32', dir: 'in', refers: 'fault' },
    { name: '__reserved2', offset: 44, kind: 'u32', dir: 'in', reserved: true },
  ],
});

/**
 * `out_data_type` is also `in_data_type`, an input with INPUT_TYPE (6.17). The pasid byte is of 6.15 and
 * 6.12.31.
 */
export const IOMMU_GET_HW_INFO = defineLayout({
  name: 'IOMMU_GET_HW_INFO',
  sizeBytes: 40,
  minBytes: 32,
  sizes: [
    { since: '6.6', bytes: 32 },
    { since: '6.7', bytes: 40 },
  ],
  fields: [
    { name: 'size', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'in', flags: 'getHwInfo' },
    { name: 'dev_id', offset: 8, kind: 'u32', dir: 'in', refers: 'device' },
    { name: 'data_len', offset: 12, kind: 'u32', dir: 'inout', refers: 'count' },
    { name: 'data_uptr', offset: 16, kind: 'u64', dir: 'in', refers: 'va' },
    { name: 'out_data_type', offset: 24, kind: 'u32', dir: 'inout', values: 'hwInfoType' },
    { name: 'out_max_pasid_log2', offset: 28, kind: 'u8', dir: 'out', refers: 'count' },
    { name: '__reserved', offset: 29, kind: 'bytes', count: 3, dir: 'in', reserved: true },
    { name: 'out_capabilities', offset: 32, kind: 'u64', dir: 'out', flags: 'hwCap' },
  ],
});

/** `__reserved` is not checked by the kernel. */
export const IOMMU_HWPT_SET_DIRTY_TRACKING = defineLayout({
  name: 'IOMMU_HWPT_SET_DIRTY_TRACKING',
  sizeBytes: 16,
  minBytes: 16,
  fields: [
    { name: 'size', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'in', flags: 'dirtyTracking' },
    { name: 'hwpt_id', offset: 8, kind: 'u32', dir: 'in', refers: 'hwpt' },
    { name: '__reserved', offset: 12, kind: 'u32', dir: 'in', reserved: true },
  ],
});

/** `data` points to the bitmap, which is output. */
export const IOMMU_HWPT_GET_DIRTY_BITMAP = defineLayout({
  name: 'IOMMU_HWPT_GET_DIRTY_BITMAP',
  sizeBytes: 48,
  minBytes: 48,
  fields: [
    { name: 'size', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'hwpt_id', offset: 4, kind: 'u32', dir: 'in', refers: 'hwpt' },
    { name: 'flags', offset: 8, kind: 'u32', dir: 'in', flags: 'getDirty' },
    { name: '__reserved', offset: 12, kind: 'u32', dir: 'in', reserved: true },
    { name: 'iova', offset: 16, kind: 'u64', dir: 'in', refers: 'iova' },
    { name: 'length', offset: 24, kind: 'u64', dir: 'in', refers: 'length' },
    { name: 'page_size', offset: 32, kind: 'u64', dir: 'in', refers: 'length' },
    { name: 'data', offset: 40, kind: 'u64', dir: 'in', refers: 'va' },
  ],
});

/** `hwpt_id` may also be a vIOMMU (6.13). `entry_num` answers how many were handled. */
export const IOMMU_HWPT_INVALIDATE = defineLayout({
  name: 'IOMMU_HWPT_INVALIDATE',
  sizeBytes: 32,
  minBytes: 32,
  fields: [
    { name: 'size', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'hwpt_id', offset: 4, kind: 'u32', dir: 'in', refers: 'hwpt' },
    { name: 'data_uptr', offset: 8, kind: 'u64', dir: 'in', refers: 'va' },
    { name: 'data_type', offset: 16, kind: 'u32', dir: 'in', values: 'invalidateData' },
    { name: 'entry_len', offset: 20, kind: 'u32', dir: 'in', refers: 'count' },
    { name: 'entry_num', offset: 24, kind: 'u32', dir: 'inout', refers: 'count' },
    { name: '__reserved', offset: 28, kind: 'u32', dir: 'in', reserved: true },
  ],
});

export const IOMMU_FAULT_QUEUE_ALLOC = defineLayout({
  name: 'IOMMU_FAULT_QUEUE_ALLOC',
  sizeBytes: 16,
  minBytes: 16,
  fields: [
    { name: 'size', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'in', refers: 'bits' },
    { name: 'out_fault_id', offset: 8, kind: 'u32', dir: 'out', refers: 'fault' },
    { name: 'out_fault_fd', offset: 12, kind: 'u32', dir: 'out', refers: 'fd' },
  ],
});

export const IOMMU_IOAS_MAP_FILE = defineLayout({
  name: 'IOMMU_IOAS_MAP_FILE',
  sizeBytes: 40,
  minBytes: 40,
  fields: [
    { name: 'size', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'in', flags: 'ioasMap' },
    { name: 'ioas_id', offset: 8, kind: 'u32', dir: 'in', refers: 'ioas' },
    { name: 'fd', offset: 12, kind: 's32', dir: 'in', refers: 'fd' },
    { name: 'start', offset: 16, kind: 'u64', dir: 'in', refers: 'offset' },
    { name: 'length', offset: 24, kind: 'u64', dir: 'in', refers: 'length' },
    { name: 'iova', offset: 32, kind: 'u64', dir: 'inout', refers: 'iova' },
  ],
});

/** `__reserved` is not checked by the kernel. The data buffer is input and output. */
export const IOMMU_VIOMMU_ALLOC = defineLayout({
  name: 'IOMMU_VIOMMU_ALLOC',
  sizeBytes: 40,
  minBytes: 24,
  sizes: [
    { since: '6.13', bytes: 24 },
    { since: '6.17', bytes: 40 },
  ],
  fields: [
    { name: 'size', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'in', refers: 'bits' },
    { name: 'type', offset: 8, kind: 'u32', dir: 'in', values: 'viommuType' },
    { name: 'dev_id', offset: 12, kind: 'u32', dir: 'in', refers: 'device' },
    { name: 'hwpt_id', offset: 16, kind: 'u32', dir: 'in', refers: 'hwpt' },
    { name: 'out_viommu_id', offset: 20, kind: 'u32', dir: 'out', refers: 'viommu' },
    { name: 'data_len', offset: 24, kind: 'u32', dir: 'in', refers: 'count' },
    { name: '__reserved', offset: 28, kind: 'u32', dir: 'in', reserved: true },
    { name: 'data_uptr', offset: 32, kind: 'u64', dir: 'in', refers: 'va' },
  ],
});

export const IOMMU_VDEVICE_ALLOC = defineLayout({
  name: 'IOMMU_VDEVICE_ALLOC',
  sizeBytes: 24,
  minBytes: 24,
  fields: [
    { name: 'size', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'viommu_id', offset: 4, kind: 'u32', dir: 'in', refers: 'viommu' },
    { name: 'dev_id', offset: 8, kind: 'u32', dir: 'in', refers: 'device' },
    { name: 'out_vdevice_id', offset: 12, kind: 'u32', dir: 'out', refers: 'vdevice' },
    { name: 'virt_id', offset: 16, kind: 'u64', dir: 'in', refers: 'bits' },
  ],
});

export const IOMMU_IOAS_CHANGE_PROCESS = defineLayout({
  name: 'IOMMU_IOAS_CHANGE_PROCESS',
  sizeBytes: 8,
  minBytes: 8,
  fields: [
    { name: 'size', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: '__reserved', offset: 4, kind: 'u32', dir: 'in', reserved: true },
  ],
});

export const IOMMU_VEVENTQ_ALLOC = defineLayout({
  name: 'IOMMU_VEVENTQ_ALLOC',
  sizeBytes: 32,
  minBytes: 28,
  fields: [
    { name: 'size', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'in', refers: 'bits' },
    { name: 'viommu_id', offset: 8, kind: 'u32', dir: 'in', refers: 'viommu' },
    { name: 'type', offset: 12, kind: 'u32', dir: 'in', values: 'veventqType' },
    { name: 'veventq_depth', offset: 16, kind: 'u32', dir: 'in', refers: 'count' },
    { name: 'out_veventq_id', offset: 20, kind: 'u32', dir: 'out', refers: 'veventq' },
    { name: 'out_veventq_fd', offset: 24, kind: 'u32', dir: 'out', refers: 'fd' },
    { name: '__reserved', offset: 28, kind: 'u32', dir: 'in', reserved: true },
  ],
});

export const IOMMU_HW_QUEUE_ALLOC = defineLayout({
  name: 'IOMMU_HW_QUEUE_ALLOC',
  sizeBytes: 40,
  minBytes: 40,
  fields: [
    { name: 'size', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'in', refers: 'bits' },
    { name: 'viommu_id', offset: 8, kind: 'u32', dir: 'in', refers: 'viommu' },
    { name: 'type', offset: 12, kind: 'u32', dir: 'in', values: 'hwQueueType' },
    { name: 'index', offset: 16, kind: 'u32', dir: 'in', refers: 'count' },
    { name: 'out_hw_queue_id', offset: 20, kind: 'u32', dir: 'out', refers: 'hw-queue' },
    { name: 'nesting_parent_iova', offset: 24, kind: 'u64', dir: 'in', refers: 'iova' },
    { name: 'length', offset: 32, kind: 'u64', dir: 'in', refers: 'length' },
  ],
});

export const IOMMU_IOAS_NOIOMMU_GET_PA = defineLayout({
  name: 'IOMMU_IOAS_NOIOMMU_GET_PA',
  sizeBytes: 40,
  minBytes: 40,
  fields: [
    { name: 'size', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'in', refers: 'bits' },
    { name: 'ioas_id', offset: 8, kind: 'u32', dir: 'in', refers: 'ioas' },
    { name: '__reserved', offset: 12, kind: 'u32', dir: 'in', reserved: true },
    { name: 'iova', offset: 16, kind: 'u64', dir: 'in', refers: 'iova' },
    { name: 'length', offset: 24, kind: 'u64', dir: 'inout', refers: 'length' },
    { name: 'out_phys', offset: 32, kind: 'u64', dir: 'out', refers: 'phys' },
  ],
});

/** /dev/vfio/vfio is the same driver when iommufd serves it. */
const KINDS: readonly FdKind[] = ['iommufd', 'container'];

export const IOMMUFD_IOCTLS = [
  structIoctl('IOMMU_DESTROY', 0x3b80, KINDS, IOMMU_DESTROY, '6.2'),
  structIoctl('IOMMU_IOAS_ALLOC', 0x3b81, KINDS, IOMMU_IOAS_ALLOC, '6.2'),
  structIoctl('IOMMU_IOAS_ALLOW_IOVAS', 0x3b82, KINDS, IOMMU_IOAS_ALLOW_IOVAS, '6.2'),
  structIoctl('IOMMU_IOAS_COPY', 0x3b83, KINDS, IOMMU_IOAS_COPY, '6.2'),
  structIoctl('IOMMU_IOAS_IOVA_RANGES', 0x3b84, KINDS, IOMMU_IOAS_IOVA_RANGES, '6.2'),
  structIoctl('IOMMU_IOAS_MAP', 0x3b85, KINDS, IOMMU_IOAS_MAP, '6.2'),
  structIoctl('IOMMU_IOAS_UNMAP', 0x3b86, KINDS, IOMMU_IOAS_UNMAP, '6.2'),
  structIoctl('IOMMU_OPTION', 0x3b87, KINDS, IOMMU_OPTION, '6.2'),
  structIoctl('IOMMU_VFIO_IOAS', 0x3b88, KINDS, IOMMU_VFIO_IOAS, '6.2'),
  structIoctl('IOMMU_HWPT_ALLOC', 0x3b89, KINDS, IOMMU_HWPT_ALLOC, '6.6'),
  structIoctl('IOMMU_GET_HW_INFO', 0x3b8a, KINDS, IOMMU_GET_HW_INFO, '6.6'),
  structIoctl('IOMMU_HWPT_SET_DIRTY_TRACKING', 0x3b8b, KINDS, IOMMU_HWPT_SET_DIRTY_TRACKING, '6.7'),
  structIoctl('IOMMU_HWPT_GET_DIRTY_BITMAP', 0x3b8c, KINDS, IOMMU_HWPT_GET_DIRTY_BITMAP, '6.7'),
  structIoctl('IOMMU_HWPT_INVALIDATE', 0x3b8d, KINDS, IOMMU_HWPT_INVALIDATE, '6.8'),
  structIoctl('IOMMU_FAULT_QUEUE_ALLOC', 0x3b8e, KINDS, IOMMU_FAULT_QUEUE_ALLOC, '6.11'),
  structIoctl('IOMMU_IOAS_MAP_FILE', 0x3b8f, KINDS, IOMMU_IOAS_MAP_FILE, '6.13'),
  structIoctl('IOMMU_VIOMMU_ALLOC', 0x3b90, KINDS, IOMMU_VIOMMU_ALLOC, '6.13'),
  structIoctl('IOMMU_VDEVICE_ALLOC', 0x3b91, KINDS, IOMMU_VDEVICE_ALLOC, '6.13'),
  structIoctl('IOMMU_IOAS_CHANGE_PROCESS', 0x3b92, KINDS, IOMMU_IOAS_CHANGE_PROCESS, '6.14'),
  structIoctl('IOMMU_VEVENTQ_ALLOC', 0x3b93, KINDS, IOMMU_VEVENTQ_ALLOC, '6.15'),
  structIoctl('IOMMU_HW_QUEUE_ALLOC', 0x3b94, KINDS, IOMMU_HW_QUEUE_ALLOC, '6.17'),
  structIoctl('IOMMU_IOAS_NOIOMMU_GET_PA', 0x3b95, KINDS, IOMMU_IOAS_NOIOMMU_GET_PA, '7.3'),
] as const satisfies readonly IoctlEntry[];
