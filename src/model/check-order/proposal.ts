import type { Call } from '../../trace/index.ts';
import { CMD, RFC_CMD, SVA_2020_CMD } from '../../uapi/index.ts';
import { about, type Check, inOrder } from './check.ts';

/**
 * Checks of the generations of 2020 and 2021, in their order. Keys are the generation and the call; the
 * events of the hardware are the same in every one.
 */

const CALLS = inOrder('proposal-no-such-call');
const IOASID = inOrder('proposal-ioasid-not-found');
const LIVE = inOrder(IOASID, 'proposal-group-partly-attached', 'proposal-ioasid-not-attached');
const MAPPING = inOrder(
  'choice-argument-bad',
  'type1v2-permission',
  'type1v2-misaligned',
  'type1v2-overlap',
  'type1v2-entry-limit',
  'type1v2-not-permitted-range',
);
const LOCKED = inOrder('type1v2-locked-memory');
const UNMAPPING = inOrder(
  'choice-argument-bad',
  'type1v2-unmap-all-range',
  'type1v2-misaligned',
  'type1v2-unmap-cuts',
);
const TABLE = inOrder('proposal-no-user-pasid-table', 'proposal-no-hardware-nesting');
const BIND_TABLE = inOrder(
  LIVE,
  'proposal-table-needs-child',
  'choice-argument-bad',
  'proposal-table-bound',
  'choice-table-after-map',
  TABLE,
);
const GROUP = inOrder('proposal-group-owned', 'proposal-group-not-viable');
const FREE = inOrder('proposal-ioasid-in-use', 'choice-free-parent');
const ATTACH = inOrder(
  'proposal-already-attached',
  'proposal-snoop-unenforceable',
  'proposal-device-incompatible',
  'proposal-nesting-across-descriptors',
  'proposal-parent-not-attached',
  'proposal-device-without-pasid',
  'choice-guest-pasid-range',
  'choice-enqcmd-mixed',
  'proposal-pasid-taken',
  'choice-pasid-exhausted',
  'proposal-slot-taken',
  'choice-attach-mapper-gone',
  'choice-attach-memory-limit',
);
const DETACH = inOrder('proposal-not-attached-here', 'choice-detach-parent', 'choice-detach-bound-table');
const COMPLETE = inOrder('choice-fault-code', 'choice-no-fault');
const NOT_IOMMU = inOrder('proposal-not-an-iommu-descriptor');
const FAULTS = {
  iommu_page_request: inOrder('choice-argument-bad', 'iopf-not-page-request', 'iopf-no-queue'),
  iommu_fault_overflow: inOrder('choice-argument-bad'),
  iommu_stop_marker: inOrder('choice-argument-bad'),
};

const MAY: Readonly<Record<string, readonly Check[]>> = {
  IOASID_CHECK_EXTENSION: [],
  IOASID_REGISTER_MEMORY: inOrder('choice-argument-bad', 'choice-memory-registered', 'choice-memory-limit'),
  IOASID_UNREGISTER_MEMORY: inOrder('choice-argument-bad', 'choice-memory-unknown', 'choice-memory-in-use'),
  IOASID_ALLOC: [],
  IOASID_FREE: inOrder(IOASID, FREE),
  IOASID_GET_INFO: LIVE,
  IOASID_MAP_DMA: inOrder(LIVE, 'proposal-table-bound', MAPPING, 'proposal-memory-not-registered', LOCKED),
  IOASID_UNMAP_DMA: inOrder(LIVE, 'proposal-table-bound', UNMAPPING),
  IOASID_CREATE_NESTING: IOASID,
  IOASID_BIND_PGTABLE: BIND_TABLE,
  IOASID_UNBIND_PGTABLE: inOrder(LIVE, 'proposal-table-unbound'),
  IOASID_BIND_PASID_TABLE: BIND_TABLE,
  IOASID_UNBIND_PASID_TABLE: inOrder(LIVE, 'proposal-table-unbound'),
  IOASID_INVALIDATE_CACHE: inOrder(LIVE, 'choice-argument-bad', 'proposal-table-unbound'),
  IOASID_READ_FAULT: inOrder('choice-no-fault'),
  IOASID_COMPLETE_FAULT: inOrder(IOASID, COMPLETE),
  VFIO_BIND_IOASID_FD: inOrder(NOT_IOMMU, 'proposal-device-bound', GROUP),
  VFIO_UNBIND_IOASID_FD: inOrder('proposal-device-not-bound', 'choice-unbind-attached'),
  VFIO_ATTACH_IOASID: inOrder('proposal-device-not-bound', IOASID, 'choice-argument-bad', ATTACH),
  VFIO_DETACH_IOASID: inOrder('proposal-device-not-bound', IOASID, 'choice-argument-bad', DETACH),
  KVM_MAP_PASID: inOrder(NOT_IOMMU, 'choice-argument-bad', 'choice-kvm-mapped', 'choice-kvm-no-pasid'),
  KVM_UNMAP_PASID: inOrder(NOT_IOMMU, 'choice-argument-bad', 'choice-kvm-unmapped'),
  ...FAULTS,
};

