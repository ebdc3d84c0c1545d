import {
  CMD,
  IOMMU_DESTROY,
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_GET_DIRTY_BITMAP,
  IOMMU_HWPT_INVALIDATE,
  IOMMU_HWPT_SET_DIRTY_TRACKING,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_MAP_FILE,
  IOMMU_VDEVICE_ALLOC,
  IOMMU_VEVENTQ_ALLOC,
  IOMMU_VIOMMU_ALLOC,
  offsetsOf,
} from '../../../uapi/index.ts';
import { structOf, withU32 } from '../struct-bytes.ts';
import type { EventHandler } from './event-handler.ts';
import { mapDma, unmapDma } from './map-events.ts';
import { type QemuSession, resultOf, SUCCESS } from './session.ts';

/**
 * The events of QEMU's iommufd backend (backends/trace-events), from 8.2 on. Each is traced right after its
 * ioctl, with what the ioctl was given; the constants that QEMU puts beside are the same in all versions.
 */

const MAP_FILE = offsetsOf(IOMMU_IOAS_MAP_FILE);
const HWPT = offsetsOf(IOMMU_HWPT_ALLOC);
const INVALIDATE = offsetsOf(IOMMU_HWPT_INVALIDATE);
const DIRTY = offsetsOf(IOMMU_HWPT_GET_DIRTY_BITMAP);
const TRACKING = offsetsOf(IOMMU_HWPT_SET_DIRTY_TRACKING);
const VIOMMU = offsetsOf(IOMMU_VIOMMU_ALLOC);
const VDEVICE = offsetsOf(IOMMU_VDEVICE_ALLOC);
const VEVENTQ = offsetsOf(IOMMU_VEVENTQ_ALLOC);

const FIXED_IOVA = 1;
const WRITEABLE = 2;
const READABLE = 4;
/** sizeof before fault_id, which QEMU does not set. */
const HWPT_ALLOC_BYTES = 48;

const ID_KEYS = ['ioas', 'ioas_id'] as const;
const HWPT_KEYS = ['hwpt', 'hwpt_id'] as const;

const mapFileDma: EventHandler = (session, values) => {
  const iommufd = values.number('iommufd');
  const ioas = values.number(...ID_KEYS);
  const iova = values.wide('iova');
  const length = values.wide('size');
  const fd = values.signed('fd');
  const start = values.wide('start');
  const readonly = values.number('readonly');
  if (iommufd === null || ioas === null || iova === null || length === null) return false;
  if (fd === null || start === null) return false;
  const arg = structOf(IOMMU_IOAS_MAP_FILE.sizeBytes)
    .u32(MAP_FILE.size, IOMMU_IOAS_MAP_FILE.sizeBytes)
    .u32(MAP_FILE.flags, FIXED_IOVA | READABLE | (readonly ? 0 : WRITEABLE))
    .u32(MAP_FILE.ioas_id, ioas)
    .u32(MAP_FILE.fd, fd >>> 0)
    .u64(MAP_FILE.start, start)
    .u64(MAP_FILE.length, length)
    .u64(MAP_FILE.iova, iova).bytes;
  const missing = readonly === null ? ['memory', 'arg.flags'] : ['memory'];
  const result = resultOf(values.signed('ret'));
  const cmd = CMD.IOMMU_IOAS_MAP_FILE;
  session.ioctl({ fd: iommufd, kind: 'iommufd', cmd, arg, out: arg, result, missing });
  return true;
};

const allocIoas: EventHandler = (session, values) => {
  const fd = values.number('iommufd');
  const ioas = values.number(...ID_KEYS);
  if (fd === null || ioas === null) return false;
  const arg = structOf(IOMMU_IOAS_ALLOC.sizeBytes).u32(0, IOMMU_IOAS_ALLOC.sizeBytes).bytes;
  const result = resultOf(values.signed('ret')) ?? SUCCESS;
  const out = result.ret < 0 ? arg : withU32(arg, offsetsOf(IOMMU_IOAS_ALLOC).out_ioas_id, ioas);
  session.ioctl({ fd, kind: 'iommufd', cmd: CMD.IOMMU_IOAS_ALLOC, arg, out, result });
  return true;
};

const freeId: EventHandler = (session, values) => {
  const fd = values.number('iommufd');
  const id = values.number('id', ...ID_KEYS);
  if (fd === null || id === null) return false;
  const arg = structOf(IOMMU_DESTROY.sizeBytes).u32(0, IOMMU_DESTROY.sizeBytes).u32(4, id).bytes;
  const result = resultOf(values.signed('ret'));
  session.ioctl({ fd, kind: 'iommufd', cmd: CMD.IOMMU_DESTROY, arg, out: arg, result });
  return true;
};

