import { CMD, offsetsOf, VFIO_GROUP_FLAGS, VFIO_GROUP_GET_STATUS } from '../../uapi/index.ts';
import { BAD_USER_POINTER } from '../check.ts';
import { addFile, fileOf, installDescriptor } from '../descriptors.ts';
import { releaseContext } from '../destroy.ts';
import { attachedTo, changeAttachment } from '../device.ts';
import { createIoas } from '../ioas.ts';
import type { Answer, Kernel } from '../kernel.ts';
import { dropContext, holdContext } from '../objects.ts';
import { type Refusal, reason } from '../reason.ts';
import { RID } from '../slots.ts';
import type { Context, OpenFile, Process } from '../state.ts';
import { copyStructIn, setU32, u32 } from '../user-call.ts';
import { canRespond } from '../user-copy.ts';
import { VFIO_STRUCT_FAULT } from '../vfio-compat.ts';
import { compatIoas, NO_COMPAT_IOAS } from '../vfio-ioas.ts';
import { dropContainer, refuseContainer, setContainer, useContainer } from './container.ts';
import { bindDevice, grant, unbindVfio, vfioDeviceOf, vfioGroupOf } from './device-state.ts';
import { refuseDeviceClaim } from './owners.ts';

/** /dev/vfio/N: group.c of vfio. */

const STATUS = offsetsOf(VFIO_GROUP_GET_STATUS);

export const GROUP_BUSY = reason(
  'group-open-elsewhere',
  'EBUSY',
  'group.c vfio_group_fops_open',
  'the group is open already, or one of its devices is bound through a descriptor of its own',
);
const COMMAND_UNKNOWN = reason(
  'group-command-unknown',
  'ENOTTY',
  'group.c vfio_group_fops_unl_ioctl',
  'a group has no such command',
);
const ARGSZ = reason(
  'group-status-argsz',
  'EINVAL',
  'group.c vfio_group_ioctl_get_status',
  'argsz is below the struct',
);
const NOT_OPEN = reason(
  'container-not-open',
  'EBADF',
  'group.c vfio_group_ioctl_set_container',
  'the descriptor given as container is not open',
);
const HAS_CONTAINER = reason(
  'group-has-container',
  'EINVAL',
  'group.c vfio_group_ioctl_set_container',
  'the group has a container already',
);
const NO_CONTAINER_FILE = reason(
  'container-descriptor-of-wrong-kind',
  'EBADFD',
  'group.c vfio_group_ioctl_set_container',
  'the descriptor given as container is neither a container nor an iommufd',
);
const NO_CONTAINER = reason(
  'group-without-container',
  'EINVAL',
  'group.c vfio_group_ioctl_unset_container, vfio_df_group_open',
  'the group has no container',
);
const CONTAINER_IN_USE = reason(
  'group-container-in-use',
  'EBUSY',
  'group.c vfio_group_ioctl_unset_container',
  'devices of the group are open through the container',
);
const NO_DEVICE = reason(
  'group-has-no-such-device',
  'ENODEV',
  'group.c vfio_device_get_from_name',
  'the group has no device of this name',
);
const NAME_OPTION = reason(
  'device-name-option-unknown',
  'EINVAL',
  'vfio_pci_core.c vfio_pci_core_match',
  'what follows the name of the device is no option that vfio-pci knows, or a token for a device without one',
);

/** Whether a group may be opened. */
export function refuseGroupOpen(kernel: Kernel, group: number): Refusal {
  const { opened, cdevOpens } = vfioGroupOf(kernel, group);
  return opened !== 0 || cdevOpens > 0 ? GROUP_BUSY : null;
}

export function openGroup(kernel: Kernel, process: Process, fd: number, group: number): void {
  vfioGroupOf(kernel, group).opened = addFile(kernel, process, fd, 'group', 0, group).id;
}

/** `vfio_group_fops_release`. */
export function closeGroupFile(kernel: Kernel, file: OpenFile): void {
  const group = vfioGroupOf(kernel, file.object);
  if (group.container !== 0) dropContainer(kernel, file.object, group);
  group.opened = 0;
  dropGroupContext(kernel, file.object);
}

/** The group lets go of the context that serves as its container. */
function dropGroupContext(kernel: Kernel, id: number): void {
  const group = vfioGroupOf(kernel, id);
  const context = kernel.state.contexts[group.context];
  group.context = 0;
  if (context !== undefined && dropContext(context, false, 0)) releaseContext(kernel, context);
}

export function groupIoctl(kernel: Kernel, process: Process, file: OpenFile, cmd: number): Answer {
  switch (cmd) {
    case CMD.VFIO_GROUP_GET_STATUS:
      return getStatus(kernel, file.object);
    case CMD.VFIO_GROUP_SET_CONTAINER:
      return setGroupContainer(kernel, process, file.object);
    case CMD.VFIO_GROUP_UNSET_CONTAINER:
      return unsetContainer(kernel, file.object);
    case CMD.VFIO_GROUP_GET_DEVICE_FD:
      return getDeviceFd(kernel, process, file);
    default:
      return COMMAND_UNKNOWN;
  }
}

