import type { AdviceTable } from './advice.ts';

/** Refusals of the dispatcher, of IOASes, options and the life of objects. */
export const COMMAND_ADVICE: AdviceTable = {
  'command-unknown': [
    'the program was built against newer headers than the kernel, or the command belongs to another kind of descriptor',
    'treat ENOTTY as "not there" and fall back, and check that the descriptor is /dev/iommu',
  ],
  'descriptor-without-ioctl': [
    'the descriptor of an access object or a fault queue is used where that of /dev/iommu was meant',
    'pass the descriptor that open("/dev/iommu") returned',
  ],
  'struct-unreadable': [
    'the argument is NULL or points to freed memory, or size reaches past the end of what is mapped',
    'pass a pointer to a struct that is mapped over all of the size that it gives',
  ],
  'struct-too-small': ['size was left at zero', 'set size to sizeof the struct'],
  'struct-tail-not-zero': [
    'the program uses a field that came after this kernel, or did not clear the struct',
    'clear the struct before filling it, and do without the newer field on this kernel',
  ],
  'reserved-field-set': [
    'the struct lives on the stack and was not cleared before its fields were set',
    'clear the struct before filling it',
  ],
  'unknown-flags': [
    'a flag of a newer kernel, or for a vIOMMU, vEVENTQ or HW queue the type 0, which never exists',
    'leave the flag out after an EOPNOTSUPP, and give one of the types that GET_HW_INFO leads to',
  ],
  'user-buffer-fault': [
    'the pointer in the struct is stale or the buffer is shorter than the struct says, or the struct itself is read-only',
    'pass a buffer that is mapped readable and writable over its whole length, and keep the struct in writable memory',
  ],
  'ioas-not-found': [
    'the id is stale, belongs to another open of /dev/iommu, or is that of an object of another type',
    'use the id that IOAS_ALLOC returned on this descriptor',
  ],
  'device-not-found': [
    'the device was not bound to this context, or the id of a selftest object or page table is given for that of the device',
    'use the id that binding the device returned on this context',
  ],
  'hwpt-not-found': [
    'the page table was made automatically and went with its last device, or the id is that of an IOAS or of the other kind of page table',
    'use the id that HWPT_ALLOC or the last attach returned, while it lives',
  ],
  'viommu-not-found': [
    'the id of the nest parent or of the device is given for that of the vIOMMU',
    'use the id that VIOMMU_ALLOC returned',
  ],
  'object-not-found': [
    'the object was destroyed already: it was made automatically, or went with the device that it belonged to',
    'forget an id once it is destroyed, and do not destroy page tables that an attach made',
  ],
  'object-in-use': [
    'objects are destroyed in the order in which they were made',
    'destroy in reverse: detach devices, close event descriptors, destroy nested page tables, vDEVICEs, queues and vIOMMUs, then parents, then the IOAS',
  ],
  'allowed-range-not-ascending': [
    'the end is given as the first address behind the range or as a length, or the range has one byte',
    'give the first and the last address of the range, which must be above the first',
  ],
  'allowed-ranges-overlap': [
    'ranges of several sources are passed on without joining them, or neighbours share an address',
    'sort the ranges and join those that overlap before the call',
  ],
  'iova-ranges-buffer-too-short': [
    'the call is made with num_iovas 0 or a guess, to learn the number',
    'call again with as many entries as num_iovas says now',
  ],
  'allowed-range-reserved': [
    'the ranges were asked for before the devices were attached, or are those of another machine',
    'keep the ranges inside what IOVA_RANGES gives',
  ],
  'range-in-use': [
    'memory is mapped, or allowed by ALLOW_IOVAS, where a device or page table that comes now has no addresses to give',
    'attach before mapping, or keep areas and allowed ranges inside what IOVA_RANGES gives once devices are attached',
  ],
  'option-unknown': [
    'an option of a newer kernel, or a struct that was not filled',
    'use RLIMIT_MODE or HUGE_PAGES',
  ],
  'option-operation-unknown': ['op holds something else than SET (0) or GET (1)', 'set op to SET or GET'],
  'option-object-set': [
    'object_id is kept from an earlier HUGE_PAGES, or was not cleared',
    'set object_id to 0 for RLIMIT_MODE',
  ],
  'option-value': ['a flag word or a size is passed where a switch is meant', 'set val64 to 0 or 1'],
  'context-not-empty': [
    'RLIMIT_MODE is set after the first object was made; the id of a vDEVICE that went with its device counts too',
    'set RLIMIT_MODE right after opening /dev/iommu',
  ],
  'option-not-permitted': [
    'the VMM has dropped its capabilities, or never had them',
    'leave the mode as it is, or set it before CAP_SYS_RESOURCE is dropped',
  ],
  'large-pages-in-use': [
    'large pages are switched off, or VFIO type1 version 1 is chosen, after memory was mapped for a device',
    'choose before mapping, or unmap everything first',
  ],
  'areas-misaligned': [
    'memory was mapped in pieces that are no whole pages while nothing asked for more, and now a page table, a pinning access object or the end of large pages does',
    'map whole pages from the beginning, or unmap the misaligned areas first',
  ],
  'iommu-page-too-large': [
    'the IOMMU has only pages larger than those of the CPU',
    'run a kernel whose page size is at least that of the IOMMU',
  ],
  'no-compat-ioas': [
    'VFIO type1 calls come before a group was added to the container, or the IOAS they used was destroyed',
    'set the group into the container first, or name an IOAS by IOMMU_VFIO_IOAS SET',
  ],
  'vfio-ioas-operation-unknown': [
    'op holds something else than GET (0), SET (1) or CLEAR (2)',
    'set op to GET, SET or CLEAR',
  ],
  'change-process-needs-files': [
    'some of the memory was mapped by IOAS_MAP, which ties it to its process, before the handover to a new one',
    'map memory files by IOAS_MAP_FILE, or unmap the rest before CHANGE_PROCESS',
  ],
  'change-process-owner-gone': [
    'the process that mapped the files has ended, and the context counts by process (RLIMIT_MODE 1); the kernel warns in its log',
    'call CHANGE_PROCESS while the old process is alive, or count by user (RLIMIT_MODE 0)',
  ],
  'noiommu-not-configured': [
    'the kernel has no support for devices without an IOMMU',
    'do without, or build the kernel with CONFIG_IOMMUFD_NOIOMMU',
  ],
};
