import type { AdviceTable } from './advice.ts';

/** Refusals of the PASID allocation core of 2021. */
export const PASID_ADVICE: AdviceTable = {
  'ioasid-set-type-unknown': [
    'a number of another series is passed, where NONE was 0',
    'pass 1 for the null type or 2 for an mm',
  ],
  'ioasid-set-token-missing': [
    'a kernel thread makes a set of type mm',
    'pass the mm of the process, or use the null type',
  ],
  'ioasid-set-token-taken': ['the process has a set already', 'look the set up by its mm first'],
  'ioasid-set-token-unwanted': [
    'the type and the token do not belong together',
    'pass no token with the null type',
  ],
  'ioasid-quota-above-capacity': [
    'a set with quota 0 has taken all that was left',
    'give each set a quota, and free the sets of processes that are gone',
  ],
  'ioasid-set-not-found': [
    'the set died with its last number',
    'make the set anew once its last number was freed',
  ],
  'ioasid-set-not-empty': [
    'a number was freed in use and waits for its last user',
    'free all numbers of the set and drop the references first',
  ],
  'choice-ioasid-set-closing': [
    'the descriptor was closed while work was going on',
    'make a new set: this one ends with its last reference',
  ],
  'choice-ioasid-capacity-installed': [
    'two IOMMU drivers install a capacity',
    'install the smallest capacity of all IOMMUs once, before any set is made',
  ],
  'ioasid-capacity-short': [
    'sets and limits of cgroups have reserved the rest',
    'lower a quota or the limit of another cgroup',
  ],
  'ioasid-capacity-above-total': ['a capacity is given back twice', 'give back what was reserved, once'],
  'ioasid-quota-reached': [
    'numbers are not freed, or wait for their last user',
    'free numbers that are idle, or ask for a larger quota',
  ],
  'ioasid-cgroup-limit': [
    'the limit of a new cgroup is 0, or a process moved in with its numbers',
    'raise max of the group and of those above it',
  ],
  'ioasid-cgroup-other-mm': [
    'a helper process allocates for the VMM',
    'allocate in the process that the set belongs to',
  ],
  'ioasid-none-free': [
    'the range is small or ends at the capacity of the IOMMU',
    'ask for a larger range, or free numbers of it',
  ],
  'ioasid-unknown': [
    'the number was reclaimed, or is that of the guest',
    'use the number that alloc answered, before it is freed',
  ],
  'ioasid-free-pending': [
    'the guest was killed and its numbers are being torn down',
    'drop the references that are left, and allocate another number',
  ],
  'ioasid-other-set': ['the number of another VM is used', 'use the numbers of this set only'],
  'ioasid-absent': [
    'the number was reclaimed, or is that of the guest',
    'use the number that alloc answered, before it is freed',
  ],
  'ioasid-set-without-mm': [
    'the number is one that the kernel allocated for itself',
    'use numbers of the own process',
  ],
  'ioasid-owner-other-mm': [
    'a descriptor or number was handed to another process',
    'make the call from the process that allocated the number',
  ],
  'ioasid-spid-unusable': [
    'the guest uses one PASID for two address spaces, or the old mapping was not undone',
    'detach the guest number from the other one first',
  ],
  'ioasid-allocator-busy': [
    'a driver allocated before the IOMMU driver registered its allocator',
    'register the allocator before the first number is given',
  ],
  'ioasid-allocator-twice': ['every IOMMU registers the same object', 'register one object for each IOMMU'],
  'choice-ioasid-allocator-unknown': [
    'the allocator was taken away already',
    'take away each allocator once',
  ],
  'vcmd-range': [
    'the driver asks for more bits than the emulated IOMMU has',
    'ask for what the capability register allows',
  ],
  'vcmd-no-pasid': [
    'the hypervisor has given all its PASIDs to the guest',
    'free PASIDs in the guest, or raise the quota on the host',
  ],
  'ioasid-notifier-twice': [
    'a device driver registers for each of its devices',
    'register one block for each set',
  ],
  'ioasid-notifier-late': [
    'the VM runs already when the driver is bound',
    'register before the process allocates its first number',
  ],
  'sva-pasid-range': ['a minimum of 0 is passed', 'begin the range at 1'],
  'sva-pasid-outside-range': [
    'a device with fewer PASID bits binds a process after one with more',
    'bind the device with the fewest bits first',
  ],
  'sva-pasid-none-free': [
    'as many processes are bound as the device has PASIDs',
    'unbind processes that no longer use a device',
  ],
  'choice-sva-pasid-unbound': ['a process is unbound more often than bound', 'unbind once for each bond'],
  'dev-ioasid-open-twice': ['a library opens the device as well', 'share the descriptor within the process'],
  'choice-dev-ioasid-inherited': [
    'the descriptor was inherited or passed over',
    'open the device in each process',
  ],
  'dev-ioasid-struct-unreadable': ['the pointer is wrong', 'pass a struct of the size that argsz says'],
  'dev-ioasid-arguments': [
    'the range ends before it begins, or at 2^31 or above',
    'set argsz, clear flags and give a range below 2^31',
  ],
  'vfio-sva-struct-unreadable': [
    'the pointer is bad, or argsz reaches past the memory',
    'pass a whole struct',
  ],
  'vfio-sva-request-arguments': [
    'both or none of ALLOC and FREE, or a range of more than 31 bits',
    'set one flag, argsz to 16, and min no higher than max',
  ],
  'vfio-sva-no-pasids': [
    'VFIO_SET_IOMMU chose another IOMMU, or the platform has PASIDs of each function',
    'put a group in and choose VFIO_TYPE1_NESTING_IOMMU; look at the nesting capability first',
  ],
  'vfio-sva-none': [
    'the process has its 1000 numbers, or the range is taken',
    'free numbers, or widen the range',
  ],
  'vfio-sva-no-group': ['VFIO_SET_IOMMU came before VFIO_GROUP_SET_CONTAINER', 'put a group in first'],
  'vfio-sva-nesting-arguments': [
    'a flag above the lower 16 bits, or an operation of another version',
    'put BIND_PGTBL (0) or UNBIND_PGTBL (1) into flags, and nothing else',
  ],
  'vfio-sva-no-nesting': [
    'VFIO_SET_IOMMU chose another IOMMU than VFIO_TYPE1_NESTING_IOMMU',
    'choose the nesting IOMMU, and look at its capability',
  ],
  'vfio-sva-bind-arguments': [
    'bind data of another version or vendor, or padding that is not 0',
    'fill in version 1, format 1 (VT-d), argsz 72, and zero the rest',
  ],
  'vfio-sva-bind-pasid': [
    'hpasid was left at 0, or is the guest number',
    'pass the number that ALLOC answered',
  ],
  'vfio-sva-bound': ['the number has a page table already', 'unbind it first'],
  'iopf-not-page-request': [
    'the record is an unrecoverable fault',
    'report it instead: only page requests have an answer',
  ],
  'dev-ioasid-none': [
    'the limit of the cgroup, which is 0 at first, or the quota is reached',
    'raise the limit of the cgroup, or free numbers',
  ],
  'choice-dev-ioasid-command': [
    'a command of a later generation is used',
    'use the four commands of this device',
  ],
};
