import { CMD, IOMMUFD_IOCTLS, SELFTEST_IOCTLS } from '../uapi/index.ts';
import { ioasChangeProcess } from './change-process.ts';
import { BAD_USER_POINTER, UNKNOWN_TAIL } from './check.ts';
import { destroy } from './destroy.ts';
import { getDirtyBitmap, setDirtyTracking } from './dirty-tracking.ts';
import { faultQueueAlloc } from './fault-queue.ts';
import { getHwInfo } from './hw-info.ts';
import { hwQueueAlloc } from './hw-queue.ts';
import { hwptAlloc } from './hwpt.ts';
import { hwptInvalidate } from './invalidate.ts';
import { ioasAlloc, ioasAllowIovas, ioasIovaRanges } from './ioas.ts';
import { ioasCopy } from './ioas-copy.ts';
import { ioasMap, ioasUnmap } from './ioas-map.ts';
import { ioasMapFile } from './ioas-map-file.ts';
import type { Answer, Handler, Kernel } from './kernel.ts';
import { levelOf, RELEASES, type Release } from './kernel-versions.ts';
import { option } from './option.ts';
import { reason } from './reason.ts';
import { selftest } from './selftest.ts';
import type { Context } from './state.ts';
import { sizeIn } from './struct-sizes.ts';
import { copyStructIn, type UserCall } from './user-call.ts';
import { canRespond } from './user-copy.ts';
import { vdeviceAlloc } from './vdevice.ts';
import { veventqAlloc } from './veventq.ts';
import { checkExtension, getApiVersion, mapDma, setIommu, unmapDma } from './vfio-compat.ts';
import { getIommuInfo } from './vfio-info.ts';
import { vfioIoas } from './vfio-ioas.ts';
import { viommuAlloc } from './viommu.ts';

/** From a command word to its handler: main.c iommufd_fops_ioctl, vfio_compat.c iommufd_vfio_ioctl. */

const UNKNOWN_COMMAND = reason(
  'command-unknown',
  'ENOTTY',
  'main.c iommufd_fops_ioctl; vfio_compat.c iommufd_vfio_ioctl',
  'this kernel has no such command',
);
const STRUCT_UNREADABLE = reason(
  'struct-unreadable',
  'EFAULT',
  'main.c iommufd_fops_ioctl',
  'the struct at the argument pointer can not be read',
);
const STRUCT_TOO_SMALL = reason(
  'struct-too-small',
  'EINVAL',
  'main.c iommufd_fops_ioctl',
  'the size field is below the smallest struct that this command takes',
);

const NO_IOMMU_OFF = reason(
  'noiommu-not-configured',
  'EOPNOTSUPP',
  'iommufd_private.h iommufd_ioas_noiommu_get_pa',
  'the kernel was built without CONFIG_IOMMUFD_NOIOMMU',
);

interface Operation {
  readonly cmd: number;
  readonly minBytes: number;
  readonly bytes: number;
  /** sizeof in the newest release, which handlers write: what is beyond `bytes` stays in the kernel. */
  readonly modelBytes: number;
  /** Null when the model does not know yet what the kernel answers beyond the checks of the dispatcher. */
  readonly handler: Handler | null;
}

/** Recorders keep this much of a struct. */
const RECORDED_STRUCT_BYTES = 4096;
/** First number of iommufd's commands. */
const BASE = 0x80;

/** Handlers by command; null when only the checks of the dispatcher are modelled. */
const HANDLERS: ReadonlyMap<number, Handler | null> = new Map<number, Handler | null>([
  [CMD.IOMMU_DESTROY, destroy],
  [CMD.IOMMU_IOAS_ALLOC, ioasAlloc],
  [CMD.IOMMU_IOAS_ALLOW_IOVAS, ioasAllowIovas],
  [CMD.IOMMU_IOAS_COPY, ioasCopy],
  [CMD.IOMMU_IOAS_IOVA_RANGES, ioasIovaRanges],
  [CMD.IOMMU_IOAS_MAP, ioasMap],
  [CMD.IOMMU_IOAS_UNMAP, ioasUnmap],
  [CMD.IOMMU_OPTION, option],
  [CMD.IOMMU_VFIO_IOAS, vfioIoas],
  [CMD.IOMMU_HWPT_ALLOC, hwptAlloc],
  [CMD.IOMMU_GET_HW_INFO, getHwInfo],
  [CMD.IOMMU_HWPT_SET_DIRTY_TRACKING, setDirtyTracking],
  [CMD.IOMMU_HWPT_GET_DIRTY_BITMAP, getDirtyBitmap],
  [CMD.IOMMU_HWPT_INVALIDATE, hwptInvalidate],
  [CMD.IOMMU_FAULT_QUEUE_ALLOC, faultQueueAlloc],
  [CMD.IOMMU_IOAS_MAP_FILE, ioasMapFile],
  [CMD.IOMMU_IOAS_CHANGE_PROCESS, ioasChangeProcess],
  [CMD.IOMMU_VIOMMU_ALLOC, viommuAlloc],
  [CMD.IOMMU_VDEVICE_ALLOC, vdeviceAlloc],
  [CMD.IOMMU_VEVENTQ_ALLOC, veventqAlloc],
  [CMD.IOMMU_HW_QUEUE_ALLOC, hwQueueAlloc],
  [CMD.IOMMU_IOAS_NOIOMMU_GET_PA, () => NO_IOMMU_OFF],
  [CMD.IOMMU_TEST_CMD, selftest],
]);