const JULY: Readonly<Record<string, readonly Check[]>> = {
  IOMMU_CHECK_EXTENSION: [],
  IOMMU_DEVICE_GET_INFO: inOrder('proposal-cookie-unknown'),
  IOMMU_IOASID_ALLOC: inOrder('proposal-alloc-attributes', IOASID, TABLE, 'choice-argument-bad'),
  IOMMU_IOASID_FREE: inOrder(IOASID, FREE),
  IOMMU_MAP_DMA: inOrder(IOASID, 'proposal-table-bound', MAPPING, LOCKED),
  IOMMU_UNMAP_DMA: inOrder(IOASID, 'proposal-table-bound', UNMAPPING),
  IOMMU_INVALIDATE_CACHE: inOrder(IOASID, 'choice-argument-bad', 'proposal-cookie-unknown'),
  IOMMU_READ_FAULT: inOrder('choice-no-fault'),
  IOMMU_COMPLETE_FAULT: inOrder(IOASID, 'choice-argument-bad', COMPLETE),
  VFIO_BIND_IOMMU_FD: inOrder(
    NOT_IOMMU,
    'choice-argument-bad',
    'proposal-device-bound',
    'proposal-cookie-taken',
    GROUP,
  ),
  VFIO_DEVICE_GET_INFO: [],
  VFIO_ATTACH_IOASID: inOrder(
    NOT_IOMMU,
    IOASID,
    'choice-argument-bad',
    'proposal-pasid-delegated',
    'proposal-device-not-bound',
    ATTACH,
  ),
  VFIO_DETACH_IOASID: inOrder(NOT_IOMMU, IOASID, 'choice-argument-bad', 'proposal-pasid-delegated', DETACH),
  KVM_ENABLE_CAP: inOrder('choice-argument-bad'),
  KVM_MAP_PASID: inOrder(
    NOT_IOMMU,
    'choice-argument-bad',
    'choice-kvm-translation-off',
    'choice-kvm-mapped',
    'choice-kvm-no-pasid',
  ),
  KVM_UNMAP_PASID: inOrder(NOT_IOMMU, 'choice-argument-bad', 'choice-kvm-unmapped'),
  KVM_LOOK_UP_PASID: inOrder(NOT_IOMMU, IOASID, 'choice-kvm-no-pasid'),
  ...FAULTS,
};

const RFC_HEAD = inOrder(about('pointer', 'rfc-struct-unreadable'), 'rfc-argsz-flags-or-number');
const RFC_DEVICE = inOrder(
  about('pointer', 'rfc-struct-unreadable'),
  'rfc-device-of-container',
  'rfc-argsz-flags-or-number',
);
const RFC_LIVE = inOrder(
  RFC_HEAD,
  IOASID,
  'proposal-ioasid-not-attached',
  about('data', 'rfc-struct-unreadable'),
);

