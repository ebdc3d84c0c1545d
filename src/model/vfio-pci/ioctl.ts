import { CMD } from '../../uapi/index.ts';
import type { Answer, Kernel } from '../kernel.ts';
import type { PciDevice } from './device.ts';
import { deviceFeature } from './feature.ts';
import { getDeviceInfo } from './get-info.ts';
import { hotReset } from './hot-reset.ts';
import { getHotResetInfo } from './hot-reset-info.ts';
import { ioeventfd } from './ioeventfd.ts';
import { getIrqInfo } from './irq-info.ts';
import { NO_SUCH_COMMAND, NOT_GRANTED } from './reasons.ts';
import { getRegionInfo } from './region-info.ts';
import { resetDevice } from './reset.ts';
import { setIrqs } from './set-irqs.ts';

/**
 * The ioctls of a device descriptor that vfio-pci answers. BIND, ATTACH and DETACH are the caller's: on a
 * descriptor got from a group they are unknown here.
 */
export function vfioPciIoctl(kernel: Kernel, device: PciDevice, cmd: number): Answer {
  if (!device.granted) return NOT_GRANTED;
  switch (cmd) {
    case CMD.VFIO_DEVICE_GET_INFO:
      return getDeviceInfo(kernel, device);
    case CMD.VFIO_DEVICE_GET_REGION_INFO:
      return getRegionInfo(kernel, device);
    case CMD.VFIO_DEVICE_GET_IRQ_INFO:
      return getIrqInfo(kernel, device);
    case CMD.VFIO_DEVICE_SET_IRQS:
      return setIrqs(kernel, device);
    case CMD.VFIO_DEVICE_RESET:
      return resetDevice(device);
    case CMD.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO:
      return getHotResetInfo(kernel, device);
    case CMD.VFIO_DEVICE_PCI_HOT_RESET:
      return hotReset(kernel, device);
    case CMD.VFIO_DEVICE_IOEVENTFD:
      return ioeventfd(kernel, device);
    case CMD.VFIO_DEVICE_FEATURE:
      return deviceFeature(kernel, device);
    default:
      return NO_SUCH_COMMAND;
  }
}
