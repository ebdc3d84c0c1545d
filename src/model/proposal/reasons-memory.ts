import { reason } from '../reason.ts';

/** Refusals of the proposals of 2021 about translations: tables, mappings, page requests, the CPU's table. */

const P1 = '/dev/ioasid uAPI proposal of 2021-05-27';
const P2 = '/dev/iommu uAPI proposal of 2021-07-09';
const RFC = 'RFC of 2021-09-19';

export const TABLE_NEEDS_CHILD = reason(
  'proposal-table-needs-child',
  'EINVAL',
  `${P1}, section 1`,
  'a table of the user is allowed on a nested address space only',
);
export const TABLE_BOUND = reason(
  'proposal-table-bound',
  'EBUSY',
  `${P1}, section 3`,
  'a table of the user is bound: it and map calls exclude each other',
);
export const TABLE_AFTER_MAP = reason(
  'choice-table-after-map',
  'EBUSY',
  P1,
  'the address space has mappings: it and a table of the user exclude each other',
);
export const TABLE_UNBOUND = reason(
  'proposal-table-unbound',
  'EINVAL',
  `${P1}, section 3`,
  'no table of the user of this kind is bound',
);
export const TABLE_IN_USE = reason(
  'choice-detach-bound-table',
  'EBUSY',
  P1,
  'a table of the user is bound to the address space, and this is its last device',
);
export const NO_HARDWARE_NESTING = reason(
  'proposal-no-hardware-nesting',
  'EINVAL',
  `${P1}, section 1`,
  'the IOMMU of an attached device does not walk nested tables',
);
export const NO_PASID_TABLE = reason(
  'proposal-no-user-pasid-table',
  'EINVAL',
  `${P2}, 1.4`,
  "PASID tables are the host's on this platform",
);
export const MAP_PERMISSION = reason(
  'type1v2-permission',
  'EINVAL',
  'vfio_iommu_type1.c vfio_dma_do_map',
  'the mapping allows neither reading nor writing',
);
export const MAP_ALIGNMENT = reason(
  'type1v2-misaligned',
  'EINVAL',
  'vfio_iommu_type1.c vfio_dma_do_map, vfio_dma_do_unmap',
  'a size of 0, an address or size that is no multiple of the page, or a range that wraps',
);
export const MAP_OVERLAP = reason(
  'type1v2-overlap',
  'EEXIST',
  'vfio_iommu_type1.c vfio_dma_do_map',
  'the range overlaps a mapping',
);
export const MAP_LIMIT = reason(
  'type1v2-entry-limit',
  'ENOSPC',
  'vfio_iommu_type1.c vfio_dma_do_map',
  'as many mappings as dma_entry_limit allows are there',
);
export const MAP_RANGE = reason(
  'type1v2-not-permitted-range',
  'EINVAL',
  'vfio_iommu_type1.c vfio_iommu_iova_dma_valid',
  'the range is not inside one permitted range of the attached devices',
);
export const UNMAP_CUTS = reason(
  'type1v2-unmap-cuts',
  'EINVAL',
  'vfio_iommu_type1.c vfio_dma_do_unmap',
  'the range begins or ends within a mapping',
);
export const MAP_LOCKED = reason(
  'type1v2-locked-memory',
  'ENOMEM',
  'vfio_iommu_type1.c vfio_pin_pages_remote',
  'with these pages, the process would have locked more memory than RLIMIT_MEMLOCK, and it lacks CAP_IPC_LOCK',
);
export const UNMAP_ALL_RANGE = reason(
  'type1v2-unmap-all-range',
  'EINVAL',
  'vfio_iommu_type1.c vfio_dma_do_unmap',
  'unmapping all takes neither address nor size',
);
export const NOT_REGISTERED = reason(
  'proposal-memory-not-registered',
  'EINVAL',
  `${P1}, section 3`,
  'the memory is not registered, and the descriptor registers its memory',
);
export const REGISTER_TWICE = reason(
  'choice-memory-registered',
  'EEXIST',
  P1,
  'the range overlaps one that is registered',
);
export const REGISTER_LOCKED = reason(
  'choice-memory-limit',
  'ENOMEM',
  P1,
  'with the registered range, the process would have locked more than RLIMIT_MEMLOCK, and it lacks CAP_IPC_LOCK',
);
export const ATTACH_LOCKED = reason(
  'choice-attach-memory-limit',
  'ENOMEM',
  `${P2}, section 3`,
  'what was mapped before is pinned now, and would be more than RLIMIT_MEMLOCK of the process that mapped it',
);
export const MAPPER_GONE = reason(
  'choice-attach-mapper-gone',
  'ESRCH',
  'vfio_iommu_type1.c vfio_lock_acct',
  'what was mapped before is pinned now, and the process that mapped it is gone',
);
export const REGISTERED_IN_USE = reason(
  'choice-memory-in-use',
  'EBUSY',
  P1,
  'mappings still use the registered range',
);
export const NOT_A_REGISTRATION = reason(
  'choice-memory-unknown',
  'ENOENT',
  P1,
  'no range was registered with this address and size',
);
export const ALLOC_ATTRIBUTES = reason(
  'proposal-alloc-attributes',
  'EINVAL',
  `${P2}, section 3`,
  "an address space of the user's own table needs a parent, and an address space has one such table at most",
);
export const NO_FAULT = reason('choice-no-fault', 'ENOENT', P1, 'no page request waits for an answer there');
export const FAULT_CODE = reason(
  'choice-fault-code',
  'EINVAL',
  'iommu.h of 2021, struct iommu_page_response',
  'the answer is neither success, invalid nor failure',
);
export const FAULT_NOT_PAGE_REQUEST = reason(
  'iopf-not-page-request',
  'EOPNOTSUPP',
  'page fault handler V12, iommu_queue_iopf',
  'the fault is no page request: nobody can answer it',
);
export const FAULT_QUEUED = reason(
  'iopf-queued',
  'EBUSY',
  'page fault handler V12, iopf_queue_add_device',
  'the device is in a queue of page requests already',
);
export const FAULT_NO_QUEUE = reason(
  'iopf-no-queue',
  'ENODEV',
  'page fault handler V12, iommu_queue_iopf',
  'the device is not known to any queue of page requests',
);
export const KVM_NO_PASID = reason(
  'choice-kvm-no-pasid',
  'ENOENT',
  P1,
  'no device is attached to the address space with this PASID',
);
export const KVM_MAPPED = reason('choice-kvm-mapped', 'EEXIST', P1, 'the CPU translates this PASID already');
export const KVM_UNMAPPED = reason(
  'choice-kvm-unmapped',
  'ENOENT',
  P1,
  'the CPU does not translate this PASID',
);
export const KVM_TRANSLATION_OFF = reason(
  'choice-kvm-translation-off',
  'EINVAL',
  P2,
  'PASID translation of the CPU is not switched on',
);
export const ACCESS_BLOCKED = reason(
  'proposal-access-blocked',
  'ENODEV',
  `${RFC}, 03/20`,
  'the device is not bound yet: its regions can not be reached',
);
