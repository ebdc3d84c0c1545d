import { reason } from '../reason.ts';
import type { PciDevice } from './device.ts';
import { IRQ } from './facts.ts';
import {
  checkEventfd,
  DATA_BOOL,
  DATA_NONE,
  eventfdAt,
  type IrqDecision,
  type IrqSet,
  NOTHING,
} from './irq-set.ts';

/**
 * The eventfds that tell of errors and of requests to give the device back: vfio_pci_intrs.c
 * vfio_pci_set_ctx_trigger_single.
 */

const NO_EVENT_SET = reason(
  'vfio-irq-no-event-set',
  'EINVAL',
  'vfio_pci_intrs.c vfio_pci_set_ctx_trigger_single',
  'no eventfd was set for it',
);
const NO_COUNT = reason(
  'vfio-irq-event-count',
  'EINVAL',
  'vfio_pci_intrs.c vfio_pci_set_ctx_trigger_single',
  'bools and eventfds come with a count of one',
);
const BAD_NUMBER = reason(
  'vfio-irq-event-descriptor',
  'EINVAL',
  'vfio_pci_intrs.c vfio_pci_set_ctx_trigger_single',
  'a negative descriptor that is not -1',
);

export function setEventTrigger(device: PciDevice, set: IrqSet): IrqDecision {
  const event = set.index === IRQ.ERR ? 'errorEvent' : 'requestEvent';
  const { open } = device;
  const put = (isSet: boolean) => (): number => {
    open[event] = isSet;
    return 0;
  };
  if (set.type === DATA_NONE) {
    if (!open[event]) return NO_EVENT_SET;
    return set.count === 0 ? put(false) : NOTHING;
  }
  if (set.count === 0) return NO_COUNT;
  if (set.type === DATA_BOOL) return NOTHING;
  const fd = eventfdAt(set, 0);
  if (fd === -1) return put(false);
  if (fd < 0) return BAD_NUMBER;
  return checkEventfd(device, fd) ?? put(true);
}
