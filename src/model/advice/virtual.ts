import type { AdviceTable } from './advice.ts';

/** Refusals of vIOMMUs and what hangs on them, and of fault queues. */
export const VIRTUAL_ADVICE: AdviceTable = {
  'viommu-type-unsupported': [
    'the type of another vendor is asked for, or the driver has no vIOMMUs',
    'choose the type by out_data_type of GET_HW_INFO, and do without a vIOMMU after an EOPNOTSUPP',
  ],
  'viommu-needs-nest-parent': [
    'the page table that an attach made is given, or the flag was forgotten',
    'allocate the page table with NEST_PARENT',
  ],
  'viommu-data-length': [
    'the program is built against a newer struct than the kernel knows; a longer one is refused even when its tail is zero',
    'set data_len to the size of the struct that this kernel knows',
  ],
  'device-has-vdevice': [
    'the VMM did not destroy the vDEVICE of an earlier guest configuration',
    'destroy the old vDEVICE first: a device has one at most',
  ],
  'virtual-id-taken': [
    'two devices have the same requester or stream id in the guest, or the vDEVICE that had it still lives',
    'give every device of the vIOMMU an id of its own',
  ],
  'veventq-depth': ['veventq_depth was left at zero, or is a size in bytes', 'ask for 1 to 2^19 events'],
  'veventq-type-taken': [
    'the queue is made a second time, after a reset of the guest',
    'keep the first queue, or close its descriptor and destroy it',
  ],
  'no-veventq-of-type': [
    'nobody asked for events of this type',
    'make a vEVENTQ of the type on the vIOMMU before events are due',
  ],
  'vevent-without-vdevice': [
    'the device is attached to no nested page table of a vIOMMU, had no vDEVICE when it was attached, or has the virtual id 0',
    'make the vDEVICE with an id other than 0, then attach the device to a nested page table of the vIOMMU',
  ],
  'vevent-read-shorter-than-header': [
    'read is called with the size of an event without its header, or with 0 to probe',
    'read into a buffer of several events with their headers of 8 bytes',
  ],
  'vevent-does-not-fit': [
    'the buffer holds a header only',
    'read into a buffer of a header and the largest event at least',
  ],
  'descriptor-not-writable': [
    'the vEVENTQ is taken for a fault queue',
    'answer faults on the descriptor of a fault queue; events need no answer',
  ],
  'hw-queue-type-unsupported': [
    'the vIOMMU is of a type without HW queues, or the queue of another vendor is asked for',
    'choose the queue type that belongs to the type of the vIOMMU',
  ],
  'hw-queue-length-zero': [
    'the guest has not set the size of its queue yet',
    'make the queue once the guest has set base and size',
  ],
  'hw-queue-range-wraps': [
    'the guest has written a wild base address',
    'check base and size as the guest wrote them',
  ],
  'hw-queue-length-too-long': [
    'the guest has written a wild size',
    'check base and size as the guest wrote them',
  ],
  'hw-queue-page-array': ['the guest has written a wild size', 'check base and size as the guest wrote them'],
  'hw-queue-not-one-run': [
    'the VMM backs the guest with small pages, which lie anywhere',
    'back guest memory with huge pages, so that a queue of the guest lies in one of them',
  ],
  'hw-queue-index-too-high': [
    'the guest uses more queues than the hardware gives to one vIOMMU',
    'tell the guest of as many queues as there are',
  ],
  'hw-queue-index-taken': [
    'the guest sets up the queue again and the VMM did not destroy the old one',
    'destroy the queue of this index first',
  ],
  'hw-queue-previous-missing': [
    'the guest sets up its queues out of order',
    'make the queues in ascending order from 0',
  ],
  'viommu-invalidate-array': [
    'data_type is that of a page table and not of the vIOMMU, or there are no entries',
    'give the data_type of the vIOMMU and at least one entry',
  ],
  'viommu-invalidate-entry-tail': [
    'the program is built against a newer entry than the kernel knows, and uses it',
    'clear what is behind the entry that this kernel knows, or set entry_len to its size',
  ],
  'viommu-invalidate-entry-flags': [
    'a flag of a newer driver, or an entry that was not cleared',
    'clear the entry and use the flags of this driver only; entries before this one are done, see entry_num',
  ],
  'viommu-invalidate-entry-cache': [
    'the test names an entry above 3',
    'name one of the entries 0 to 3; entries before this one are done, see entry_num',
  ],
  'viommu-invalidate-entry-device': [
    'the guest invalidates a device that is gone, or the id of the object is given for the virtual id',
    'give the virtual id of a live vDEVICE; entries before this one are done, see entry_num',
  ],
  'fault-count-not-whole-records': [
    'a buffer of bytes is passed, or the size of the other record: reading takes 40 bytes each, writing 8',
    'read multiples of 40 bytes and write multiples of 8',
  ],
  'fault-group-does-not-fit': [
    'the buffer has room for one fault, and the device reported several in one group',
    'read into a larger buffer: a group is never split',
  ],
  'fault-response-code-unknown': [
    'a code of the PCI specification is passed on',
    'answer SUCCESS (0) or INVALID (1)',
  ],
  'fault-cookie-unknown': [
    'the group was answered already, each group is to be answered once, or the device was detached or moved in between, which answers its faults',
    'answer each cookie once, and forget those of a device when it is detached or moved',
  ],
  'read-buffer-fault': [
    'the buffer is not mapped over the whole length, or is read-only',
    'pass a buffer that is mapped with the access that the transfer needs',
  ],
};
