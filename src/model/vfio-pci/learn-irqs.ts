import type { IoctlCall } from '../../trace/index.ts';
import { ERRNO, offsetsOf, VFIO_DEVICE_SET_IRQS, VFIO_IRQ_SET_FLAGS } from '../../uapi/index.ts';
import type { Features } from '../profile.ts';
import { IRQ, IRQ_INDEXES, MOST_IRQS, type PciFacts } from './facts.ts';
import { note } from './note-fact.ts';

/** What a recorded SET_IRQS tells of the interrupts that a device has. */

const SET = offsetsOf(VFIO_DEVICE_SET_IRQS);
const SWITCH_ON = VFIO_IRQ_SET_FLAGS.DATA_EVENTFD | VFIO_IRQ_SET_FLAGS.ACTION_TRIGGER;

export function learnIrqs(
  facts: PciFacts,
  asked: DataView,
  { ret, errno }: IoctlCall,
  features: Features,
): number {
  const index = asked.getUint32(SET.index, true);
  const start = asked.getUint32(SET.start, true);
  const count = asked.getUint32(SET.count, true);
  if (index >= IRQ_INDEXES) return 0;
  const isSwitch = asked.getUint32(SET.flags, true) === SWITCH_ON && count > 0;
  if (errno !== 0) {
    const isPlatform = errno === ERRNO.ENODEV || errno === ERRNO.EBUSY;
    return isSwitch && isPlatform && index === IRQ.INTX ? note(facts, 'intxErrno', errno) : 0;
  }
  const irq = facts.irqs[index]!;
  if (ret > 0) return note(irq, 'limit', ret);
  let learned = 0;
  if (index === IRQ.ERR) return features.pciErrorIrqEverywhere ? 0 : note(facts, 'express', true);
  const atLeast = Math.max(start + 1, start + count);
  if (irq.count === null && atLeast > irq.atLeast) learned += note(irq, 'atLeast', atLeast);
  if (irq.count === null && atLeast === MOST_IRQS[index]) learned += note(irq, 'count', atLeast);
  if (!isSwitch) return learned;
  if (index === IRQ.INTX) return learned + note(facts, 'intxErrno', 0);
  return start + count > irq.allocated ? learned + note(irq, 'allocated', start + count) : learned;
}
