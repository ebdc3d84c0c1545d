import { reason } from '../reason.ts';

/** Refusals of the code of September 2021 that the proposals before it do not have. */

const RFC = 'RFC of 2021-09-19';

export const RFC_UNKNOWN_COMMAND = reason(
  'rfc-unknown-command',
  'EINVAL',
  `${RFC}, 04/20`,
  'the descriptor has no command of this number',
);
export const RFC_STRUCT_FAULT = reason('rfc-struct-unreadable', 'EFAULT', RFC, 'the struct can not be read');
export const RFC_STRUCT = reason(
  'rfc-argsz-flags-or-number',
  'EINVAL',
  RFC,
  'argsz is too small, an unknown flag is set, or a descriptor or number is negative',
);
export const RFC_CONTAINER = reason(
  'rfc-device-of-container',
  'ENOTTY',
  `${RFC}, 07/20`,
  'the device was opened through a group of the old container',
);
export const RFC_ALLOC = reason(
  'rfc-alloc-arguments',
  'EINVAL',
  `${RFC}, 10/20`,
  'addr_width is 0, ENFORCE_SNOOP is missing, another flag is set, or the type is not TYPE1V2',
);
export const RFC_FREE_UNKNOWN = reason(
  'choice-rfc-free-unknown',
  'EINVAL',
  `${RFC}, 10/20`,
  'the descriptor has no address space of this number',
);
export const RFC_DEVICE_OPEN = reason(
  'rfc-device-open',
  'EBUSY',
  `${RFC}, 02/20`,
  'the device, or its group, is open already',
);
export const RFC_DEVICE_ABSENT = reason(
  'rfc-device-absent',
  'ENODEV',
  `${RFC}, 02/20 and 05/20`,
  'there is no such device node: only devices whose IOMMU can enforce snooping have one',
);
export const RFC_OTHER_FD = reason(
  'rfc-other-descriptor',
  'EINVAL',
  `${RFC}, 14/20`,
  'the device is not bound, or to another descriptor than iommu_fd',
);
export const RFC_ATTACHED = reason(
  'rfc-device-attached',
  'EBUSY',
  `${RFC}, 14/20`,
  'the device is attached to an address space already',
);
export const RFC_NO_SNOOP = reason(
  'rfc-no-force-snoop',
  'EINVAL',
  `${RFC}, 14/20`,
  'the IOMMU can not force the DMA of the device to snoop',
);
export const RFC_WIDTH = reason(
  'rfc-address-width',
  'EINVAL',
  `${RFC}, 14/20`,
  'the address width of the device is smaller than that of the address space',
);
export const RFC_GROUP_ELSEWHERE = reason(
  'rfc-group-elsewhere',
  'EBUSY',
  `${RFC}, 14/20`,
  'another device of the group is attached to another address space',
);
