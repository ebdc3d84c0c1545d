import type { AdviceTable } from './advice.ts';

/** Refusals of the proposals of 2021: tables, mappings, page requests, and the code of September. */
export const PROPOSAL_MEMORY_ADVICE: AdviceTable = {
  'proposal-table-needs-child': [
    'the guest table is bound to the address space of guest memory',
    'make a nested address space and bind the table there',
  ],
  'proposal-table-bound': [
    'map calls and a table of the user are mixed',
    'unbind the table first, or leave mapping to it',
  ],
  'choice-table-after-map': [
    'the nested address space was used for software nesting before',
    'unmap everything first',
  ],
  'proposal-table-unbound': [
    'the table is unbound twice, or is of the other kind',
    'bind a table of this kind first',
  ],
  'choice-detach-bound-table': [
    'the device is detached before the table is unbound',
    'unbind the table first',
  ],
  'proposal-no-hardware-nesting': [
    'the IOMMU of the device has one level only',
    'use software nesting: map on the nested address space',
  ],
  'proposal-no-user-pasid-table': [
    'the PASID table of a guest is passed on VT-d',
    'attach each PASID with its own address space',
  ],
  'type1v2-permission': ['flags were left at zero', 'allow READ, WRITE or both'],
  'type1v2-misaligned': [
    'a byte count or address of the guest is passed on as it is',
    'round to the smallest page size',
  ],
  'type1v2-overlap': ['the range is mapped a second time', 'unmap the range first'],
  'type1v2-entry-limit': [
    'guest memory is mapped page by page',
    'map larger ranges, or raise dma_entry_limit',
  ],
  'type1v2-not-permitted-range': [
    'the range contains the MSI window, or is wider than the IOMMU',
    'map around what is reserved',
  ],
  'type1v2-unmap-cuts': [
    'a part of a mapping is unmapped, which version 2 does not do',
    'unmap whole mappings',
  ],
  'type1v2-unmap-all-range': ['a range is left in the struct', 'set address and size to 0'],
  'proposal-memory-not-registered': [
    'memory was added to the VM and not registered',
    'register the memory first',
  ],
  'type1v2-locked-memory': [
    'guest memory is larger than the limit of the process, or it is mapped in several address spaces',
    'raise RLIMIT_MEMLOCK, or register the memory so that it counts once',
  ],
  'choice-memory-limit': [
    'guest memory is larger than the limit of the process',
    'raise RLIMIT_MEMLOCK, or give the process CAP_IPC_LOCK',
  ],
  'choice-attach-memory-limit': [
    'more was mapped before the first attach than the process may lock',
    'raise RLIMIT_MEMLOCK, or unmap something first',
  ],
  'choice-attach-mapper-gone': [
    'a child mapped the memory and has exited',
    'unmap what it mapped by freeing the address space, and map it again',
  ],
  'choice-memory-registered': ['memory is registered twice', 'register each range once'],
  'choice-memory-in-use': ['memory is taken from the VM before it is unmapped', 'unmap it everywhere first'],
  'choice-memory-unknown': ['a part of a range is unregistered', 'name address and size as registered'],
  'proposal-alloc-attributes': [
    'the parent is missing',
    'name the parent, and one table of the user at most',
  ],
  'choice-no-fault': [
    'the group was answered already or never read',
    'read a page request, and answer it once',
  ],
  'choice-fault-code': ['a code of the PCI specification is passed on', 'answer 0, 1 or 2'],
  'iopf-queued': ['page requests are switched on twice', 'add each device once'],
  'iopf-no-queue': ['the device is not in the topology', 'name a device of the topology'],
  'choice-kvm-no-pasid': ['KVM is told before the device is attached', 'attach with this PASID first'],
  'choice-kvm-mapped': ['the mapping is made for each device', 'map each PASID once for a VM'],
  'choice-kvm-unmapped': ['the mapping is taken away twice', 'unmap each PASID once'],
  'choice-kvm-translation-off': ['the capability was not enabled', 'enable KVM_CAP_PASID_TRANSLATION first'],
  'proposal-access-blocked': ['the device is used before it is bound', 'bind it first'],
  'rfc-unknown-command': [
    'a command of another generation, or of VFIO, is used',
    'use the nine commands of this generation',
  ],
  'rfc-struct-unreadable': [
    'the pointer is wrong, or the payload is missing',
    'pass a struct of the size that argsz says',
  ],
  'rfc-argsz-flags-or-number': [
    'the struct was not cleared or argsz not set',
    'set argsz, clear flags and pass valid numbers',
  ],
  'rfc-device-of-container': [
    'the device descriptor is from a group',
    'open the device node under /dev/vfio/devices',
  ],
  'rfc-alloc-arguments': [
    'ENFORCE_SNOOP was left out: this code knows nothing else',
    'set ENFORCE_SNOOP, type 1 and the width of the device',
  ],
  'choice-rfc-free-unknown': ['the number was freed already', 'free each number once'],
  'rfc-device-open': [
    'two programs open the device, or its group is open',
    'close the other descriptor first',
  ],
  'rfc-device-absent': [
    'the IOMMU of the device can not enforce snooping',
    'use the group of the device with a container',
  ],
  'rfc-other-descriptor': [
    'attach comes before bind, or names another descriptor',
    'name the descriptor that the device is bound to',
  ],
  'rfc-device-attached': [
    'the device is attached a second time',
    'detach it first: it has one address space at most',
  ],
  'rfc-no-force-snoop': ['the IOMMU of the device can not enforce snooping', 'use a device whose IOMMU can'],
  'rfc-address-width': [
    'the address space was allocated for another device',
    'allocate with the smallest width of all devices',
  ],
  'rfc-group-elsewhere': [
    'devices of one group are attached to two address spaces',
    'attach the whole group to one address space',
  ],
};
