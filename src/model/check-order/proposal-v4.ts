import { about, type Check, inOrder } from './check.ts';

/** Checks of February 2021 and of the containers before it, in their order, and of hardware's events. */

/** Events of the hardware: the same in every generation. */
export const FAULTS = {
  iommu_page_request: inOrder('choice-argument-bad', 'iopf-not-page-request', 'iopf-no-queue'),
  iommu_fault_overflow: inOrder('choice-argument-bad'),
  iommu_stop_marker: inOrder('choice-argument-bad'),
  iopf_queue_add_device: inOrder('choice-argument-bad', 'iopf-no-queue', 'iopf-queued'),
  iopf_queue_remove_device: inOrder('choice-argument-bad', 'iopf-no-queue'),
};

const ARGUMENT = inOrder('choice-argument-bad');
const FIND = inOrder(ARGUMENT, 'ioasid-absent');
const OWNED = inOrder(
  'ioasid-absent',
  'ioasid-set-without-mm',
  'ioasid-owner-other-mm',
  'ioasid-free-pending',
);

export const V4: Readonly<Record<string, readonly Check[]>> = {
  'open of /dev/ioasid': inOrder('dev-ioasid-open-twice', 'ioasid-quota-above-capacity'),
  'ioctl of /dev/ioasid': inOrder(
    'choice-dev-ioasid-inherited',
    'choice-dev-ioasid-command',
    'dev-ioasid-struct-unreadable',
    'dev-ioasid-arguments',
    'dev-ioasid-none',
  ),
  ioasid_install_capacity: inOrder(ARGUMENT, 'choice-ioasid-capacity-installed'),
  ioasid_reserve_capacity: inOrder(ARGUMENT, 'ioasid-capacity-short'),
  ioasid_cancel_capacity: inOrder(ARGUMENT, 'ioasid-capacity-above-total'),
  ioasid_set_alloc: inOrder(
    ARGUMENT,
    'ioasid-set-type-unknown',
    'ioasid-set-token-missing',
    'ioasid-set-token-taken',
    'ioasid-set-token-unwanted',
    'ioasid-quota-above-capacity',
  ),
  ioasid_set_free: inOrder(ARGUMENT, 'ioasid-set-not-found', 'ioasid-set-not-empty'),
  ioasid_alloc: inOrder(
    ARGUMENT,
    'ioasid-set-not-found',
    'choice-ioasid-set-closing',
    'ioasid-quota-reached',
    'ioasid-cgroup-other-mm',
    'ioasid-cgroup-limit',
    'vcmd-range',
    'vcmd-no-pasid',
    'ioasid-none-free',
  ),
  ioasid_get: inOrder(ARGUMENT, 'ioasid-unknown', 'ioasid-free-pending', 'ioasid-other-set'),
  ioasid_get_if_owned: inOrder(ARGUMENT, OWNED),
  ioasid_put: ARGUMENT,
  ioasid_free: ARGUMENT,
  ioasid_free_all_in_set: inOrder(ARGUMENT, 'ioasid-set-not-found'),
  ioasid_attach_data: FIND,
  ioasid_detach_data: ARGUMENT,
  ioasid_find: inOrder(FIND, 'ioasid-other-set'),
  ioasid_find_set: FIND,
  ioasid_attach_spid: inOrder(FIND, 'ioasid-spid-unusable'),
  ioasid_detach_spid: ARGUMENT,
  ioasid_find_by_spid: ARGUMENT,
  ioasid_register_notifier: inOrder(ARGUMENT, 'ioasid-set-not-found', 'ioasid-notifier-twice'),
  ioasid_register_notifier_mm: inOrder(ARGUMENT, 'ioasid-notifier-late', 'ioasid-notifier-twice'),
  ioasid_register_allocator: inOrder(ARGUMENT, 'ioasid-allocator-twice', 'ioasid-allocator-busy'),
  ioasid_unregister_allocator: inOrder('choice-ioasid-allocator-unknown'),
  iommu_sva_alloc_pasid: inOrder(
    ARGUMENT,
    'sva-pasid-range',
    'sva-pasid-outside-range',
    'ioasid-free-pending',
    'sva-pasid-none-free',
  ),
  iommu_sva_free_pasid: inOrder(ARGUMENT, 'choice-sva-pasid-unbound'),
  ioasids_cgroup_max: inOrder(ARGUMENT, 'ioasid-capacity-short'),
  // Containers of 2020.
  VFIO_SET_IOMMU: inOrder('vfio-sva-no-group'),
  VFIO_IOMMU_PASID_REQUEST: inOrder(
    'vfio-sva-struct-unreadable',
    'vfio-sva-request-arguments',
    'vfio-sva-no-pasids',
    'vfio-sva-none',
  ),
  VFIO_IOMMU_NESTING_OP: inOrder(
    about('struct', 'vfio-sva-struct-unreadable'),
    'vfio-sva-nesting-arguments',
    'vfio-sva-no-nesting',
    about('data', 'vfio-sva-struct-unreadable'),
    'vfio-sva-bind-arguments',
    'vfio-sva-bind-pasid',
    OWNED,
    'vfio-sva-bound',
    'ioasid-spid-unusable',
  ),
  ...FAULTS,
};
