import {
  CMD,
  IOMMU_DESTROY,
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMU_GET_HW_INFO,
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_GET_DIRTY_BITMAP,
  IOMMU_HWPT_INVALIDATE,
  IOMMU_HWPT_SET_DIRTY_TRACKING,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_ALLOW_IOVAS,
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_IOVA_RANGES,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_UNMAP,
  IOMMU_OPTION,
  IOMMU_TEST_CMD,
  IOMMU_VFIO_IOAS,
  type StructLayout,
} from '../uapi/index.ts';
import { BAD_USER_POINTER } from './check.ts';
import { destroy } from './destroy.ts';
import { getDirtyBitmap, setDirtyTracking } from './dirty-tracking.ts';
import { faultQueueAlloc } from './fault-queue.ts';
import { getHwInfo } from './hw-info.ts';
import { hwptAlloc } from './hwpt.ts';
import { hwptInvalidate } from './invalidate.ts';
import { ioasAlloc, ioasAllowIovas, ioasIovaRanges } from './ioas.ts';
import { ioasCopy } from './ioas-copy.ts';
import { ioasMap, ioasUnmap } from './ioas-map.ts';
import type { Answer, Handler, Kernel } from './kernel.ts';
import { option } from './option.ts';
import { reason } from './reason.ts';
import { selftest } from './selftest.ts';
import type { Context } from './state.ts';
import { copyStructIn } from './user-call.ts';
import { canRespond } from './user-copy.ts';
import { checkExtension, getApiVersion, mapDma, setIommu, unmapDma } from './vfio-compat.ts';
import { getIommuInfo } from './vfio-info.ts';
import { vfioIoas } from './vfio-ioas.ts';

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
const UNKNOWN_TAIL = reason(
  'struct-tail-not-zero',
  'E2BIG',
  'uaccess.h copy_struct_from_user',
  'the struct is longer than this kernel knows, and a byte beyond is not zero',
);

interface Operation {
  readonly cmd: number;
  readonly minBytes: number;
  readonly bytes: number;
  /** Null when the model does not know yet what the kernel answers beyond the checks of the dispatcher. */
  readonly handler: Handler | null;
}

/** Recorders keep this much of a struct. */
const RECORDED_STRUCT_BYTES = 4096;
/** First number of iommufd's commands. */
const BASE = 0x80;

function operation(cmd: number, layout: StructLayout, handler: Handler | null): Operation {
  return { cmd, minBytes: layout.minBytes, bytes: layout.sizeBytes, handler };
}

const OPERATIONS: (Operation | undefined)[] = [];
for (const entry of [
  operation(CMD.IOMMU_DESTROY, IOMMU_DESTROY, destroy),
  operation(CMD.IOMMU_IOAS_ALLOC, IOMMU_IOAS_ALLOC, ioasAlloc),
  operation(CMD.IOMMU_IOAS_ALLOW_IOVAS, IOMMU_IOAS_ALLOW_IOVAS, ioasAllowIovas),
  operation(CMD.IOMMU_IOAS_COPY, IOMMU_IOAS_COPY, ioasCopy),
  operation(CMD.IOMMU_IOAS_IOVA_RANGES, IOMMU_IOAS_IOVA_RANGES, ioasIovaRanges),
  operation(CMD.IOMMU_IOAS_MAP, IOMMU_IOAS_MAP, ioasMap),
  operation(CMD.IOMMU_IOAS_UNMAP, IOMMU_IOAS_UNMAP, ioasUnmap),
  operation(CMD.IOMMU_OPTION, IOMMU_OPTION, option),
  operation(CMD.IOMMU_VFIO_IOAS, IOMMU_VFIO_IOAS, vfioIoas),
  operation(CMD.IOMMU_HWPT_ALLOC, IOMMU_HWPT_ALLOC, hwptAlloc),
  operation(CMD.IOMMU_GET_HW_INFO, IOMMU_GET_HW_INFO, getHwInfo),
  operation(CMD.IOMMU_HWPT_SET_DIRTY_TRACKING, IOMMU_HWPT_SET_DIRTY_TRACKING, setDirtyTracking),
  operation(CMD.IOMMU_HWPT_GET_DIRTY_BITMAP, IOMMU_HWPT_GET_DIRTY_BITMAP, getDirtyBitmap),
  operation(CMD.IOMMU_HWPT_INVALIDATE, IOMMU_HWPT_INVALIDATE, hwptInvalidate),
  operation(CMD.IOMMU_FAULT_QUEUE_ALLOC, IOMMU_FAULT_QUEUE_ALLOC, faultQueueAlloc),
  operation(CMD.IOMMU_TEST_CMD, IOMMU_TEST_CMD, selftest),
]) {
  OPERATIONS[(entry.cmd & 0xff) - BASE] = entry;
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
  const entry = OPERATIONS[slot];
  if (entry === undefined || entry.cmd !== cmd) return UNKNOWN_COMMAND;
  const { arg } = call;
  const size = (arg[0]! | (arg[1]! << 8) | (arg[2]! << 16) | (arg[3]! << 24)) >>> 0;
  if (size < entry.minBytes) return STRUCT_TOO_SMALL;
  if (size > entry.bytes) {
    if (hasTail(arg, entry.bytes, size)) return UNKNOWN_TAIL;
    if (arg.length < Math.min(size, RECORDED_STRUCT_BYTES)) return STRUCT_UNREADABLE;
    // A recorder keeps the first page of a struct: what follows decides, and nobody knows it.
    if (size > arg.length && arg.length >= RECORDED_STRUCT_BYTES) return 'not-modelled';
  }
  if (arg.length < Math.min(size, entry.bytes)) return STRUCT_UNREADABLE;
  call.userSize = size;
  copyStructIn(call, Math.min(size, entry.bytes));
  if (size < entry.bytes) call.struct.fill(0, size, entry.bytes);
  return entry.handler === null ? 'not-modelled' : delivered(kernel, entry.handler(kernel, context));
}

/**
 * `iommufd_ucmd_respond`: a struct that can not be written is a fault, whatever was refused, and undoes
 * nothing.
 */
function delivered(kernel: Kernel, answer: Answer): Answer {
  const { call } = kernel;
  if (call.respondEnd <= call.respondFrom || canRespond(kernel)) return answer;
  call.respondEnd = call.respondFrom;
  call.structWrites.length = 0;
  return BAD_USER_POINTER;
}

/** Whether a byte of the struct beyond what the kernel knows is set. */
function hasTail(arg: Uint8Array, from: number, to: number): boolean {
  const end = Math.min(to, arg.length);
  for (let at = from; at < end; at += 1) if (arg[at] !== 0) return true;
  return false;
}
