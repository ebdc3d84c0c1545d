import type { IoctlCall } from '../trace/index.ts';
import {
  CMD,
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMU_HW_QUEUE_ALLOC,
  IOMMU_HWPT_ALLOC,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FILE,
  IOMMU_TEST_CMD,
  IOMMU_TEST_OP,
  IOMMU_VDEVICE_ALLOC,
  IOMMU_VEVENTQ_ALLOC,
  IOMMU_VIOMMU_ALLOC,
  offsetsOf,
  unionOffsetsOf,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
} from '../uapi/index.ts';
import { addWide, readOffset, readPage, subWide, wide } from './address.ts';
import { firstAreaIn, linkArea, NONE, unlinkArea } from './area-table.ts';
import { fileOf, renumberDescriptor } from './descriptors.ts';
import { type Kernel, spaceOf } from './kernel.ts';
import { getObject } from './objects.ts';
import { renameObject } from './rename.ts';
import type { Context } from './state.ts';
import { undoMap } from './undo-map.ts';
import { undoAttach } from './vfio/device-fd.ts';

/**
 * Taking over what a recorded reply says where the prediction differs or nothing could be predicted, so that
 * later calls that build on the answer are judged fairly: numbers of descriptors, ids of new objects, chosen
 * IOVAs.
 */

const BIND = offsetsOf(VFIO_DEVICE_BIND_IOMMUFD);
const ATTACH = offsetsOf(VFIO_DEVICE_ATTACH_IOMMUFD_PT);
const MAP = offsetsOf(IOMMU_IOAS_MAP);
const COPY = offsetsOf(IOMMU_IOAS_COPY);
const MAP_FILE = offsetsOf(IOMMU_IOAS_MAP_FILE);
const DOMAIN = unionOffsetsOf(IOMMU_TEST_CMD, IOMMU_TEST_OP.MOCK_DOMAIN);
const OP = offsetsOf(IOMMU_TEST_CMD).op;

/** Adopts facts of the recorded reply to the call executed last; answers how many. */
export function adoptReply(kernel: Kernel, record: IoctlCall): number {
  const process = kernel.state.processes[record.pid];
  const file = process === undefined ? undefined : fileOf(kernel, process, record.fd);
  const context = file === undefined ? undefined : kernel.state.contexts[file.context];
  if (process !== undefined && kernel.call.retIsDescriptor && kernel.reply.errno === 0 && record.ret >= 0) {
    renumberDescriptor(process, kernel.reply.ret, record.ret);
    return kernel.reply.ret === record.ret ? 0 : 1;
  }
  if (file?.kind === 'device' && isRefusedAttach(kernel, record)) {
    undoAttach(kernel, file);
    return 1;
  }
  if (process === undefined || file === undefined || kernel.reply.errno !== 0) return 0;
  // A log may tell that a call failed without telling how.
  if (record.errno !== 0 || record.ret < 0) return undoMap(kernel, file, record) ? 1 : 0;
  if (record.out !== null && file.kind === 'device') return adoptOfDevice(kernel, file.object, record);
  if (context === undefined || record.out === null) return 0;
  const recorded = new DataView(record.out.buffer, record.out.byteOffset, record.out.length);
  let learned = 0;
  for (const { at, guess } of kernel.call.unknown) {
    if (guess === null) continue;
    const fd = recorded.getInt32(at, true);
    if (fd === guess) continue;
    renumberDescriptor(process, guess, fd);
    learned += 1;
  }
  for (const at of idFields(record)) learned += adoptId(kernel, context, at, recorded);
  if (record.cmd === CMD.IOMMU_IOAS_MAP)
    learned += adoptIova(kernel, context, MAP.ioas_id, MAP.iova, recorded);
  if (record.cmd === CMD.IOMMU_IOAS_MAP_FILE)
    learned += adoptIova(kernel, context, MAP_FILE.ioas_id, MAP_FILE.iova, recorded);
  if (record.cmd === CMD.IOMMU_IOAS_COPY)
    learned += adoptIova(kernel, context, COPY.dst_ioas_id, COPY.dst_iova, recorded);
  return learned;
}

function isRefusedAttach({ reply }: Kernel, { cmd, replied, errno }: IoctlCall): boolean {
  return (
    cmd === CMD.VFIO_DEVICE_ATTACH_IOMMUFD_PT && reply.modelled && reply.errno === 0 && replied && errno !== 0
  );
}

