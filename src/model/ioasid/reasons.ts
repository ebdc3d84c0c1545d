import { type Reason, reason } from '../reason.ts';

/** Refusals of the PASID allocation core. Sources are series of 2020 and 2021 by their version. */

export const SET_TYPE_UNKNOWN = reason(
  'ioasid-set-type-unknown',
  'EINVAL',
  'ioasid V4 ioasid_set_alloc',
  'the type of the set is neither that of an mm nor the null type',
);
export const SET_TOKEN_MISSING = reason(
  'ioasid-set-token-missing',
  'EINVAL',
  'ioasid V4 ioasid_set_alloc',
  'a set of type mm needs the mm as its token',
);
export const SET_TOKEN_TAKEN = reason(
  'ioasid-set-token-taken',
  'EEXIST',
  'ioasid V4 ioasid_set_alloc',
  'another set of type mm has this token',
);
export const SET_TOKEN_UNWANTED = reason(
  'ioasid-set-token-unwanted',
  'EINVAL',
  'ioasid V4 ioasid_set_alloc',
  'a set of the null type has no token',
);
export const QUOTA_ABOVE_CAPACITY = reason(
  'ioasid-quota-above-capacity',
  'ENOSPC',
  'ioasid V4 ioasid_set_alloc',
  'less capacity is left than the quota asks for',
);
export const SET_NOT_FOUND = reason(
  'ioasid-set-not-found',
  'EINVAL',
  'ioasid V4 ioasid_set_free, ioasid_alloc',
  'there is no such set',
);
export const SET_NOT_EMPTY = reason(
  'ioasid-set-not-empty',
  'EBUSY',
  'ioasid V4 ioasid_set_free',
  'numbers of the set are not reclaimed yet',
);
export const SET_CLOSING = reason(
  'choice-ioasid-set-closing',
  'EINVAL',
  'ioasid V4 ioasid_free_all_in_set',
  'all numbers of the set were freed: only put is allowed afterwards',
);
export const CAPACITY_INSTALLED = reason(
  'choice-ioasid-capacity-installed',
  'EBUSY',
  'ioasid V4 ioasid_install_capacity',
  'the capacity was installed before, or is already reserved in part',
);
export const CAPACITY_SHORT = reason(
  'ioasid-capacity-short',
  'ENOSPC',
  'ioasid V4 ioasid_reserve_capacity',
  'less capacity is left than is to be reserved',
);
export const CAPACITY_ABOVE_TOTAL = reason(
  'ioasid-capacity-above-total',
  'EINVAL',
  'ioasid V4 ioasid_cancel_capacity',
  'more would be given back than there is in all',
);
export const QUOTA_REACHED = reason(
  'ioasid-quota-reached',
  'ENOSPC',
  'ioasid V4 ioasid_alloc',
  'the set has as many numbers as its quota allows',
);
export const CGROUP_LIMIT = reason(
  'ioasid-cgroup-limit',
  'EAGAIN',
  'ioasid V4 ioasid_cg_charge',
  'a cgroup of the process, or one above it, has as many numbers as its limit allows',
);
export const CGROUP_OTHER_MM = reason(
  'ioasid-cgroup-other-mm',
  'EPERM',
  'ioasid V4 ioasid_cg_charge',
  'the caller is not the process that the set belongs to',
);
export const NONE_FREE = reason(
  'ioasid-none-free',
  'ENOSPC',
  'ioasid V4 ioasid_alloc',
  'the allocator has no free number in the range asked for',
);
export const IOASID_UNKNOWN = reason(
  'ioasid-unknown',
  'EINVAL',
  'ioasid V4 ioasid_get',
  'this number is not allocated',
);
export const IOASID_FREE_PENDING = reason(
  'ioasid-free-pending',
  'EBUSY',
  'ioasid V4 ioasid_get',
  'the number was freed and waits for its last user: it takes no new one',
);
export const IOASID_OTHER_SET = reason(
  'ioasid-other-set',
  'EACCES',
  'ioasid V4 ioasid_get, ioasid_find',
  'the number belongs to another set',
);
export const IOASID_ABSENT = reason(
  'ioasid-absent',
  'ENOENT',
  'ioasid V4 ioasid_get_if_owned, ioasid_attach_spid, ioasid_attach_data, ioasid_find_set',
  'this number is not allocated',
);
export const SET_WITHOUT_MM = reason(
  'ioasid-set-without-mm',
  'EINVAL',
  'ioasid V4 ioasid_get_if_owned',
  'the set of the number belongs to no process',
);
export const OWNER_OTHER_MM = reason(
  'ioasid-owner-other-mm',
  'EPERM',
  'ioasid V4 ioasid_get_if_owned',
  'the number belongs to another process',
);
export const SPID_UNUSABLE = reason(
  'ioasid-spid-unusable',
  'EINVAL',
  'ioasid V4 ioasid_attach_spid',
  "the guest's number is the invalid one, or stands for another number of the set",
);
export const ALLOCATOR_BUSY = reason(
  'ioasid-allocator-busy',
  'EAGAIN',
  'ioasid.c ioasid_register_allocator',
  'the default allocator has numbers outstanding',
);
export const ALLOCATOR_TWICE = reason(
  'ioasid-allocator-twice',
  'EEXIST',
  'ioasid.c ioasid_register_allocator',
  'this allocator is registered already',
);
export const ALLOCATOR_UNKNOWN = reason(
  'choice-ioasid-allocator-unknown',
  'ENOENT',
  'ioasid.c ioasid_unregister_allocator',
  'no allocator of this name is registered',
);
export const VCMD_RANGE = reason(
  'vcmd-range',
  'ENOSPC',
  'VT-d V12 intel_vcmd_ioasid_alloc',
  'the range begins below the first PASID or ends above what the IOMMU can do',
);
export const VCMD_NO_PASID = reason(
  'vcmd-no-pasid',
  'ENOSPC',
  'VT-d V12 vcmd_alloc_pasid',
  'the hypervisor answered the virtual command with no PASID available',
);
export const NOTIFIER_TWICE = reason(
  'ioasid-notifier-twice',
  'EBUSY',
  'ioasid V4 ioasid_register_notifier_mm',
  'this notifier block is registered already',
);
export const NOTIFIER_LATE = reason(
  'ioasid-notifier-late',
  'EBUSY',
  'ioasid V4 ioasid_register_notifier_mm',
  'the set has numbers already, and events that were missed are not told again',
);
export const SVA_RANGE = reason(
  'sva-pasid-range',
  'EINVAL',
  'iommu/sva V10 iommu_sva_alloc_pasid',
  'the range is empty or contains 0, which stands for no PASID',
);
export const SVA_BOUND_ELSEWHERE = reason(
  'sva-pasid-outside-range',
  'EOVERFLOW',
  'iommu/sva V10 iommu_sva_alloc_pasid',
  'the process has a PASID that this device can not use',
);
export const SVA_NONE_FREE = reason(
  'sva-pasid-none-free',
  'ENOMEM',
  'iommu/sva V10 iommu_sva_alloc_pasid',
  'no PASID of the range is free',
);
export const SVA_UNBOUND = reason(
  'choice-sva-pasid-unbound',
  'EINVAL',
  'iommu/sva V10 iommu_sva_free_pasid',
  'the process has no PASID',
);

/** Whether an operation was refused: the others answer numbers, booleans or objects without an errno. */
export function isRefused<Value>(answer: Value | Reason): answer is Reason {
  return typeof answer === 'object' && answer !== null && 'says' in answer;
}
