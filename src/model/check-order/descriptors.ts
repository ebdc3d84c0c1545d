import { about, type Check, inOrder, when } from './check.ts';

/** read and write of descriptors that iommufd makes, and ioctls that reach no command. */

/** Whether the command's number is inside the table of iommufd: the struct is looked at before the number. */
const TABLE_BASE = 0x80;

export const DESCRIPTOR_ORDER: Readonly<Record<string, readonly Check[]>> = {
  'read of a fault queue': inOrder(
    'fault-count-not-whole-records',
    'fault-group-does-not-fit',
    'read-buffer-fault',
  ),
  'write to a fault queue': inOrder(
    'fault-count-not-whole-records',
    'read-buffer-fault',
    'fault-response-code-unknown',
    'fault-cookie-unknown',
  ),
  'read of a vEVENTQ': inOrder('vevent-read-shorter-than-header', 'vevent-does-not-fit'),
  'write to a vEVENTQ': inOrder('descriptor-not-writable'),
  'ioctl of another number': inOrder(
    when(
      ({ kernel, call }) => {
        const slot = call.op === 'ioctl' ? (call.cmd & 0xff) - TABLE_BASE : -1;
        return slot >= 0 && slot < kernel.profile.tableSlots;
      },
      about('size', 'struct-unreadable'),
    ),
    'command-unknown',
  ),
  'ioctl of another descriptor': inOrder('descriptor-without-ioctl'),
};
