import { reason } from '../reason.ts';
import type { PciDevice } from './device.ts';
import { IRQ } from './facts.ts';
import {
  checkEventfd,
  DATA_EVENTFD,
  DATA_NONE,
  eventfdAt,
  IRQ_NOT_IN_USE,
  type IrqDecision,
  type IrqSet,
  NOTHING,
} from './irq-set.ts';
import { learnedRefusal } from './learned-errno.ts';

/** The actions on INTx: vfio_pci_intrs.c vfio_pci_set_intx_*. */

const NO_MASK_EVENT = reason(
  'vfio-irq-mask-by-event',
  'ENOTTY',
  'vfio_pci_intrs.c vfio_pci_set_intx_mask',
  'INTx can not be masked by an eventfd',
);

/** The one interrupt that INTx has. */
function isWhole({ start, count }: IrqSet): boolean {
  return start === 0 && count === 1;
}

export function maskIntx({ open }: PciDevice, set: IrqSet): IrqDecision {
  if (open.irqType !== IRQ.INTX || !isWhole(set)) return IRQ_NOT_IN_USE;
  return set.type === DATA_EVENTFD ? NO_MASK_EVENT : NOTHING;
}

export function unmaskIntx(device: PciDevice, set: IrqSet): IrqDecision {
  const { open } = device;
  if (open.irqType !== IRQ.INTX || !isWhole(set)) return IRQ_NOT_IN_USE;
  if (set.type !== DATA_EVENTFD) return NOTHING;
  const fd = eventfdAt(set, 0);
  if (fd >= 0) {
    const refusal = checkEventfd(device, fd);
    if (refusal !== null) return refusal;
    // EBUSY, unless the earlier eventfd was closed, which recorders do not see.
    if (open.unmaskEvent) return 'not-modelled';
  }
  return () => {
    open.unmaskEvent = fd >= 0;
    return 0;
  };
}

export function triggerIntx(device: PciDevice, set: IrqSet): IrqDecision {
  const { open, facts } = device;
  const isOn = open.irqType === IRQ.INTX;
  if (isOn && set.count === 0 && set.type === DATA_NONE) {
    return () => {
      open.irqType = null;
      open.unmaskEvent = false;
      return 0;
    };
  }
  if (!(isOn || open.irqType === null) || !isWhole(set)) return IRQ_NOT_IN_USE;
  if (set.type !== DATA_EVENTFD) return isOn ? NOTHING : IRQ_NOT_IN_USE;
  const fd = eventfdAt(set, 0);
  const refusal = fd >= 0 ? checkEventfd(device, fd) : null;
  if (refusal !== null) return refusal;
  if (isOn) return NOTHING;
  // The line may be missing, or shared by a device that can not mask: the platform decides.
  if (facts.intxErrno === null) return 'not-modelled';
  const failure = learnedRefusal(facts.intxErrno);
  if (failure !== null) return failure;
  return () => {
    open.irqType = IRQ.INTX;
    return 0;
  };
}