/** The commands that a release has, by number, with the sizes of their structs in that release. */
function operationsOf(release: Release): readonly (Operation | undefined)[] {
  const operations: (Operation | undefined)[] = [];
  for (const { cmd, layout, since } of [...IOMMUFD_IOCTLS, ...SELFTEST_IOCTLS]) {
    if (layout === null || levelOf(since) > levelOf(release)) continue;
    operations[(cmd & 0xff) - BASE] = {
      cmd,
      ...sizeIn(layout, release),
      modelBytes: layout.sizeBytes,
      handler: HANDLERS.get(cmd) ?? null,
    };
  }
  return operations;
}

const OPERATIONS: ReadonlyMap<Release, readonly (Operation | undefined)[]> = new Map(
  RELEASES.map((release) => [release, operationsOf(release)]),
);

/** Commands of a release, with the smallest size and sizeof of their structs. */
export function commandsIn(release: Release): readonly Omit<Operation, 'handler' | 'modelBytes'>[] {
  return OPERATIONS.get(release)!.flatMap((operation) => operation ?? []);
}

const VFIO_HANDLERS: ReadonlyMap<number, Handler> = new Map<number, Handler>([
  [CMD.VFIO_GET_API_VERSION, getApiVersion],
  [CMD.VFIO_CHECK_EXTENSION, checkExtension],
  [CMD.VFIO_SET_IOMMU, setIommu],
  [CMD.VFIO_IOMMU_GET_INFO, getIommuInfo],
  [CMD.VFIO_IOMMU_MAP_DMA, mapDma],
  [CMD.VFIO_IOMMU_UNMAP_DMA, unmapDma],
]);

/** Runs one ioctl of /dev/iommu. `readable` is false when the argument pointer could not be read. */
export function dispatch(kernel: Kernel, context: Context, cmd: number, readable: boolean): Answer {
  const slot = (cmd & 0xff) - BASE;
  if (slot < 0 || slot >= kernel.profile.tableSlots) {
    const handler = VFIO_HANDLERS.get(cmd);
    return handler === undefined ? UNKNOWN_COMMAND : delivered(kernel, handler(kernel, context));
  }
  const { call } = kernel;
  if (!readable || call.arg.length < 4) return STRUCT_UNREADABLE;
  const entry = OPERATIONS.get(kernel.profile.release)![slot];
  if (entry === undefined || entry.cmd !== cmd) return UNKNOWN_COMMAND;
  const { arg } = call;
  const size = (arg[0]! | (arg[1]! << 8) | (arg[2]! << 16) | (arg[3]! << 24)) >>> 0;
  if (size < entry.minBytes) return STRUCT_TOO_SMALL;
  if (size > entry.bytes) {
    if (hasTail(arg, entry.bytes, size)) return UNKNOWN_TAIL;
    if (arg.length < Math.min(size, RECORDED_STRUCT_BYTES)) return STRUCT_UNREADABLE;
    // A recorder keeps the first page of a struct, and what follows decides.
    const refused = size > arg.length ? unrecordedTail(call) : null;
    if (refused !== null) return refused;
  }
  if (arg.length < Math.min(size, entry.bytes)) return STRUCT_UNREADABLE;
  call.userSize = size;
  copyStructIn(call, Math.min(size, entry.bytes));
  if (size < entry.bytes) call.struct.fill(0, size, entry.bytes);
  if (entry.bytes < entry.modelBytes) call.struct.fill(0, entry.bytes, entry.modelBytes);
  return entry.handler === null
    ? 'not-modelled'
    : delivered(kernel, entry.handler(kernel, context), entry.bytes);
}

/**
 * `iommufd_ucmd_respond`: a struct that can not be written is a fault, whatever was refused, and undoes
 * nothing. `bytes` is sizeof of the struct in this release, if it has a size field.
 */
function delivered(kernel: Kernel, answer: Answer, bytes = Number.POSITIVE_INFINITY): Answer {
  const { call } = kernel;
  if (call.respondEnd > bytes) call.respondEnd = bytes;
  if (call.respondEnd <= call.respondFrom || canRespond(kernel)) return answer;
  call.respondEnd = call.respondFrom;
  call.structWrites.length = 0;
  return BAD_USER_POINTER;
}

/** What the bytes that the recorder left out are taken to be: see `UserCall.tailUnrecorded`. */
function unrecordedTail(call: UserCall): Answer {
  const { tail } = call;
  call.tailUnrecorded = true;
  call.tail = 'set';
  if (tail === 'zero') return null;
  return tail === 'set' ? UNKNOWN_TAIL : STRUCT_UNREADABLE;
}

/** Whether a byte of the struct beyond what the kernel knows is set. */
function hasTail(arg: Uint8Array, from: number, to: number): boolean {
  const end = Math.min(to, arg.length);
  for (let at = from; at < end; at += 1) if (arg[at] !== 0) return true;
  return false;
}
