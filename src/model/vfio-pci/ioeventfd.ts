import {
  offsetsOf,
  VFIO_DEVICE_IOEVENTFD,
  VFIO_IOEVENTFD_FLAGS,
  VFIO_REGION_INFO_FLAGS,
} from '../../uapi/index.ts';
import type { Answer, Kernel } from '../kernel.ts';
import { reason } from '../reason.ts';
import { u32 } from '../user-call.ts';
import { copyPciStruct, type PciDevice } from './device.ts';
import { IRQ, type PciFacts, REGION, REGION_SHIFT } from './facts.ts';
import { checkEventfd } from './irq-set.ts';
import type { Ioeventfd } from './open-state.ts';

/** VFIO_DEVICE_IOEVENTFD: vfio_pci_ioctl_ioeventfd and vfio_pci_ioeventfd. */

const EVENT = offsetsOf(VFIO_DEVICE_IOEVENTFD);
const LEAST_BYTES = VFIO_DEVICE_IOEVENTFD.minBytes;
const { SIZE_8, SIZE_16, SIZE_32, SIZE_64 } = VFIO_IOEVENTFD_FLAGS;
const SIZES: readonly number[] = [SIZE_8, SIZE_16, SIZE_32, SIZE_64];
/** VFIO_PCI_IOEVENTFD_MAX. */
const MOST = 1000;

const BAD_FORM = reason(
  'vfio-ioeventfd-form',
  'EINVAL',
  'vfio_pci_core.c vfio_pci_ioctl_ioeventfd',
  'not exactly one size, an unknown flag, or a descriptor below -1',
);
const NOT_IN_BAR = reason(
  'vfio-ioeventfd-place',
  'EINVAL',
  'vfio_pci_rdwr.c vfio_pci_ioeventfd',
  'the write does not lie in a BAR',
);
const TOO_WIDE = reason(
  'vfio-ioeventfd-too-wide',
  'EINVAL',
  'vfio_pci_rdwr.c vfio_pci_ioeventfd',
  'eight bytes can not be written at once',
);
const IN_MSIX_TABLE = reason(
  'vfio-ioeventfd-msix-table',
  'EINVAL',
  'vfio_pci_rdwr.c vfio_pci_ioeventfd',
  'the write would reach the MSI-X table',
);
const EXISTS = reason(
  'vfio-ioeventfd-exists',
  'EEXIST',
  'vfio_pci_rdwr.c vfio_pci_ioeventfd',
  'there is an ioeventfd for the same write',
);
const NONE_THERE = reason(
  'vfio-ioeventfd-missing',
  'ENODEV',
  'vfio_pci_rdwr.c vfio_pci_ioeventfd',
  'there is no ioeventfd for this write to take away',
);
const TOO_MANY = reason(
  'vfio-ioeventfd-too-many',
  'ENOSPC',
  'vfio_pci_rdwr.c vfio_pci_ioeventfd',
  'the device has a thousand ioeventfds',
);

export function ioeventfd(kernel: Kernel, device: PciDevice): Answer {
  const { call } = kernel;
  const malformed = copyPciStruct(kernel, LEAST_BYTES);
  if (malformed !== null) return malformed;
  const bytes = u32(call, EVENT.flags);
  const fd = call.view.getInt32(EVENT.fd, true);
  if (!SIZES.includes(bytes) || fd < -1) return BAD_FORM;
  const offset = call.view.getBigInt64(EVENT.offset, true);
  const bar = Number(offset >> REGION_SHIFT);
  if (bar > REGION.BAR5) return NOT_IN_BAR;
  // A negative index reads beside the table of resources.
  if (bar < 0) return 'not-modelled';
  const region = device.facts.regions[bar];
  if (region === undefined) return 'not-modelled';
  const at = Number(BigInt.asUintN(Number(REGION_SHIFT), offset));
  if (at + bytes > region.sizeBytes) return NOT_IN_BAR;
  const isTable = touchesTable(device.facts, bar, at, bytes);
  if (isTable === true) return IN_MSIX_TABLE;
  if (bytes === SIZE_64 && kernel.profile.has.pciRefusesWideIoeventfd) return TOO_WIDE;
  if (isTable === null) return 'not-modelled';
  const data = call.view.getBigUint64(EVENT.data, true).toString(16);
  return change(device, { bar, at, data, bytes }, fd);
}

/** Whether a write would reach the MSI-X table; null when it is not known where that is. */
function touchesTable(facts: PciFacts, bar: number, at: number, bytes: number): boolean | null {
  if (facts.irqs[IRQ.MSIX]!.count === 0) return false;
  const table = facts.msixTable;
  if (table !== null) return table.bar === bar && at < table.at + table.bytes && at + bytes > table.at;
  // A BAR that can be mapped says by a capability that it has the table.
  const region = facts.regions[bar];
  const isMappable = region !== undefined && (region.flags & VFIO_REGION_INFO_FLAGS.MMAP) !== 0;
  return isMappable && region.caps.bytes === 0 ? false : null;
}

function change(device: PciDevice, wanted: Ioeventfd, fd: number): Answer {
  const { ioeventfds } = device.open;
  const found = ioeventfds.findIndex(
    ({ bar, at, data, bytes }) =>
      bar === wanted.bar && at === wanted.at && data === wanted.data && bytes === wanted.bytes,
  );
  if (found >= 0) {
    if (fd !== -1) return EXISTS;
    ioeventfds.splice(found, 1);
    return null;
  }
  if (fd < 0) return NONE_THERE;
  if (ioeventfds.length >= MOST) return TOO_MANY;
  const refusal = checkEventfd(device, fd);
  if (refusal === null) ioeventfds.push(wanted);
  return refusal;
}
