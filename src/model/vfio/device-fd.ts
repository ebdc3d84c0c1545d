import {
  CMD,
  offsetsOf,
  VFIO_ATTACH_FLAGS,
  VFIO_BIND_FLAGS,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
} from '../../uapi/index.ts';
import { BAD_USER_POINTER, UNKNOWN_TAIL } from '../check.ts';
import { fileOf } from '../descriptors.ts';
import { releaseContext } from '../destroy.ts';
import { attachedTo, changeAttachment, detachDevice, undoAttachment } from '../device.ts';
import type { Answer, Kernel } from '../kernel.ts';
import { type Refusal, reason } from '../reason.ts';
import { hwptAt, RID } from '../slots.ts';
import type { Context, OpenFile, Process } from '../state.ts';
import { copyStructIn, fieldOffset, fieldPage, respondField, setU32, u32 } from '../user-call.ts';
import { canRespond, copyFromUser } from '../user-copy.ts';
import { VFIO_STRUCT_FAULT } from '../vfio-compat.ts';
import { NOT_GRANTED } from '../vfio-pci/reasons.ts';
import {
  bindDevice,
  boundDevice,
  grant,
  hasAccess,
  unbindVfio,
  vfioDeviceOf,
  vfioGroupOf,
} from './device-state.ts';
import { refuseDeviceClaim } from './owners.ts';

/** VFIO_DEVICE_BIND_IOMMUFD, _ATTACH and _DETACH_IOMMUFD_PT: device_cdev.c, iommufd.c of vfio. */

const BIND = offsetsOf(VFIO_DEVICE_BIND_IOMMUFD);
const ATTACH = offsetsOf(VFIO_DEVICE_ATTACH_IOMMUFD_PT);
const DETACH = offsetsOf(VFIO_DEVICE_DETACH_IOMMUFD_PT);
const UUID_BYTES = 16;
/** One more than the largest id of an ida. */
const IDA_END = 2 ** 31;

const MALFORMED = reason(
  'vfio-device-argsz-or-flags',
  'EINVAL',
  'device_cdev.c, each command',
  'argsz is below the struct that the flags need, a flag is not known, or the descriptor number is negative',
);
const GROUP_DEVICE = reason(
  'bind-through-group',
  'EINVAL',
  'device_cdev.c vfio_df_ioctl_bind_iommufd',
  'the descriptor came from the group, whose container is its address space',
);
const GROUP_OPEN = reason(
  'bind-while-group-open',
  'EBUSY',
  'group.c vfio_device_block_group',
  'the group of the device is open',
);
const BOUND_TWICE = reason(
  'device-bound-twice',
  'EINVAL',
  'device_cdev.c vfio_df_ioctl_bind_iommufd',
  'this descriptor is bound already',
);
const OPENED_ELSEWHERE = reason(
  'device-open-elsewhere',
  'EINVAL',
  'vfio_main.c vfio_df_open',
  'another descriptor of the device is bound',
);
const TOKEN = reason(
  'bind-token-not-needed',
  'EINVAL',
  'vfio_pci_core.c vfio_pci_validate_vf_token',
  'a token was given for a device that has none',
);
const NOT_OPEN = reason(
  'bind-descriptor-not-open',
  'EBADF',
  'main.c iommufd_ctx_from_fd',
  'the descriptor given as iommufd is not open',
);
const NOT_IOMMUFD = reason(
  'bind-descriptor-no-iommufd',
  'EBADFD',
  'main.c iommufd_ctx_from_fd',
  'the descriptor given as iommufd is no /dev/iommu',
);
const PASID_OUT_OF_RANGE = reason(
  'vfio-pasid-out-of-range',
  'ENOSPC',
  'iommufd.c of vfio vfio_iommufd_physical_pasid_attach_ioas',
  'VFIO keeps PASIDs below 2^31 only',
);

/**
 * An ioctl of a device's descriptor as far as VFIO itself answers it; `not-vfio` for one that goes on to the
 * device's driver.
 */
export function vfioDeviceIoctl(
  kernel: Kernel,
  process: Process,
  file: OpenFile,
  cmd: number,
): Answer | 'not-vfio' {
  if (cmd === CMD.VFIO_DEVICE_BIND_IOMMUFD && kernel.profile.has.vfioCdev) return bind(kernel, process, file);
  if (!hasAccess(kernel, file)) return NOT_GRANTED;
  // A device that was opened through its group takes its address space from the container.
  if (vfioDeviceOf(kernel, file.object).context === 0 || file.viaGroup) return 'not-vfio';
  if (cmd === CMD.VFIO_DEVICE_ATTACH_IOMMUFD_PT) return attach(kernel, file);
  if (cmd === CMD.VFIO_DEVICE_DETACH_IOMMUFD_PT) return detach(kernel, file);
  return 'not-vfio';
}

