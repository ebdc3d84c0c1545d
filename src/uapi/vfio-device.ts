/**
 * VFIO commands of a device descriptor.
 *
 * The 6.12 layouts were compared with the compiled headers; the longer BIND, ATTACH and DETACH come from the
 * reference, section 1.8. VFIO structs begin with `argsz`, and data may follow the struct.
 */

import { VFIO_FEATURE } from './flags.ts';
import { type FdKind, type IoctlEntry, structIoctl } from './ioctl.ts';
import { defineLayout } from './layout.ts';

export const VFIO_DEVICE_GET_INFO = defineLayout({
  name: 'vfio_device_info',
  sizeBytes: 24,
  minBytes: 16,
  flexible: true,
  fields: [
    { name: 'argsz', offset: 0, kind: 'u32', dir: 'inout', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'out', flags: 'vfioDevice' },
    { name: 'num_regions', offset: 8, kind: 'u32', dir: 'out', refers: 'count' },
    { name: 'num_irqs', offset: 12, kind: 'u32', dir: 'out', refers: 'count' },
    { name: 'cap_offset', offset: 16, kind: 'u32', dir: 'out', refers: 'count' },
    { name: 'pad', offset: 20, kind: 'u32', dir: 'out', reserved: true },
  ],
});

export const VFIO_DEVICE_GET_REGION_INFO = defineLayout({
  name: 'vfio_region_info',
  sizeBytes: 32,
  minBytes: 32,
  flexible: true,
  fields: [
    { name: 'argsz', offset: 0, kind: 'u32', dir: 'inout', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'out', flags: 'vfioRegionInfo' },
    { name: 'index', offset: 8, kind: 'u32', dir: 'in', refers: 'count' },
    { name: 'cap_offset', offset: 12, kind: 'u32', dir: 'out', refers: 'count' },
    { name: 'size', offset: 16, kind: 'u64', dir: 'out', refers: 'length' },
    { name: 'offset', offset: 24, kind: 'u64', dir: 'out', refers: 'offset' },
  ],
});

export const VFIO_DEVICE_GET_IRQ_INFO = defineLayout({
  name: 'vfio_irq_info',
  sizeBytes: 16,
  minBytes: 16,
  fields: [
    { name: 'argsz', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'out', flags: 'vfioIrqInfo' },
    { name: 'index', offset: 8, kind: 'u32', dir: 'in', refers: 'count' },
    { name: 'count', offset: 12, kind: 'u32', dir: 'out', refers: 'count' },
  ],
});

/** `data` holds `count` bools or event descriptors, as the flags say. */
export const VFIO_DEVICE_SET_IRQS = defineLayout({
  name: 'vfio_irq_set',
  sizeBytes: 20,
  minBytes: 20,
  flexible: true,
  fields: [
    { name: 'argsz', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'in', flags: 'vfioIrqSet' },
    { name: 'index', offset: 8, kind: 'u32', dir: 'in', refers: 'count' },
    { name: 'start', offset: 12, kind: 'u32', dir: 'in', refers: 'count' },
    { name: 'count', offset: 16, kind: 'u32', dir: 'in', refers: 'count' },
  ],
  union: {
    selector: 'flags',
    offset: 20,
    mask: 7,
    cases: {
      2: { name: 'bools', fields: [{ name: 'data', offset: 0, kind: 'bytes', count: 'rest', dir: 'in' }] },
      4: {
        name: 'eventfds',
        fields: [{ name: 'data', offset: 0, kind: 's32[]', count: 'rest', dir: 'in', refers: 'fd' }],
      },
    },
  },
});

/** Each device is two words: group or device id, then segment (16 bits), bus, devfn. */
export const VFIO_DEVICE_GET_PCI_HOT_RESET_INFO = defineLayout({
  name: 'vfio_pci_hot_reset_info',
  sizeBytes: 12,
  minBytes: 12,
  flexible: true,
  fields: [
    { name: 'argsz', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'out', flags: 'vfioHotReset' },
    { name: 'count', offset: 8, kind: 'u32', dir: 'out', refers: 'count' },
    { name: 'devices', offset: 12, kind: 'u32[]', count: 'rest', dir: 'out', refers: 'bits' },
  ],
});