const allocHwpt: EventHandler = (session, values) => {
  const fd = values.number('iommufd');
  const device = values.number('dev_id');
  const pt = values.number('pt_id');
  const made = values.number('out_hwpt', 'out_hwpt_id');
  if (fd === null || device === null || pt === null || made === null) return false;
  const dataBytes = values.number('len', 'data_len') ?? 0;
  const arg = structOf(HWPT_ALLOC_BYTES)
    .u32(HWPT.size, HWPT_ALLOC_BYTES)
    .u32(HWPT.flags, values.number('flags') ?? 0)
    .u32(HWPT.dev_id, device)
    .u32(HWPT.pt_id, pt)
    .u32(HWPT.data_type, values.number('hwpt_type', 'data_type') ?? 0)
    .u32(HWPT.data_len, dataBytes)
    .u64(HWPT.data_uptr, values.wide('data_ptr') ?? 0n).bytes;
  const result = resultOf(values.signed('ret'));
  const out = result === null ? null : result.ret < 0 ? arg : withU32(arg, HWPT.out_hwpt_id, made);
  const missing = dataBytes === 0 ? [] : ['mem'];
  session.ioctl({ fd, kind: 'iommufd', cmd: CMD.IOMMU_HWPT_ALLOC, arg, out, result, missing });
  return true;
};

const setDirty: EventHandler = (session, values) => {
  const fd = values.number('iommufd');
  const hwpt = values.number(...HWPT_KEYS);
  const enable = values.number('enable', 'start');
  if (fd === null || hwpt === null || enable === null) return false;
  const arg = structOf(IOMMU_HWPT_SET_DIRTY_TRACKING.sizeBytes)
    .u32(TRACKING.size, IOMMU_HWPT_SET_DIRTY_TRACKING.sizeBytes)
    .u32(TRACKING.flags, enable)
    .u32(TRACKING.hwpt_id, hwpt).bytes;
  const result = resultOf(values.signed('ret'));
  session.ioctl({ fd, kind: 'iommufd', cmd: CMD.IOMMU_HWPT_SET_DIRTY_TRACKING, arg, out: arg, result });
  return true;
};

const getDirtyBitmap: EventHandler = (session, values) => {
  const fd = values.number('iommufd');
  const hwpt = values.number(...HWPT_KEYS);
  const iova = values.wide('iova');
  const length = values.wide('size');
  const page = values.wide('page_size');
  if (fd === null || hwpt === null || iova === null || length === null || page === null) return false;
  // Versions before 10.1 have no flags, and pass none.
  const arg = structOf(IOMMU_HWPT_GET_DIRTY_BITMAP.sizeBytes)
    .u32(DIRTY.size, IOMMU_HWPT_GET_DIRTY_BITMAP.sizeBytes)
    .u32(DIRTY.hwpt_id, hwpt)
    .u32(DIRTY.flags, values.number('flags') ?? 0)
    .u64(DIRTY.iova, iova)
    .u64(DIRTY.length, length)
    .u64(DIRTY.page_size, page).bytes;
  const result = resultOf(values.signed('ret'));
  const missing = ['arg.data', 'mem'];
  const cmd = CMD.IOMMU_HWPT_GET_DIRTY_BITMAP;
  session.ioctl({ fd, kind: 'iommufd', cmd, arg, out: null, result, missing });
  return true;
};

const invalidateCache: EventHandler = (session, values) => {
  const fd = values.number('iommufd');
  const id = values.number('id', 'hwpt_id', 'viommu_id');
  const entries = values.number('entry_num');
  const done = values.number('done_num');
  const data = values.wide('data_ptr');
  if (fd === null || id === null || entries === null || done === null || data === null) return false;
  const arg = structOf(IOMMU_HWPT_INVALIDATE.sizeBytes)
    .u32(INVALIDATE.size, IOMMU_HWPT_INVALIDATE.sizeBytes)
    .u32(INVALIDATE.hwpt_id, id)
    .u64(INVALIDATE.data_uptr, data)
    .u32(INVALIDATE.data_type, values.number('data_type') ?? 0)
    .u32(INVALIDATE.entry_len, values.number('entry_len') ?? 0)
    .u32(INVALIDATE.entry_num, entries).bytes;
  const out = withU32(arg, INVALIDATE.entry_num, done);
  const result = resultOf(values.signed('ret'));
  const cmd = CMD.IOMMU_HWPT_INVALIDATE;
  session.ioctl({ fd, kind: 'iommufd', cmd, arg, out, result, missing: ['mem'] });
  return true;
};

/**
 * Type and device of a vIOMMU. QEMU 11 prints each under the name of the other (its format string has them
 * the other way round than its arguments); what a device is shows by its binding. Where that does not decide,
 * QEMU 11 is taken for granted and both count as missing.
 */