/** Why a read, write or map of the descriptor is refused; null when the device's driver answers. */
export function refuseDeviceAccess(kernel: Kernel, file: OpenFile): Refusal {
  return hasAccess(kernel, file) ? null : NOT_GRANTED;
}

function bind(kernel: Kernel, process: Process, file: OpenFile): Refusal {
  const { call } = kernel;
  const vfio = vfioDeviceOf(kernel, file.object);
  const { group: groupId } = kernel.machine.devices[file.object]!;
  const unreadable = readBind(kernel);
  if (unreadable !== null) return unreadable;
  const known = kernel.profile.has.vfioToken ? VFIO_BIND_FLAGS.TOKEN : 0;
  const fd = u32(call, BIND.iommufd) | 0;
  if (fd < 0 || (u32(call, BIND.flags) & ~known) !== 0) return MALFORMED;
  if (file.viaGroup) return GROUP_DEVICE;
  const group = vfioGroupOf(kernel, groupId);
  if (group.opened !== 0) return GROUP_OPEN;
  if (hasAccess(kernel, file)) return BOUND_TWICE;
  const token = refuseToken(kernel);
  if (token !== null) return token;
  const target = fileOf(kernel, process, fd);
  if (process.descriptors[fd] === undefined) return NOT_OPEN;
  const context = target?.kind === 'iommufd' ? kernel.state.contexts[target.context] : undefined;
  if (context === undefined) return NOT_IOMMUFD;
  if (vfio.opens > 0) return OPENED_ELSEWHERE;
  const claim = refuseDeviceClaim(kernel, groupId, context.id);
  if (claim !== null) return claim;
  if (!canRespond(kernel)) return BAD_USER_POINTER;
  const device = bindDevice(kernel, context, file.object);
  grant(kernel, file);
  group.cdevOpens += 1;
  setU32(call, BIND.out_devid, device.id);
  respondField(call, BIND.out_devid, 4);
  return null;
}

/** Copies the struct in; since 6.17 as a struct that may grow. */
function readBind(kernel: Kernel): Refusal {
  const { call } = kernel;
  const least = VFIO_DEVICE_BIND_IOMMUFD.minBytes;
  if (!kernel.profile.has.vfioToken) {
    if (call.arg.length < least) return VFIO_STRUCT_FAULT;
    copyStructIn(call, least);
    return u32(call, 0) < least ? MALFORMED : null;
  }
  if (call.arg.length < 4) return VFIO_STRUCT_FAULT;
  copyStructIn(call, 4);
  const size = u32(call, 0);
  if (size < least) return MALFORMED;
  const known = kernel.profile.has.vfioBindTakesToken ? VFIO_DEVICE_BIND_IOMMUFD.sizeBytes : least;
  if (size > known && call.arg.subarray(known, size).some((byte) => byte !== 0)) return UNKNOWN_TAIL;
  if (call.arg.length < Math.min(size, known)) return VFIO_STRUCT_FAULT;
  copyStructIn(call, Math.min(size, known));
  if (size < known) call.struct.fill(0, size, known);
  return null;
}

/** No device of the model is a virtual function, so none has a token. */
function refuseToken(kernel: Kernel): Refusal {
  const { call } = kernel;
  if ((u32(call, BIND.flags) & VFIO_BIND_FLAGS.TOKEN) === 0) return null;
  const page = fieldPage(call, BIND.token_uuid_ptr);
  const uuid = copyFromUser(kernel, page, fieldOffset(call, BIND.token_uuid_ptr), UUID_BYTES);
  return uuid === null ? BAD_USER_POINTER : TOKEN;
}

/**
 * The struct of ATTACH or DETACH: `least` bytes, and `withPasid` when the flag says so. Answers the PASID, or
 * RID without the flag, or why not.
 */
function readPasid(
  kernel: Kernel,
  least: number,
  withPasid: number,
  pasidAt: number,
): { readonly refusal: NonNullable<Refusal> } | { readonly pasid: number | null } {
  const { call } = kernel;
  if (call.arg.length < least) return { refusal: VFIO_STRUCT_FAULT };
  copyStructIn(call, least);
  const flags = u32(call, ATTACH.flags);
  const known = kernel.profile.has.vfioPasid ? VFIO_ATTACH_FLAGS.PASID : 0;
  if (u32(call, 0) < least || (flags & ~known) !== 0) return { refusal: MALFORMED };
  if ((flags & VFIO_ATTACH_FLAGS.PASID) === 0) return { pasid: null };
  if (u32(call, 0) < withPasid) return { refusal: MALFORMED };
  if (call.arg.length < withPasid) return { refusal: VFIO_STRUCT_FAULT };
  copyStructIn(call, withPasid);
  return { pasid: u32(call, pasidAt) };
}

