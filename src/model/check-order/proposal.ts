import type { Call } from '../../trace/index.ts';
import { CMD, RFC_CMD, SVA_2020_CMD } from '../../uapi/index.ts';
import { about, type Check, inOrder } from './check.ts';
import { FAULTS, V4 } from './proposal-v4.ts';

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
const GROUP = inOrder('proposal-device-without-group', 'proposal-group-owned', 'proposal-group-not-viable');
const GROUP_OR_CONTAINER = inOrder(
  'proposal-device-without-group',
  'proposal-group-owned',
  'proposal-group-on-other-domain',
  'proposal-group-not-viable',
);
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
  VFIO_GROUP_GET_DEVICE_FD: inOrder('choice-argument-bad', 'rfc-device-open'),
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
    GROUP_OR_CONTAINER,
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