export const VFIO_DEVICE_PCI_HOT_RESET = defineLayout({
  name: 'vfio_pci_hot_reset',
  sizeBytes: 12,
  minBytes: 12,
  flexible: true,
  fields: [
    { name: 'argsz', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'in', refers: 'bits' },
    { name: 'count', offset: 8, kind: 'u32', dir: 'in', refers: 'count' },
    { name: 'group_fds', offset: 12, kind: 's32[]', count: 'rest', dir: 'in', refers: 'fd' },
  ],
});

export const VFIO_DEVICE_QUERY_GFX_PLANE = defineLayout({
  name: 'vfio_device_gfx_plane_info',
  sizeBytes: 64,
  minBytes: 60,
  fields: [
    { name: 'argsz', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'in', flags: 'vfioGfxPlane' },
    { name: 'drm_plane_type', offset: 8, kind: 'u32', dir: 'in', refers: 'count' },
    { name: 'drm_format', offset: 12, kind: 'u32', dir: 'out', refers: 'bits' },
    { name: 'drm_format_mod', offset: 16, kind: 'u64', dir: 'out', refers: 'bits' },
    { name: 'width', offset: 24, kind: 'u32', dir: 'out', refers: 'count' },
    { name: 'height', offset: 28, kind: 'u32', dir: 'out', refers: 'count' },
    { name: 'stride', offset: 32, kind: 'u32', dir: 'out', refers: 'count' },
    { name: 'size', offset: 36, kind: 'u32', dir: 'out', refers: 'length' },
    { name: 'x_pos', offset: 40, kind: 'u32', dir: 'out', refers: 'count' },
    { name: 'y_pos', offset: 44, kind: 'u32', dir: 'out', refers: 'count' },
    { name: 'x_hot', offset: 48, kind: 'u32', dir: 'out', refers: 'count' },
    { name: 'y_hot', offset: 52, kind: 'u32', dir: 'out', refers: 'count' },
    { name: 'region_index', offset: 56, kind: 'u32', dir: 'out', refers: 'count' },
    { name: 'reserved', offset: 60, kind: 'u32', dir: 'out', reserved: true },
  ],
});

export const VFIO_DEVICE_GET_GFX_DMABUF = defineLayout({
  name: 'vfio_gfx_dmabuf_id',
  sizeBytes: 4,
  minBytes: 4,
  fields: [{ name: 'dmabuf_id', offset: 0, kind: 'u32', dir: 'in', refers: 'count' }],
});

export const VFIO_DEVICE_IOEVENTFD = defineLayout({
  name: 'vfio_device_ioeventfd',
  sizeBytes: 32,
  minBytes: 28,
  fields: [
    { name: 'argsz', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'in', flags: 'vfioIoeventfd' },
    { name: 'offset', offset: 8, kind: 'u64', dir: 'in', refers: 'offset' },
    { name: 'data', offset: 16, kind: 'u64', dir: 'in', refers: 'bits' },
    { name: 'fd', offset: 24, kind: 's32', dir: 'in', refers: 'fd' },
    { name: 'reserved', offset: 28, kind: 'u32', dir: 'in', reserved: true },
  ],
});

