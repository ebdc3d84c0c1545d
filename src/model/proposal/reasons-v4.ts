import { reason } from '../reason.ts';

/** Refusals of the `/dev/ioasid` of the IOASID series V4. */

const V4 = 'ioasid V4 18/18';

export const DEV_OPEN_TWICE = reason(
  'dev-ioasid-open-twice',
  'EBUSY',
  V4,
  'the process has the device open already',
);
export const DEV_INHERITED = reason(
  'choice-dev-ioasid-inherited',
  'EINVAL',
  V4,
  'another process has opened the descriptor',
);
export const DEV_STRUCT_FAULT = reason(
  'dev-ioasid-struct-unreadable',
  'EFAULT',
  V4,
  'the struct can not be read',
);
export const DEV_STRUCT = reason(
  'dev-ioasid-arguments',
  'EINVAL',
  V4,
  'argsz is too small, a flag is set, or the number or range is none',
);
export const DEV_ALLOC = reason(
  'dev-ioasid-none',
  'EINVAL',
  V4,
  'no number of the range can be given: quota, cgroup or allocator',
);
export const DEV_COMMAND = reason(
  'choice-dev-ioasid-command',
  'EINVAL',
  V4,
  'the device has no command of this number',
);
