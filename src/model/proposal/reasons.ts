import { reason } from '../reason.ts';

/**
 * Refusals of the proposals of 2021. Where the sources name no errno or no rule, the id begins with `choice-`
 * and docs/proposal-choices.md says why.
 */

const P1 = '/dev/ioasid uAPI proposal of 2021-05-27';
const P2 = '/dev/iommu uAPI proposal of 2021-07-09';
const RFC = 'RFC of 2021-09-19';

export const NO_SUCH_CALL = reason(
  'proposal-no-such-call',
  'ENOTTY',
  P1,
  'the generation has no such call on this descriptor',
);
export const ARGUMENT_BAD = reason(
  'choice-argument-bad',
  'EINVAL',
  P1,
  'an argument is missing or has no meaning',
);
export const NOT_IOMMU_FD = reason(
  'proposal-not-an-iommu-descriptor',
  'EINVAL',
  `${RFC}, 07/20`,
  'the descriptor named is none of the IOMMU',
);
export const ALREADY_BOUND = reason(
  'proposal-device-bound',
  'EBUSY',
  `${RFC}, 07/20`,
  'the device is bound already',
);
export const COOKIE_TAKEN = reason(
  'proposal-cookie-taken',
  'EBUSY',
  `${RFC}, 07/20`,
  'another device of the descriptor has this cookie',
);
export const COOKIE_UNKNOWN = reason(
  'proposal-cookie-unknown',
  'EINVAL',
  `${RFC}, 08/20`,
  'no bound device has this cookie',
);
export const GROUP_OWNED = reason(
  'proposal-group-owned',
  'EBUSY',
  `${RFC}, 06/20`,
  'another user owns the group of the device',
);
export const NO_GROUP = reason(
  'proposal-device-without-group',
  'ENODEV',
  `${RFC}, 06/20`,
  'the device is in no IOMMU group',
);
export const GROUP_ELSEWHERE = reason(
  'proposal-group-on-other-domain',
  'EBUSY',
  `${RFC}, 06/20`,
  'the group of the device is on another domain than its default one: the old container has it',
);
export const GROUP_NOT_VIABLE = reason(
  'proposal-group-not-viable',
  'EINVAL',
  `${RFC}, 06/20`,
  'a kernel driver uses a device of the group',
);
export const NOT_BOUND = reason(
  'proposal-device-not-bound',
  'EINVAL',
  `${RFC}, 14/20`,
  'the device is not bound to the descriptor',
);
export const UNBIND_ATTACHED = reason(
  'choice-unbind-attached',
  'EBUSY',
  P1,
  'the device is still attached to an address space',
);
export const IOAS_UNKNOWN = reason(
  'proposal-ioasid-not-found',
  'EINVAL',
  `${RFC}, 10/20 and 14/20`,
  'the descriptor has no address space of this number',
);
export const FREE_IN_USE = reason(
  'proposal-ioasid-in-use',
  'EBUSY',
  `${RFC}, 10/20`,
  'devices are attached to the address space',
);
export const FREE_PARENT = reason(
  'choice-free-parent',
  'EBUSY',
  P1,
  'other address spaces are nested on this one',
);
export const NOT_ATTACHED = reason(
  'proposal-ioasid-not-attached',
  'EINVAL',
  `${P1}, section 3`,
  'no device is attached to the address space: it takes no command yet',
);
export const PARTIAL_GROUP = reason(
  'proposal-group-partly-attached',
  'EDEADLK',
  `${P1}, section 3`,
  'not every device of a group is attached to the address space',
);
export const ALREADY_ATTACHED = reason(
  'proposal-already-attached',
  'EBUSY',
  `${RFC}, 14/20`,
  'the device is attached to this address space in this way already',
);
export const SLOT_TAKEN = reason(
  'proposal-slot-taken',
  'EBUSY',
  `review of ${P2}`,
  'requests with this routing information go to another address space already',
);
export const PARENT_NOT_ATTACHED = reason(
  'proposal-parent-not-attached',
  'EINVAL',
  `${P1}, section 2`,
  'the device is not attached to the parent of the address space',
);
export const NESTING_ACROSS = reason(
  'proposal-nesting-across-descriptors',
  'EINVAL',
  `${P2}, section 1`,
  'the parent is attached through another descriptor: there is no nesting across descriptors',
);
export const DETACH_PARENT = reason(
  'choice-detach-parent',
  'EBUSY',
  P1,
  'the device is attached to an address space that is nested on this one',
);
export const NOT_ON_IOAS = reason(
  'proposal-not-attached-here',
  'EINVAL',
  `${RFC}, 14/20`,
  'the device is not attached to this address space in this way',
);
export const NO_PASID = reason(
  'proposal-device-without-pasid',
  'EINVAL',
  `${P2}, 1.4`,
  'the device, or the platform, has no PASIDs',
);
export const PASID_RANGE = reason(
  'choice-guest-pasid-range',
  'EINVAL',
  P1,
  'the PASID is 0 or has more than 20 bits',
);
export const PASID_DELEGATED = reason(
  'proposal-pasid-delegated',
  'EINVAL',
  `${P2}, 1.4.4`,
  "the PASID table is the guest's: its PASIDs are not attached one by one",
);
export const PASID_TAKEN = reason(
  'proposal-pasid-taken',
  'EBUSY',
  `${P1}, section 4`,
  'another user has this PASID of the function, and nothing translates it',
);
export const PASID_EXHAUSTED = reason(
  'choice-pasid-exhausted',
  'ENOSPC',
  P1,
  'no PASID is left for the descriptor',
);
export const ENQCMD_MIXED = reason(
  'choice-enqcmd-mixed',
  'EBUSY',
  `${P1}, section 4`,
  'ENQCMD of a whole function needs the CPU not to translate PASIDs, that of a mediated device needs it to',
);
export const SNOOP_UNENFORCEABLE = reason(
  'proposal-snoop-unenforceable',
  'EINVAL',
  `${P2}, 1.5; ${RFC}, 14/20`,
  'the IOMMU can not enforce snooping for the device, and the address space asks for it',
);
export const DEVICE_INCOMPATIBLE = reason(
  'proposal-device-incompatible',
  'EINVAL',
  `${P1}, section 2`,
  'the IOMMU of the device can not share a page table with that of a device that is attached',
);