function getStatus(kernel: Kernel, id: number): Refusal {
  const { call } = kernel;
  if (call.arg.length < VFIO_GROUP_GET_STATUS.sizeBytes) return VFIO_STRUCT_FAULT;
  copyStructIn(call, VFIO_GROUP_GET_STATUS.sizeBytes);
  if (u32(call, STATUS.argsz) < VFIO_GROUP_GET_STATUS.sizeBytes) return ARGSZ;
  const { context, container } = vfioGroupOf(kernel, id);
  const isOwned = kernel.state.vfio.owners[id] !== undefined;
  let flags = 0;
  if (context !== 0 || container !== 0) flags = VFIO_GROUP_FLAGS.CONTAINER_SET | VFIO_GROUP_FLAGS.VIABLE;
  else if (!isOwned) flags = VFIO_GROUP_FLAGS.VIABLE;
  setU32(call, STATUS.flags, flags);
  if (!canRespond(kernel)) return BAD_USER_POINTER;
  call.respondFrom = 0;
  call.respondEnd = VFIO_GROUP_GET_STATUS.sizeBytes;
  return null;
}

function setGroupContainer(kernel: Kernel, process: Process, id: number): Refusal {
  const { call } = kernel;
  if (call.arg.length < 4) return VFIO_STRUCT_FAULT;
  copyStructIn(call, 4);
  const fd = u32(call, 0) | 0;
  if (process.descriptors[fd] === undefined) return NOT_OPEN;
  const group = vfioGroupOf(kernel, id);
  if (group.context !== 0 || group.container !== 0) return HAS_CONTAINER;
  const target = fileOf(kernel, process, fd);
  if (target?.kind === 'container') return setContainer(kernel, id, group, target);
  const context = target?.kind === 'iommufd' ? kernel.state.contexts[target.context] : undefined;
  if (context === undefined) return NO_CONTAINER_FILE;
  if (compatIoas(context) === undefined) context.vfioIoas = createIoas(kernel, context).id;
  group.context = context.id;
  holdContext(context);
  return null;
}

function unsetContainer(kernel: Kernel, id: number): Refusal {
  const group = vfioGroupOf(kernel, id);
  if (group.context === 0 && group.container === 0) return NO_CONTAINER;
  if (group.container !== 0) {
    if (group.containerUsers > 0) return CONTAINER_IN_USE;
    dropContainer(kernel, id, group);
  }
  dropGroupContext(kernel, id);
  return null;
}

function getDeviceFd(kernel: Kernel, process: Process, file: OpenFile): Answer {
  const { call } = kernel;
  const end = call.arg.indexOf(0);
  // A name that the recorder cut is not known to the end.
  if (end < 0) return call.arg.length === 0 ? VFIO_STRUCT_FAULT : 'not-modelled';
  const name = Buffer.from(call.arg.subarray(0, end)).toString('latin1');
  const members = kernel.machine.devices.filter(({ group }) => group === file.object);
  const device = members.find(({ bdf }) => name === bdf || (bdf !== '' && name.startsWith(`${bdf} `)));
  if (device === undefined) return members.some(({ bdf }) => bdf === '') ? 'not-modelled' : NO_DEVICE;
  if (name.slice(device.bdf.length).trim() !== '') return NAME_OPTION;
  const refusal = openThroughGroup(kernel, file.object, device.index);
  if (refusal !== null) return refusal;
  const fd = installDescriptor(kernel, process.pid, 'device', 0, device.index, true);
  grant(kernel, kernel.state.files[process.descriptors[fd]!]!);
  const group = vfioGroupOf(kernel, file.object);
  if (group.container !== 0) useContainer(group, file);
  call.ret = fd;
  call.retIsDescriptor = true;
  return null;
}

/** `vfio_df_group_open`: with the first descriptor the device is bound and attached to the compat IOAS. */
function openThroughGroup(kernel: Kernel, id: number, index: number): Refusal {
  const group = vfioGroupOf(kernel, id);
  if (group.context === 0 && group.container === 0) return NO_CONTAINER;
  const vfio = vfioDeviceOf(kernel, index);
  if (group.container !== 0) return vfio.opens > 0 ? null : refuseContainer(kernel, group);
  if (vfio.opens > 0) return null;
  const context = kernel.state.contexts[group.context]!;
  return refuseDeviceClaim(kernel, id, context.id) ?? attachCompat(kernel, context, index);
}

/** `vfio_iommufd_compat_attach_ioas`. */
function attachCompat(kernel: Kernel, context: Context, index: number): Refusal {
  const device = bindDevice(kernel, context, index);
  const ioas = compatIoas(context);
  const refusal =
    ioas === undefined ? NO_COMPAT_IOAS : changeAttachment(kernel, context, device, RID, ioas.id, false);
  if (refusal === null) {
    vfioDeviceOf(kernel, index).attached = attachedTo() !== 0;
    return null;
  }
  unbindVfio(kernel, index);
  return refusal;
}
