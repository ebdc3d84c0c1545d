import { offsetsOf, VFIO_DEVICE_PCI_HOT_RESET } from '../../uapi/index.ts';
import type { Answer, Kernel } from '../kernel.ts';
import { type Refusal, reason } from '../reason.ts';
import { u32 } from '../user-call.ts';
import { copyPciStruct, NOT_OWNED, type PciDevice } from './device.ts';
import type { DependentFunction } from './facts.ts';
import { learnedRefusal } from './learned-errno.ts';
import { NO_BUS_RESET } from './reasons.ts';

/** VFIO_DEVICE_PCI_HOT_RESET: vfio_pci_ioctl_pci_hot_reset. */

const RESET = offsetsOf(VFIO_DEVICE_PCI_HOT_RESET);
const HEAD_BYTES = VFIO_DEVICE_PCI_HOT_RESET.sizeBytes;

const FLAGS_SET = reason(
  'vfio-hot-reset-flags',
  'EINVAL',
  'vfio_pci_core.c vfio_pci_ioctl_pci_hot_reset',
  'no flag is known',
);
const WRONG_PROOF = reason(
  'vfio-hot-reset-proof',
  'EINVAL',
  'vfio_pci_core.c vfio_pci_ioctl_pci_hot_reset',
  'a device got from a group needs group descriptors, one opened by itself takes none',
);
const TOO_MANY_GROUPS = reason(
  'vfio-hot-reset-too-many-groups',
  'EINVAL',
  'vfio_pci_core.c vfio_pci_ioctl_pci_hot_reset_groups',
  'more group descriptors than functions that the reset hits',
);
const GROUPS_FAULT = reason(
  'vfio-hot-reset-groups-unreadable',
  'EFAULT',
  'vfio_pci_core.c vfio_pci_ioctl_pci_hot_reset_groups',
  'the group descriptors can not be read',
);
const NOT_A_GROUP = reason(
  'vfio-hot-reset-not-a-group',
  'EINVAL',
  'vfio_pci_core.c vfio_pci_ioctl_pci_hot_reset_groups',
  'a descriptor is no group',
);
const FUNCTION_NOT_OWNED = reason(
  'vfio-hot-reset-not-owned',
  'EINVAL',
  'vfio_pci_core.c vfio_pci_dev_set_hot_reset',
  'the reset hits a function that the caller does not own, or that vfio-pci does not drive',
);

export function hotReset(kernel: Kernel, device: PciDevice): Answer {
  const { call } = kernel;
  const { facts, openedByCdev } = device;
  const malformed = copyPciStruct(kernel, HEAD_BYTES);
  if (malformed !== null) return malformed;
  if (u32(call, RESET.flags) !== 0) return FLAGS_SET;
  const count = u32(call, RESET.count);
  if (count > 0 === openedByCdev) return WRONG_PROOF;
  if (facts.busResets === null) return 'not-modelled';
  if (!facts.busResets) return NO_BUS_RESET;
  const proof = openedByCdev ? null : readGroups(kernel, device, count);
  if (proof !== null && !Array.isArray(proof)) return proof;
  const owned = ownsAll(device, proof);
  if (owned === false) return FUNCTION_NOT_OWNED;
  if (owned === null || facts.hotResetErrno === null) return 'not-modelled';
  const failure = learnedRefusal(facts.hotResetErrno);
  if (failure === null) device.open.asleep = false;
  return failure;
}

/** Numbers of the groups given as proof. */
function readGroups(kernel: Kernel, device: PciDevice, count: number): number[] | Answer {
  const { arg } = kernel.call;
  const most = device.facts.dependentCount;
  if (most === null) return 'not-modelled';
  if (count > most) return TOO_MANY_GROUPS;
  if (arg.length < HEAD_BYTES + count * 4) return GROUPS_FAULT;
  const view = new DataView(arg.buffer, arg.byteOffset, arg.length);
  const groups: number[] = [];
  for (let index = 0; index < count; index += 1) {
    const fd = view.getInt32(HEAD_BYTES + index * 4, true);
    const group = device.groupOf(fd);
    if (group !== null) groups.push(group);
    else return device.descriptorKind(fd) === null ? 'not-modelled' : (NOT_A_GROUP as Refusal);
  }
  return groups;
}

/**
 * Whether the caller owns every function that the reset hits: by the groups given, or, without, by the
 * iommufd. A function outside the set of vfio-pci's devices is refused with the same errno.
 */
function ownsAll(device: PciDevice, groups: readonly number[] | null): boolean | null {
  const { dependents } = device.facts;
  if (dependents === null) return null;
  const owned = dependents.map((one) => isOwned(device, one, groups));
  if (owned.includes(false)) return false;
  return owned.includes(null) ? null : true;
}

function isOwned(
  device: PciDevice,
  { address, group }: DependentFunction,
  groups: readonly number[] | null,
): boolean | null {
  if (groups !== null) return group === null ? null : groups.includes(group);
  const id = device.idOf(address);
  return id === null ? null : id !== NOT_OWNED;
}
