import type { Answer } from '../kernel.ts';
import { reason } from '../reason.ts';
import type { PciDevice } from './device.ts';
import { learnedRefusal } from './learned-errno.ts';

/** VFIO_DEVICE_RESET: vfio_pci_ioctl_reset. It takes no argument. */

const NO_RESET = reason(
  'vfio-device-no-function-reset',
  'EINVAL',
  'vfio_pci_core.c vfio_pci_ioctl_reset',
  'the device has no function reset that worked when it was opened',
);

export function resetDevice({ facts, open }: PciDevice): Answer {
  if (facts.resets === null) return 'not-modelled';
  if (!facts.resets) return NO_RESET;
  const failure = learnedRefusal(facts.resetErrno);
  // The reset wakes the device.
  if (failure === null) open.asleep = false;
  return failure;
}
