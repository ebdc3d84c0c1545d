import type { AdviceTable } from './advice.ts';

/** Refusals of attaching devices, of page tables, dirty tracking and invalidation. */
export const DEVICE_ADVICE: AdviceTable = {
  'attach-target-not-found': [
    'the page table was destroyed, or the id belongs to another open of /dev/iommu',
    'attach to an IOAS or page table of the context that the device is bound to',
  ],
  'attach-target-of-wrong-type': [
    'the id of a device, vIOMMU or queue is given as pt_id',
    'give the id of an IOAS or of a page table',
  ],
  'device-already-attached': [
    'attach is called twice for the same device or PASID, where a replace was meant',
    'replace, or detach first',
  ],
  'group-attached-elsewhere': [
    'two devices that the IOMMU can not tell apart are to use different page tables',
    'attach all devices of a group to the same page table, or replace for the whole group',
  ],
  'replace-not-attached': [
    'replace is called for a device or PASID that was never attached, or is detached already',
    'attach instead',
  ],
  'hwpt-not-pasid-compatible': [
    'a PASID is attached to an IOAS or to a page table allocated without the PASID flag, or the device itself uses such a one',
    'allocate by HWPT_ALLOC with the PASID flag every page table that the device and its PASIDs use',
  ],
  'pasid-too-large': [
    'the device has fewer PASIDs than the program counts with, or none',
    'keep the PASID below 2^out_max_pasid_log2 of GET_HW_INFO',
  ],
  'mock-pasid-fails': [
    'the test attaches PASID 1024 a second time, which the mock driver refuses on purpose',
    'use another PASID, or detach it first',
  ],
  'domain-incompatible': [
    'a page table with dirty tracking, made for another device, is attached to one without it',
    'use a page table without DIRTY_TRACKING for this device',
  ],
  'nested-without-vdevice': [
    'the guest attaches a device to its table before the VMM has told the vIOMMU of the device',
    'make the vDEVICE on the same vIOMMU before attaching',
  ],
  'mock-device-unprobed': [
    'the selftest runs on a machine with a VT-d or AMD IOMMU',
    'run it where the IOMMU is off or absent, or on a kernel with iommu_mock_device_add',
  ],
  'page-table-of-other-driver': [
    'mock and real devices share a context, and the page table of one is given to the other',
    'allocate the page table for a device behind the same kind of IOMMU, or attach to the IOAS',
  ],
  'mock-device-flags': [
    'the test is newer or older than the kernel',
    'leave out flags that selftest.c of this kernel does not know',
  ],
  'driver-data-type-and-length-disagree': [
    'data_type is set and data_len left at 0, or the other way round',
    'give both data_type and data_len, or neither',
  ],
  'hwpt-parent-not-found': [
    'the IOAS or parent page table was destroyed, or its id belongs to another open of /dev/iommu',
    'give the id of a live IOAS, nest parent or vIOMMU of this context',
  ],
  'hwpt-parent-of-wrong-type': [
    'the id of a device, a queue or a nested page table is given as pt_id',
    'give an IOAS for a paging table, or a nest parent or vIOMMU for a nested one',
  ],
  'hwpt-flags-unsupported': [
    'a flag of a newer kernel; FAULT_ID_VALID is for nested page tables only in 6.12, and PASID came later',
    'leave the flag out, or allocate the page table on a nest parent',
  ],
  'dirty-tracking-not-capable': [
    'live migration is set up without asking what the IOMMU can do',
    'ask for DIRTY_TRACKING only when out_capabilities of GET_HW_INFO has it',
  ],
  'nest-parent-with-faults': [
    'the fault queue is given to the parent instead of the nested page table',
    'give FAULT_ID_VALID to the nested page table',
  ],
  'driver-flags-unsupported': [
    'the driver has no page table with this set of flags, or takes no data for one (the mock of 6.12)',
    'leave out flags or data until the driver takes them',
  ],
  'paging-data-type': [
    'the data of a nested page table is given together with an IOAS',
    'leave out the data, or name a nest parent as pt_id',
  ],
  'mock-table-type': [
    'the second word of the data of the test is not cleared',
    'set pagetable_type to DEFAULT or HUGE',
  ],
  'nested-flags-or-no-data': [
    'NEST_PARENT or DIRTY_TRACKING is asked of a nested page table, or the data of the guest table is missing',
    'give the data of the guest table, and no flags but FAULT_ID_VALID and PASID',
  ],
  'not-a-nest-parent': [
    'the page table that an attach made is used as the parent, or the flag was forgotten',
    'allocate the parent by HWPT_ALLOC with NEST_PARENT',
  ],
  'nested-data-type': [
    'the data is of another vendor than the IOMMU of the device',
    'give the data type that belongs to out_data_type of GET_HW_INFO',
  ],
  'nested-data-length': [
    'the program is built against a newer struct than the kernel knows; here a longer one is refused even when its tail is zero',
    'set data_len to the size of the struct that this kernel knows',
  ],
  'fault-queue-not-found': [
    'the descriptor of the fault queue is given instead of its id',
    'give out_fault_id of FAULT_QUEUE_ALLOC',
  ],
  'hw-info-type-unsupported': [
    'information of another vendor is asked for',
    'ask without INPUT_TYPE, and look at out_data_type',
  ],
  'hwpt-without-dirty-tracking': [
    'the device was attached to an IOAS, or the page table allocated without the flag',
    'allocate the page table with DIRTY_TRACKING',
  ],
  'dirty-range-empty': ['an empty memory region is passed on', 'skip empty regions'],
  'dirty-range-wraps': [
    'the range is meant to reach the end of the address space and is one too long; before the fix of 6.12.117 an empty range is told so too',
    'let the range end at 2^64-1 at most',
  ],
  'dirty-range-misaligned': [
    'the range is asked for in pages of the guest, and begins or ends between pages of the size given',
    'align IOVA and length to page_size and to out_iova_alignment of IOVA_RANGES',
  ],
  'invalidate-array-malformed': [
    'entry_num is set without a pointer or length, or a whole queue of commands is passed at once',
    'set data_uptr and entry_len, and split what is longer than 2^19 entries',
  ],
  'invalidate-target-of-wrong-type': [
    'the id of the parent is given where that of the nested page table is meant',
    'give the id of the nested page table, or of the vIOMMU',
  ],
  'invalidate-type-unknown': [
    'the entries are of another vendor than the IOMMU of the page table',
    'give the data_type that the driver of the page table knows',
  ],
  'invalidate-entry-length': [
    'the program is built against a newer entry than the kernel knows; a longer one is refused even when its tail is zero',
    'set entry_len to the size that this kernel knows',
  ],
  'invalidate-entry-flags': [
    'a flag of a newer driver, or an entry that was not cleared',
    'clear the entry and use the flags of this driver only; entries before this one are done, see entry_num',
  ],
  'invalidate-entry-id': [
    'the test names an entry above 3',
    'name one of the entries 0 to 3; entries before this one are done, see entry_num',
  ],
};
