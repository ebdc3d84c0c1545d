import { offsetsOf, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, VFIO_PCI_HOT_RESET_FLAGS } from '../../uapi/index.ts';
import type { Answer, Kernel } from '../kernel.ts';
import { reason } from '../reason.ts';
import { setU32 } from '../user-call.ts';
import { copyPciStruct, NOT_OWNED, type PciDevice, unknownFact } from './device.ts';
import type { DependentFunction } from './facts.ts';
import { NO_BUS_RESET } from './reasons.ts';

/** VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: vfio_pci_ioctl_get_pci_hot_reset_info. */

const INFO = offsetsOf(VFIO_DEVICE_GET_PCI_HOT_RESET_INFO);
export const HOT_RESET_HEAD_BYTES = VFIO_DEVICE_GET_PCI_HOT_RESET_INFO.sizeBytes;
/** Group number or device id, segment, bus, devfn. */
export const DEPENDENT_BYTES = 8;
const { DEV_ID, DEV_ID_OWNED } = VFIO_PCI_HOT_RESET_FLAGS;

const NO_ROOM = reason(
  'vfio-hot-reset-list-too-short',
  'ENOSPC',
  'vfio_pci_core.c vfio_pci_ioctl_get_pci_hot_reset_info',
  'more functions are hit than argsz leaves room for; count says how many',
);

export function getHotResetInfo(kernel: Kernel, device: PciDevice): Answer {
  const { call } = kernel;
  const { facts } = device;
  const malformed = copyPciStruct(kernel, HOT_RESET_HEAD_BYTES);
  if (malformed !== null) return malformed;
  if (facts.busResets === null) return 'not-modelled';
  if (!facts.busResets) return NO_BUS_RESET;
  if (facts.dependentCount === null) return 'not-modelled';
  const room = Math.floor((call.userSize - HOT_RESET_HEAD_BYTES) / DEPENDENT_BYTES);
  setU32(call, INFO.flags, 0);
  setU32(call, INFO.count, facts.dependentCount);
  call.respondFrom = 0;
  call.respondEnd = HOT_RESET_HEAD_BYTES;
  if (facts.dependentCount > room) return NO_ROOM;
  if (facts.dependents === null) {
    unknownFact(kernel, 'devices', INFO.devices, facts.dependentCount * DEPENDENT_BYTES);
    if (device.openedByCdev) {
      setU32(call, INFO.flags, DEV_ID);
      unknownFact(kernel, 'flags', INFO.flags, 4);
    }
    return null;
  }
  listDependents(kernel, device, facts.dependents);
  return null;
}

function listDependents(kernel: Kernel, device: PciDevice, dependents: readonly DependentFunction[]): void {
  const bytes = new Uint8Array(dependents.length * DEPENDENT_BYTES);
  const view = new DataView(bytes.buffer);
  let isOwned = true;
  let isSure = true;
  for (const [index, { address, segment, bus, devfn, group }] of dependents.entries()) {
    const at = index * DEPENDENT_BYTES;
    const id = device.openedByCdev ? device.idOf(address) : group;
    if (id === null) {
      unknownFact(kernel, `devices[${index}]`, INFO.devices + at, 4);
      isSure = false;
    } else view.setInt32(at, id, true);
    if (id === NOT_OWNED) isOwned = false;
    view.setUint16(at + 4, segment, true);
    view.setUint8(at + 6, bus);
    view.setUint8(at + 7, devfn);
  }
  kernel.call.structWrites.push({ at: INFO.devices, bytes });
  if (!device.openedByCdev) return;
  setU32(kernel.call, INFO.flags, isOwned ? DEV_ID | DEV_ID_OWNED : DEV_ID);
  if (isOwned && !isSure) unknownFact(kernel, 'flags', INFO.flags, 4);
}
