import type { IoctlCall } from '../../trace/index.ts';
import {
  ERRNO,
  offsetsOf,
  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
  VFIO_DEVICE_PCI_HOT_RESET,
  VFIO_PCI_HOT_RESET_FLAGS,
} from '../../uapi/index.ts';
import type { PciDevice } from './device.ts';
import type { DependentFunction, PciFacts } from './facts.ts';
import { DEPENDENT_BYTES, HOT_RESET_HEAD_BYTES } from './hot-reset-info.ts';
import { canLearn } from './learned-errno.ts';
import { note } from './note-fact.ts';

/** What recorded resets tell: which there are, what they hit, whether they work. */

const INFO = offsetsOf(VFIO_DEVICE_GET_PCI_HOT_RESET_INFO);
const RESET = offsetsOf(VFIO_DEVICE_PCI_HOT_RESET);

export function learnReset(facts: PciFacts, errno: number): number {
  if (errno === ERRNO.EINVAL && facts.resets !== true) return note(facts, 'resets', false);
  if (!canLearn(errno)) return 0;
  return note(facts, 'resets', true) + note(facts, 'resetErrno', errno);
}

export function learnHotResetInfo(facts: PciFacts, before: DataView, after: DataView, errno: number): number {
  if (before.getUint32(INFO.argsz, true) < HOT_RESET_HEAD_BYTES) return 0;
  if (errno === ERRNO.ENODEV) return note(facts, 'busResets', false);
  if (errno !== 0 && errno !== ERRNO.ENOSPC) return 0;
  const count = after.getUint32(INFO.count, true);
  const learned = note(facts, 'busResets', true) + note(facts, 'dependentCount', count);
  if (errno !== 0 || after.byteLength < INFO.devices + count * DEPENDENT_BYTES) return learned;
  return learned + note(facts, 'dependents', dependentsIn(facts, after, count));
}

function dependentsIn(facts: PciFacts, after: DataView, count: number): DependentFunction[] {
  const byGroup = (after.getUint32(INFO.flags, true) & VFIO_PCI_HOT_RESET_FLAGS.DEV_ID) === 0;
  const dependents: DependentFunction[] = [];
  for (let index = 0; index < count; index += 1) {
    const at = INFO.devices + index * DEPENDENT_BYTES;
    const segment = after.getUint16(at + 4, true);
    const bus = after.getUint8(at + 6);
    const devfn = after.getUint8(at + 7);
    const address = addressOf(segment, bus, devfn);
    const earlier = facts.dependents?.find((one) => one.address === address)?.group ?? null;
    const group = byGroup ? after.getUint32(at, true) : earlier;
    dependents.push({ address, segment, bus, devfn, group });
  }
  return dependents;
}

/** `0000:01:00.0`, as sysfs and VFIO_GROUP_GET_DEVICE_FD write it. */
function addressOf(segment: number, bus: number, devfn: number): string {
  const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');
  return `${hex(segment, 4)}:${hex(bus, 2)}:${hex(devfn >> 3, 2)}.${devfn & 7}`;
}

/** The function that a reply gives the asking device's own id is that device. */
export function learnAddress({ facts, id }: PciDevice, { errno, out }: IoctlCall): number {
  if (errno !== 0 || out === null || id === null || facts.dependents === null) return 0;
  const view = new DataView(out.buffer, out.byteOffset, out.length);
  const own = facts.dependents.find((_, index) => {
    const at = INFO.devices + index * DEPENDENT_BYTES;
    return at + 4 <= view.byteLength && view.getUint32(at, true) === id;
  });
  return own === undefined ? 0 : note(facts, 'address', own.address);
}

/** EINVAL may be the caller's fault, EAGAIN and EBUSY pass. */
export function learnHotReset(facts: PciFacts, asked: DataView, errno: number): number {
  if (asked.getUint32(RESET.argsz, true) < VFIO_DEVICE_PCI_HOT_RESET.sizeBytes) return 0;
  if (asked.getUint32(RESET.flags, true) !== 0) return 0;
  if (errno === ERRNO.ENODEV) return note(facts, 'busResets', false);
  if (errno !== 0 && errno !== ERRNO.ENOTTY && errno !== ERRNO.EIO) return 0;
  return note(facts, 'busResets', true) + note(facts, 'hotResetErrno', errno);
}
