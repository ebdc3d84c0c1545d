import { reason } from '../reason.ts';

/** Why vfio-pci refuses, where several calls share the reason. */

export const NOT_GRANTED = reason(
  'vfio-device-not-bound',
  'EINVAL',
  'vfio_main.c vfio_device_fops_unl_ioctl',
  'the device descriptor was not bound to an iommufd yet',
);
export const NO_SUCH_COMMAND = reason(
  'vfio-device-unknown-command',
  'ENOTTY',
  'vfio_pci_core.c vfio_pci_core_ioctl',
  'vfio-pci has no such command',
);
export const STRUCT_FAULT = reason(
  'vfio-device-struct-unreadable',
  'EFAULT',
  'vfio_pci_core.c, each command',
  'the struct at the argument pointer can not be read',
);
export const ARGSZ_TOO_SMALL = reason(
  'vfio-device-argsz-too-small',
  'EINVAL',
  'vfio_pci_core.c, each command',
  'argsz is below the struct',
);
export const BAD_REGION = reason(
  'vfio-device-region-missing',
  'EINVAL',
  'vfio_pci_core.c vfio_pci_ioctl_get_region_info',
  'the device has no region with this index',
);
export const BAD_EVENTFD = reason(
  'vfio-device-not-an-eventfd',
  'EINVAL',
  'eventfd.c eventfd_ctx_fdget',
  'the descriptor is no eventfd',
);
export const NO_BUS_RESET = reason(
  'vfio-device-no-bus-reset',
  'ENODEV',
  'vfio_pci_core.c vfio_pci_ioctl_get_pci_hot_reset_info',
  'neither slot nor bus of the device can be reset',
);