const SEPTEMBER: Readonly<Record<string, readonly Check[]>> = {
  'open of a device': inOrder('rfc-device-absent', 'rfc-device-open'),
  'read of a device': inOrder('proposal-access-blocked'),
  IOMMU_CHECK_EXTENSION: [],
  IOMMU_DEVICE_GET_INFO: inOrder(RFC_HEAD, 'proposal-cookie-unknown'),
  IOMMU_IOASID_ALLOC: inOrder(RFC_HEAD, 'rfc-alloc-arguments'),
  IOMMU_IOASID_FREE: inOrder(RFC_HEAD, 'choice-rfc-free-unknown', 'proposal-ioasid-in-use'),
  IOMMU_MAP_DMA: inOrder(
    RFC_LIVE,
    MAPPING.filter(({ id }) => id !== 'choice-argument-bad'),
    LOCKED,
  ),
  IOMMU_UNMAP_DMA: inOrder(
    RFC_LIVE,
    UNMAPPING.filter(({ id }) => id !== 'choice-argument-bad'),
  ),
  VFIO_DEVICE_BIND_IOMMUFD: inOrder(
    RFC_DEVICE,
    NOT_IOMMU,
    'proposal-device-bound',
    'proposal-cookie-taken',
    GROUP,
  ),
  VFIO_DEVICE_ATTACH_IOASID: inOrder(
    RFC_DEVICE,
    'rfc-other-descriptor',
    'rfc-device-attached',
    IOASID,
    'rfc-no-force-snoop',
    'rfc-address-width',
    'rfc-group-elsewhere',
    'choice-attach-mapper-gone',
    'choice-attach-memory-limit',
  ),
  VFIO_DEVICE_DETACH_IOASID: inOrder(RFC_DEVICE, 'rfc-other-descriptor', 'proposal-not-attached-here'),
  'ioctl of another number': inOrder('rfc-unknown-command'),
};

const ARGUMENT = inOrder('choice-argument-bad');
const FIND = inOrder(ARGUMENT, 'ioasid-absent');
const OWNED = inOrder(
  'ioasid-absent',
  'ioasid-set-without-mm',
  'ioasid-owner-other-mm',
  'ioasid-free-pending',
);

const V4: Readonly<Record<string, readonly Check[]>> = {
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

const GENERATIONS: Readonly<Record<string, Readonly<Record<string, readonly Check[]>>>> = {
  'proposal-2021-05': { ...MAY, 'call of another name': CALLS },
  'proposal-2021-07': { ...JULY, 'call of another name': CALLS },
  'rfc-2021-09': { ...SEPTEMBER, 'call of another name': CALLS },
  'ioasid-v4': { ...V4, 'call of another name': CALLS },
};

/** `generation call`: so that calls of the same name in two generations are told apart. */
export const PROPOSAL_ORDER: Readonly<Record<string, readonly Check[]>> = Object.fromEntries(
  Object.entries(GENERATIONS).flatMap(([generation, calls]) =>
    Object.entries(calls).map(([name, checks]) => [`${generation} ${name}`, checks]),
  ),
);

const RFC_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(RFC_CMD).map(([name, cmd]) => [cmd as number, name]),
);

/** Commands of the containers of 2020. */
const CONTAINER_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries({ ...SVA_2020_CMD, VFIO_SET_IOMMU: CMD.VFIO_SET_IOMMU }).map(([name, cmd]) => [cmd, name]),
);

/** Name of a call of a generation in the order of checks; null when it has none. */
export function generationCommand(generation: string, call: Call): string | null {
  const key = `${generation} ${nameOf(generation, call)}`;
  if (PROPOSAL_ORDER[key] !== undefined) return key;
  return call.op === 'call' ? `${generation} call of another name` : null;
}

function nameOf(generation: string, call: Call): string {
  if (call.op === 'call') return call.name;
  const isDevice = 'kind' in call && call.kind === 'device';
  const container = call.op === 'ioctl' ? CONTAINER_NAMES.get(call.cmd) : undefined;
  if (generation === 'ioasid-v4') return container ?? `${call.op} of /dev/ioasid`;
  if (call.op !== 'ioctl') return isDevice ? `${call.op === 'open' ? 'open' : 'read'} of a device` : '';
  return RFC_NAMES.get(call.cmd) ?? (isDevice ? '' : 'ioctl of another number');
}
