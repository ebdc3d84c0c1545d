import { offsetsOf, VFIO_DEVICE_SET_IRQS, VFIO_IRQ_SET_FLAGS } from '../../uapi/index.ts';
import type { Answer, Kernel } from '../kernel.ts';
import { reason } from '../reason.ts';
import { u32 } from '../user-call.ts';
import { copyPciStruct, type PciDevice } from './device.ts';
import { IRQ, IRQ_INDEXES, MOST_IRQS } from './facts.ts';
import { setEventTrigger } from './irq-events.ts';
import { irqCount } from './irq-info.ts';
import { maskIntx, triggerIntx, unmaskIntx } from './irq-intx.ts';
import { triggerMsi } from './irq-msi.ts';
import type { IrqDecision, IrqSet } from './irq-set.ts';
import { ARGSZ_TOO_SMALL } from './reasons.ts';

/** VFIO_DEVICE_SET_IRQS: vfio_pci_ioctl_set_irqs, with vfio_set_irqs_validate_and_prepare. */

const SET = offsetsOf(VFIO_DEVICE_SET_IRQS);
const HEAD_BYTES = VFIO_DEVICE_SET_IRQS.sizeBytes;
const { DATA_NONE, DATA_BOOL, DATA_EVENTFD, ACTION_MASK, ACTION_UNMASK, ACTION_TRIGGER } = VFIO_IRQ_SET_FLAGS;
const DATA_TYPES = DATA_NONE | DATA_BOOL | DATA_EVENTFD;
const ACTIONS = ACTION_MASK | ACTION_UNMASK | ACTION_TRIGGER;
const U32_MAX = 0xffffffff;

const BAD_SET = reason(
  'vfio-irq-set-malformed',
  'EINVAL',
  'vfio_main.c vfio_set_irqs_validate_and_prepare',
  'no such interrupt index, an unknown flag, or not exactly one type of data',
);
const OUT_OF_RANGE = reason(
  'vfio-irq-range',
  'EINVAL',
  'vfio_main.c vfio_set_irqs_validate_and_prepare',
  'start and count name interrupts that the device does not have',
);
const DATA_FAULT = reason(
  'vfio-irq-data-unreadable',
  'EFAULT',
  'vfio_pci_core.c vfio_pci_ioctl_set_irqs',
  'the data behind the struct can not be read',
);
const NO_ACTION = reason(
  'vfio-irq-action-missing',
  'ENOTTY',
  'vfio_pci_intrs.c vfio_pci_set_irqs_ioctl',
  'this kind of interrupt does not take the action, or not exactly one action was asked for',
);

export function setIrqs(kernel: Kernel, device: PciDevice): Answer {
  const { call } = kernel;
  const malformed = copyPciStruct(kernel, HEAD_BYTES);
  if (malformed !== null) return malformed;
  const index = u32(call, SET.index);
  const start = u32(call, SET.start);
  const count = u32(call, SET.count);
  const flags = u32(call, SET.flags);
  if (index >= IRQ_INDEXES || count >= U32_MAX - start || (flags & ~(DATA_TYPES | ACTIONS)) !== 0)
    return BAD_SET;
  const present = isPresent(kernel, device, index, start, start + count);
  if (present === false) return OUT_OF_RANGE;
  const itemBytes = itemBytesOf(flags & DATA_TYPES);
  if (itemBytes === null) return BAD_SET;
  const dataBytes = count * itemBytes;
  if (itemBytes > 0 && call.userSize - HEAD_BYTES < dataBytes) return ARGSZ_TOO_SMALL;
  // The recorder keeps argsz bytes: what is not there could not be read.
  if (call.arg.length < HEAD_BYTES + dataBytes) return present === null ? 'not-modelled' : DATA_FAULT;
  const data = call.arg.subarray(HEAD_BYTES, HEAD_BYTES + dataBytes);
  const decision = decide(device, { index, start, count, type: flags & DATA_TYPES, data }, flags & ACTIONS);
  if (typeof decision !== 'function') {
    // Where the range is in doubt the answer is sure only when the device refuses in the same way.
    const isSure = present !== null || (decision !== 'not-modelled' && decision.errno === OUT_OF_RANGE.errno);
    return isSure ? decision : 'not-modelled';
  }
  if (present === null) return 'not-modelled';
  call.ret = decision();
  return null;
}

/** Whether the device has all of a range of interrupts; null when replies have not told yet. */
function isPresent(
  kernel: Kernel,
  { facts }: PciDevice,
  index: number,
  start: number,
  end: number,
): boolean | null {
  const count = irqCount(facts, kernel.profile.has, index);
  if (count !== null) return start < count && end <= count;
  const most = MOST_IRQS[index]!;
  if (start >= most || end > most) return false;
  const { atLeast } = facts.irqs[index]!;
  return start < atLeast && end <= atLeast ? true : null;
}

function itemBytesOf(type: number): number | null {
  switch (type) {
    case DATA_NONE:
      return 0;
    case DATA_BOOL:
      return 1;
    case DATA_EVENTFD:
      return 4;
    default:
      return null;
  }
}

function decide(device: PciDevice, set: IrqSet, action: number): IrqDecision {
  switch (set.index) {
    case IRQ.INTX:
      if (action === ACTION_MASK) return maskIntx(device, set);
      if (action === ACTION_UNMASK) return unmaskIntx(device, set);
      return action === ACTION_TRIGGER ? triggerIntx(device, set) : NO_ACTION;
    case IRQ.MSI:
    case IRQ.MSIX:
      return action === ACTION_TRIGGER ? triggerMsi(device, set) : NO_ACTION;
    default:
      return action === ACTION_TRIGGER ? setEventTrigger(device, set) : NO_ACTION;
  }
}