function attach(kernel: Kernel, file: OpenFile): Refusal {
  const { call } = kernel;
  const read = readPasid(kernel, 12, VFIO_DEVICE_ATTACH_IOMMUFD_PT.sizeBytes, ATTACH.pasid);
  if ('refusal' in read) return read.refusal;
  const vfio = vfioDeviceOf(kernel, file.object);
  const [context, device] = boundDevice(kernel, vfio);
  const pasid = read.pasid ?? RID;
  const isThere = read.pasid === null ? vfio.attached : vfio.pasids.includes(pasid);
  if (!isThere && pasid >= IDA_END) return PASID_OUT_OF_RANGE;
  const refusal = changeAttachment(kernel, context, device, pasid, u32(call, ATTACH.pt_id), isThere);
  if (refusal !== null) return refusal;
  if (read.pasid === null) vfio.attached = true;
  else if (!isThere) vfio.pasids.push(pasid);
  if (!canRespond(kernel)) {
    // Whatever was attached, it is the RID that is detached then.
    detachRid(kernel, file);
    return BAD_USER_POINTER;
  }
  setU32(call, ATTACH.pt_id, attachedTo());
  respondField(call, ATTACH.pt_id, 4);
  return null;
}

/** Takes back an ATTACH that the model let pass and that a record says was refused. */
export function undoAttach(kernel: Kernel, file: OpenFile): void {
  const read = readPasid(kernel, 12, VFIO_DEVICE_ATTACH_IOMMUFD_PT.sizeBytes, ATTACH.pasid);
  const vfio = vfioDeviceOf(kernel, file.object);
  if ('refusal' in read) return;
  const [context, device] = boundDevice(kernel, vfio);
  const pasid = read.pasid ?? RID;
  undoAttachment(kernel, context, device, pasid);
  if (hwptAt(context, device, pasid) !== 0) return;
  if (read.pasid === null) vfio.attached = false;
  else vfio.pasids = vfio.pasids.filter((each) => each !== pasid);
}

function detach(kernel: Kernel, file: OpenFile): Refusal {
  const read = readPasid(kernel, 8, VFIO_DEVICE_DETACH_IOMMUFD_PT.sizeBytes, DETACH.pasid);
  if ('refusal' in read) return read.refusal;
  if (read.pasid === null) {
    detachRid(kernel, file);
    return null;
  }
  const { pasid } = read;
  const vfio = vfioDeviceOf(kernel, file.object);
  if (!vfio.pasids.includes(pasid)) return null;
  const [context, device] = boundDevice(kernel, vfio);
  detachDevice(kernel, context, device, pasid);
  vfio.pasids = vfio.pasids.filter((each) => each !== pasid);
  return null;
}

function detachRid(kernel: Kernel, file: OpenFile): void {
  const vfio = vfioDeviceOf(kernel, file.object);
  if (!vfio.attached) return;
  const [context, device] = boundDevice(kernel, vfio);
  detachDevice(kernel, context, device, RID);
  vfio.attached = false;
}

/** `vfio_group_unuse_container`: the last descriptor of a device lets go of the group's file. */
function leaveContainer(kernel: Kernel, groupId: number): OpenFile | undefined {
  const group = vfioGroupOf(kernel, groupId);
  if (group.container === 0) return undefined;
  group.containerUsers -= 1;
  return kernel.state.files[group.opened];
}

/**
 * `vfio_df_unbind_iommufd`, `vfio_df_group_close`: the last descriptor of a device file is gone. Answers the
 * file of the group when the device held it.
 */
export function closeDeviceFile(kernel: Kernel, file: OpenFile): OpenFile | undefined {
  const vfio = vfioDeviceOf(kernel, file.object);
  if (!vfio.granted.includes(file.id)) return undefined;
  const context: Context | undefined = kernel.state.contexts[vfio.context];
  vfio.granted = vfio.granted.filter((id) => id !== file.id);
  vfio.opens -= 1;
  const releases = vfio.opens === 0 && unbindVfio(kernel, file.object);
  const groupId = kernel.machine.devices[file.object]!.group;
  const held = file.viaGroup && vfio.opens === 0 ? leaveContainer(kernel, groupId) : undefined;
  if (!file.viaGroup) vfioGroupOf(kernel, groupId).cdevOpens -= 1;
  if (releases && context !== undefined) releaseContext(kernel, context);
  return held;
}