/** Where a call answers the ids of objects it made. */
function idFields(record: IoctlCall): readonly number[] {
  switch (record.cmd) {
    case CMD.IOMMU_IOAS_ALLOC:
      return [offsetsOf(IOMMU_IOAS_ALLOC).out_ioas_id];
    case CMD.IOMMU_HWPT_ALLOC:
      return [offsetsOf(IOMMU_HWPT_ALLOC).out_hwpt_id];
    case CMD.IOMMU_FAULT_QUEUE_ALLOC:
      return [offsetsOf(IOMMU_FAULT_QUEUE_ALLOC).out_fault_id];
    case CMD.IOMMU_VIOMMU_ALLOC:
      return [offsetsOf(IOMMU_VIOMMU_ALLOC).out_viommu_id];
    case CMD.IOMMU_VDEVICE_ALLOC:
      return [offsetsOf(IOMMU_VDEVICE_ALLOC).out_vdevice_id];
    case CMD.IOMMU_VEVENTQ_ALLOC:
      return [offsetsOf(IOMMU_VEVENTQ_ALLOC).out_veventq_id];
    case CMD.IOMMU_HW_QUEUE_ALLOC:
      return [offsetsOf(IOMMU_HW_QUEUE_ALLOC).out_hw_queue_id];
    case CMD.IOMMU_TEST_CMD: {
      const op = record.arg?.[OP];
      const makes = op === IOMMU_TEST_OP.MOCK_DOMAIN || op === IOMMU_TEST_OP.MOCK_DOMAIN_FLAGS;
      return makes ? [DOMAIN.out_stdev_id, DOMAIN.out_idev_id, DOMAIN.out_hwpt_id] : [];
    }
    default:
      return [];
  }
}

/**
 * What a device is in the context that it was just bound to, and the page table that an attach to an IOAS
 * made for it.
 */
function adoptOfDevice(kernel: Kernel, device: number, { cmd, arg, out }: IoctlCall): number {
  const context = kernel.state.contexts[kernel.state.vfio.devices[device]?.context ?? 0];
  if (context === undefined || out === null) return 0;
  const isBind = cmd === CMD.VFIO_DEVICE_BIND_IOMMUFD;
  if (!isBind && cmd !== CMD.VFIO_DEVICE_ATTACH_IOMMUFD_PT) return 0;
  const at = isBind ? BIND.out_devid : ATTACH.pt_id;
  if (arg === null || out.length < at + 4 || arg.length < at + 4) return 0;
  const asked = new DataView(arg.buffer, arg.byteOffset, arg.length).getUint32(at, true);
  // What the caller named itself has its id already.
  if (!isBind && kernel.call.view.getUint32(at, true) === asked) return 0;
  return adoptId(kernel, context, at, new DataView(out.buffer, out.byteOffset, out.length));
}

function adoptId(kernel: Kernel, context: Context, at: number, recorded: DataView): number {
  const from = kernel.call.view.getUint32(at, true);
  const to = recorded.getUint32(at, true);
  return from !== to && renameObject(kernel, context, from, to) ? 1 : 0;
}

/** Moves the area that a map put at one IOVA to the one the kernel really chose, if that is free. */
function adoptIova(
  kernel: Kernel,
  context: Context,
  ioasAt: number,
  iovaAt: number,
  recorded: DataView,
): number {
  const { view } = kernel.call;
  const from = wide(readPage(view, iovaAt), readOffset(view, iovaAt));
  const to = wide(readPage(recorded, iovaAt), readOffset(recorded, iovaAt));
  if (from.page === to.page && from.offset === to.offset) return 0;
  const ioas = getObject(context, view.getUint32(ioasAt, true), 'ioas');
  if (ioas === undefined) return 0;
  const { areas } = spaceOf(kernel, ioas);
  const slot = firstAreaIn(areas, from.page, from.offset, from.page, from.offset);
  if (slot === NONE) return 0;
  const last = wide();
  subWide(last, areas.lastPage[slot]!, areas.lastOffset[slot]!, from.page, from.offset);
  if (addWide(last, to.page, to.offset, last.page, last.offset)) return 0;
  unlinkArea(areas, slot);
  const free = firstAreaIn(areas, to.page, to.offset, last.page, last.offset) === NONE;
  if (free) {
    areas.startPage[slot] = to.page;
    areas.startOffset[slot] = to.offset;
    areas.lastPage[slot] = last.page;
    areas.lastOffset[slot] = last.offset;
  }
  linkArea(areas, slot);
  return free ? 1 : 0;
}