/** The feature is in the low 16 bits of `flags`; its data follows. */
export const VFIO_DEVICE_FEATURE = defineLayout({
  name: 'vfio_device_feature',
  sizeBytes: 8,
  minBytes: 8,
  flexible: true,
  fields: [
    { name: 'argsz', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'in', flags: 'vfioFeature', values: 'vfioFeature' },
  ],
  union: {
    selector: 'flags',
    offset: 8,
    mask: 0xffff,
    cases: {
      [VFIO_FEATURE.PCI_VF_TOKEN]: {
        name: 'vf_token',
        fields: [{ name: 'uuid', offset: 0, kind: 'bytes', count: 16, dir: 'in' }],
      },
      [VFIO_FEATURE.MIGRATION]: {
        name: 'migration',
        fields: [{ name: 'flags', offset: 0, kind: 'u64', dir: 'out', flags: 'vfioMigration' }],
      },
      [VFIO_FEATURE.MIG_DEVICE_STATE]: {
        name: 'mig_state',
        fields: [
          { name: 'device_state', offset: 0, kind: 'u32', dir: 'inout', values: 'vfioMigState' },
          { name: 'data_fd', offset: 4, kind: 's32', dir: 'out', refers: 'fd' },
        ],
      },
      [VFIO_FEATURE.LOW_POWER_ENTRY_WITH_WAKEUP]: {
        name: 'low_power',
        fields: [
          { name: 'wakeup_eventfd', offset: 0, kind: 's32', dir: 'in', refers: 'fd' },
          { name: 'reserved', offset: 4, kind: 'u32', dir: 'in', reserved: true },
        ],
      },
      [VFIO_FEATURE.DMA_LOGGING_START]: {
        name: 'dma_logging',
        fields: [
          { name: 'page_size', offset: 0, kind: 'u64', dir: 'in', refers: 'length' },
          { name: 'num_ranges', offset: 8, kind: 'u32', dir: 'in', refers: 'count' },
          { name: '__reserved', offset: 12, kind: 'u32', dir: 'in', reserved: true },
          { name: 'ranges', offset: 16, kind: 'u64', dir: 'in', refers: 'va' },
        ],
      },
      [VFIO_FEATURE.DMA_LOGGING_REPORT]: {
        name: 'dma_report',
        fields: [
          { name: 'iova', offset: 0, kind: 'u64', dir: 'in', refers: 'iova' },
          { name: 'length', offset: 8, kind: 'u64', dir: 'in', refers: 'length' },
          { name: 'page_size', offset: 16, kind: 'u64', dir: 'in', refers: 'length' },
          { name: 'bitmap', offset: 24, kind: 'u64', dir: 'in', refers: 'va' },
        ],
      },
      [VFIO_FEATURE.MIG_DATA_SIZE]: {
        name: 'mig_data_size',
        fields: [{ name: 'stop_copy_length', offset: 0, kind: 'u64', dir: 'out', refers: 'length' }],
      },
      [VFIO_FEATURE.BUS_MASTER]: {
        name: 'bus_master',
        fields: [{ name: 'op', offset: 0, kind: 'u32', dir: 'in', values: 'vfioBusMaster' }],
      },
      [VFIO_FEATURE.DMA_BUF]: {
        name: 'dma_buf',
        fields: [
          { name: 'region_index', offset: 0, kind: 'u32', dir: 'in', refers: 'count' },
          { name: 'open_flags', offset: 4, kind: 'u32', dir: 'in', refers: 'bits' },
          { name: 'flags', offset: 8, kind: 'u32', dir: 'in', refers: 'bits' },
          { name: 'nr_ranges', offset: 12, kind: 'u32', dir: 'in', refers: 'count' },
          { name: 'dma_ranges', offset: 16, kind: 'u64[]', count: 'rest', dir: 'in', refers: 'length' },
        ],
      },
    },
  },
});

export const VFIO_DEVICE_BIND_IOMMUFD = defineLayout({
  name: 'vfio_device_bind_iommufd',
  sizeBytes: 24,
  minBytes: 16,
  sizes: [
    { since: '6.6', bytes: 16 },
    { since: '6.17', bytes: 24 },
  ],
  fields: [
    { name: 'argsz', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'in', flags: 'vfioBind' },
    { name: 'iommufd', offset: 8, kind: 's32', dir: 'in', refers: 'fd' },
    { name: 'out_devid', offset: 12, kind: 'u32', dir: 'out', refers: 'device' },
    { name: 'token_uuid_ptr', offset: 16, kind: 'u64', dir: 'in', refers: 'va' },
  ],
});