function typeAndDevice(session: QemuSession, type: number, device: number) {
  const { deviceIds } = session.names;
  if (type === device) return { type, device, unsure: [] };
  if (deviceIds.has(device) && !deviceIds.has(type)) return { type, device, unsure: [] };
  const isDecided = deviceIds.has(type) && !deviceIds.has(device);
  return { type: device, device: type, unsure: isDecided ? [] : ['arg.type', 'arg.dev_id'] };
}

const allocViommu: EventHandler = (session, values) => {
  const fd = values.number('iommufd');
  const printedType = values.number('type');
  const printedDevice = values.number('dev_id');
  const hwpt = values.number('hwpt_id');
  const made = values.number('viommu_id');
  if (fd === null || printedType === null || printedDevice === null) return false;
  if (hwpt === null || made === null) return false;
  const { type, device, unsure } = typeAndDevice(session, printedType, printedDevice);
  const sizeBytes = IOMMU_VIOMMU_ALLOC.minBytes;
  const arg = structOf(sizeBytes)
    .u32(VIOMMU.size, sizeBytes)
    .u32(VIOMMU.flags, values.number('flags') ?? 0)
    .u32(VIOMMU.type, type)
    .u32(VIOMMU.dev_id, device)
    .u32(VIOMMU.hwpt_id, hwpt).bytes;
  const result = resultOf(values.signed('ret'));
  const out = result === null ? null : result.ret < 0 ? arg : withU32(arg, VIOMMU.out_viommu_id, made);
  const missing = ['arg.size', 'arg.data_len', 'arg.data_uptr', 'mem', ...unsure];
  session.ioctl({ fd, kind: 'iommufd', cmd: CMD.IOMMU_VIOMMU_ALLOC, arg, out, result, missing });
  return true;
};

const allocVdevice: EventHandler = (session, values) => {
  const fd = values.number('iommufd');
  const device = values.number('dev_id');
  const viommu = values.number('viommu_id');
  const virtual = values.wide('virt_id');
  const made = values.number('vdev_id');
  if (fd === null || device === null || viommu === null || virtual === null || made === null) return false;
  const arg = structOf(IOMMU_VDEVICE_ALLOC.sizeBytes)
    .u32(VDEVICE.size, IOMMU_VDEVICE_ALLOC.sizeBytes)
    .u32(VDEVICE.viommu_id, viommu)
    .u32(VDEVICE.dev_id, device)
    .u64(VDEVICE.virt_id, virtual).bytes;
  const result = resultOf(values.signed('ret'));
  const out = result === null ? null : result.ret < 0 ? arg : withU32(arg, VDEVICE.out_vdevice_id, made);
  session.ioctl({ fd, kind: 'iommufd', cmd: CMD.IOMMU_VDEVICE_ALLOC, arg, out, result });
  return true;
};

const allocEventq: EventHandler = (session, values) => {
  const fd = values.number('iommufd');
  const viommu = values.number('viommu_id');
  const type = values.number('type');
  const made = values.number('veventq_id');
  const newFd = values.signed('veventq_fd');
  if (fd === null || viommu === null || type === null || made === null || newFd === null) return false;
  const arg = structOf(IOMMU_VEVENTQ_ALLOC.sizeBytes)
    .u32(VEVENTQ.size, IOMMU_VEVENTQ_ALLOC.sizeBytes)
    .u32(VEVENTQ.viommu_id, viommu)
    .u32(VEVENTQ.type, type).bytes;
  const result = resultOf(values.signed('ret'));
  const answered = withU32(withU32(arg, VEVENTQ.out_veventq_id, made), VEVENTQ.out_veventq_fd, newFd >>> 0);
  const out = result === null ? null : result.ret < 0 ? arg : answered;
  const missing = ['arg.veventq_depth'];
  session.ioctl({ fd, kind: 'iommufd', cmd: CMD.IOMMU_VEVENTQ_ALLOC, arg, out, result, missing });
  return true;
};

/** Events that are one ioctl of /dev/iommu each. */
export const BACKEND_EVENTS: Readonly<Record<string, EventHandler>> = {
  iommufd_backend_map_dma: mapDma,
  iommufd_backend_map_file_dma: mapFileDma,
  iommufd_backend_unmap_dma: unmapDma(false),
  iommufd_backend_unmap_dma_non_exist: unmapDma(true),
  iommufd_backend_alloc_ioas: allocIoas,
  iommufd_backend_free_id: freeId,
  iommufd_backend_alloc_hwpt: allocHwpt,
  iommufd_backend_set_dirty: setDirty,
  iommufd_backend_get_dirty_bitmap: getDirtyBitmap,
  iommufd_backend_invalidate_cache: invalidateCache,
  iommufd_viommu_invalidate_cache: invalidateCache,
  iommufd_backend_alloc_viommu: allocViommu,
  iommufd_backend_alloc_vdev: allocVdevice,
  iommufd_viommu_alloc_eventq: allocEventq,
};
