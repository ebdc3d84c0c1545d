import type { IoctlCall } from '../../trace/index.ts';
import {
  CMD,
  ERRNO,
  findIoctl,
  offsetsOf,
  VFIO_DEVICE_FLAGS,
  VFIO_DEVICE_GET_INFO,
  VFIO_DEVICE_GET_IRQ_INFO,
  VFIO_IRQ_INFO_FLAGS,
} from '../../uapi/index.ts';
import type { Kernel } from '../kernel.ts';
import type { Profile } from '../profile.ts';
import type { PciDevice } from './device.ts';
import { IRQ, IRQ_INDEXES, type PciFacts } from './facts.ts';
import { vfioPciIoctl } from './ioctl.ts';
import { learnFeature } from './learn-features.ts';
import { learnIrqs } from './learn-irqs.ts';
import { capsOf, learnRegion } from './learn-regions.ts';
import { learnAddress, learnHotReset, learnHotResetInfo, learnReset } from './learn-resets.ts';
import { note } from './note-fact.ts';

/** Taking over what recorded replies tell of the hardware behind a device. */

const INFO = offsetsOf(VFIO_DEVICE_GET_INFO);
const IRQ_INFO = offsetsOf(VFIO_DEVICE_GET_IRQ_INFO);
/** Commands that leave something behind in the device. */
const CHANGING: readonly number[] = [
  CMD.VFIO_DEVICE_SET_IRQS,
  CMD.VFIO_DEVICE_RESET,
  CMD.VFIO_DEVICE_PCI_HOT_RESET,
];

/** Takes the facts of one recorded reply; answers how many were new. */
export function learnPciFacts(facts: PciFacts, record: IoctlCall, profile: Profile): number {
  if (record.cmd === CMD.VFIO_DEVICE_RESET) return learnReset(facts, record.errno);
  const { arg, out } = record;
  const least = findIoctl('device', record.cmd)?.layout?.minBytes;
  if (arg === null || out === null || least === undefined || arg.length < least) return 0;
  const before = viewOf(arg);
  const after = viewOf(out);
  switch (record.cmd) {
    case CMD.VFIO_DEVICE_GET_INFO:
      return record.errno === 0 ? learnInfo(facts, before, after) : 0;
    case CMD.VFIO_DEVICE_GET_REGION_INFO:
      return learnRegion(facts, before, after, record.errno);
    case CMD.VFIO_DEVICE_GET_IRQ_INFO:
      return learnIrqInfo(facts, before, after, record.errno, profile);
    case CMD.VFIO_DEVICE_SET_IRQS:
      return learnIrqs(facts, before, record, profile.has);
    case CMD.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO:
      return learnHotResetInfo(facts, before, after, record.errno);
    case CMD.VFIO_DEVICE_PCI_HOT_RESET:
      return learnHotReset(facts, before, record.errno);
    case CMD.VFIO_DEVICE_FEATURE:
      return learnFeature(facts, before, record.errno, profile.has);
    default:
      return 0;
  }
}

/**
 * Takes the facts of the reply to the call executed last, and where it could not be answered without them
 * does what the call did.
 */
export function learnPciReply(kernel: Kernel, device: PciDevice, record: IoctlCall): number {
  let learned = learnPciFacts(device.facts, record, kernel.profile);
  if (record.cmd === CMD.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO) learned += learnAddress(device, record);
  if (kernel.reply.modelled || record.errno !== 0 || !CHANGING.includes(record.cmd)) return learned;
  vfioPciIoctl(kernel, device, record.cmd);
  return learned;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

function learnInfo(facts: PciFacts, before: DataView, after: DataView): number {
  const flags = after.getUint32(INFO.flags, true);
  const regions = after.getUint32(INFO.num_regions, true);
  let learned = note(facts, 'resets', (flags & VFIO_DEVICE_FLAGS.RESET) !== 0);
  learned += note(facts, 'regionsAtMost', regions);
  learned += note(facts, 'regionsAtLeast', regions);
  const caps = capsOf(
    before.getUint32(INFO.argsz, true),
    after,
    VFIO_DEVICE_GET_INFO.sizeBytes,
    (flags & VFIO_DEVICE_FLAGS.CAPS) !== 0,
    INFO.cap_offset,
    facts.caps,
  );
  return caps === null ? learned : learned + note(facts, 'caps', caps);
}

function learnIrqInfo(
  facts: PciFacts,
  before: DataView,
  after: DataView,
  errno: number,
  profile: Profile,
): number {
  const argsz = before.getUint32(IRQ_INFO.argsz, true);
  const index = before.getUint32(IRQ_INFO.index, true);
  if (argsz < VFIO_DEVICE_GET_IRQ_INFO.sizeBytes || index >= IRQ_INDEXES) return 0;
  if (index === IRQ.ERR) {
    if (profile.has.pciErrorIrqEverywhere || (errno !== 0 && errno !== ERRNO.EINVAL)) return 0;
    return note(facts, 'express', errno === 0);
  }
  if (errno !== 0) return 0;
  const learned = note(facts.irqs[index]!, 'count', after.getUint32(IRQ_INFO.count, true));
  if (index !== IRQ.MSIX) return learned;
  const isDynamic = (after.getUint32(IRQ_INFO.flags, true) & VFIO_IRQ_INFO_FLAGS.NORESIZE) === 0;
  return learned + note(facts, 'dynamicMsix', isDynamic);
}