/** `pt_id` answers the HWPT that was chosen. */
export const VFIO_DEVICE_ATTACH_IOMMUFD_PT = defineLayout({
  name: 'vfio_device_attach_iommufd_pt',
  sizeBytes: 16,
  minBytes: 12,
  sizes: [
    { since: '6.6', bytes: 12 },
    { since: '6.15', bytes: 16 },
  ],
  fields: [
    { name: 'argsz', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'in', flags: 'vfioAttach' },
    { name: 'pt_id', offset: 8, kind: 'u32', dir: 'inout', refers: 'pt' },
    { name: 'pasid', offset: 12, kind: 'u32', dir: 'in', refers: 'pasid' },
  ],
});

export const VFIO_DEVICE_DETACH_IOMMUFD_PT = defineLayout({
  name: 'vfio_device_detach_iommufd_pt',
  sizeBytes: 12,
  minBytes: 8,
  sizes: [
    { since: '6.6', bytes: 8 },
    { since: '6.15', bytes: 12 },
  ],
  fields: [
    { name: 'argsz', offset: 0, kind: 'u32', dir: 'in', refers: 'size' },
    { name: 'flags', offset: 4, kind: 'u32', dir: 'in', flags: 'vfioAttach' },
    { name: 'pasid', offset: 8, kind: 'u32', dir: 'in', refers: 'pasid' },
  ],
});

const KINDS: readonly FdKind[] = ['device'];

export const VFIO_DEVICE_IOCTLS = [
  structIoctl('VFIO_DEVICE_GET_INFO', 0x3b6b, KINDS, VFIO_DEVICE_GET_INFO, '6.2'),
  structIoctl('VFIO_DEVICE_GET_REGION_INFO', 0x3b6c, KINDS, VFIO_DEVICE_GET_REGION_INFO, '6.2'),
  structIoctl('VFIO_DEVICE_GET_IRQ_INFO', 0x3b6d, KINDS, VFIO_DEVICE_GET_IRQ_INFO, '6.2'),
  structIoctl('VFIO_DEVICE_SET_IRQS', 0x3b6e, KINDS, VFIO_DEVICE_SET_IRQS, '6.2'),
  structIoctl('VFIO_DEVICE_GET_PCI_HOT_RESET_INFO', 0x3b70, KINDS, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, '6.2'),
  structIoctl('VFIO_DEVICE_PCI_HOT_RESET', 0x3b71, KINDS, VFIO_DEVICE_PCI_HOT_RESET, '6.2'),
  structIoctl('VFIO_DEVICE_QUERY_GFX_PLANE', 0x3b72, KINDS, VFIO_DEVICE_QUERY_GFX_PLANE, '6.2'),
  structIoctl('VFIO_DEVICE_GET_GFX_DMABUF', 0x3b73, KINDS, VFIO_DEVICE_GET_GFX_DMABUF, '6.2'),
  structIoctl('VFIO_DEVICE_IOEVENTFD', 0x3b74, KINDS, VFIO_DEVICE_IOEVENTFD, '6.2'),
  structIoctl('VFIO_DEVICE_FEATURE', 0x3b75, KINDS, VFIO_DEVICE_FEATURE, '6.2'),
  structIoctl('VFIO_DEVICE_BIND_IOMMUFD', 0x3b76, KINDS, VFIO_DEVICE_BIND_IOMMUFD, '6.6'),
  structIoctl('VFIO_DEVICE_ATTACH_IOMMUFD_PT', 0x3b77, KINDS, VFIO_DEVICE_ATTACH_IOMMUFD_PT, '6.6'),
  structIoctl('VFIO_DEVICE_DETACH_IOMMUFD_PT', 0x3b78, KINDS, VFIO_DEVICE_DETACH_IOMMUFD_PT, '6.6'),
  { name: 'VFIO_DEVICE_RESET', cmd: 0x3b6f, kinds: KINDS, argument: 'none', layout: null, since: '6.2' },
] as const satisfies readonly IoctlEntry[];
