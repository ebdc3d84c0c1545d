import { type GuestPasid, isRefused, SCOPE_POLICIES } from '../ioasid/index.ts';
import type { Reason } from '../reason.ts';
import { attachDevice, detachDevice } from './attach.ts';
import { attachmentsOf, attachmentsOfDevice } from './attachments.ts';
import { bindDevice, cookieOf, deviceOf, devicesOf } from './binding.ts';
import {
  DONE,
  flagArg,
  guestArg,
  hexText,
  ioasArg,
  numberArg,
  type ProposalAnswer,
  type ProposalCall,
  type ProposalHandler,
  textArg,
  wideArg,
} from './call.ts';
import { type DeviceFacts, policyOf, tableFormats } from './facts.ts';
import { completeFault, readFault } from './faults.ts';
import { iommuFileAt } from './files.ts';
import { answer, onIoas } from './handlers.ts';
import { mapPasid, submitWork, unmapPasid } from './kvm.ts';
import { mapArguments, mapRange, UNMAP_ALL, unmapRange } from './maps.ts';
import { tellOfAttachment } from './pasid-changes.ts';
import { ARGUMENT_BAD, COOKIE_UNKNOWN, NOT_IOMMU_FD, PASID_DELEGATED } from './reasons.ts';
import { ALLOC_ATTRIBUTES, KVM_NO_PASID, KVM_TRANSLATION_OFF, TABLE_BOUND } from './reasons-memory.ts';
import { tellRefusedAttach } from './routing.ts';
import { createIoas, findIoas, freeIoas } from './spaces.ts';
import type { Attachment, Ioas, ProposalFile } from './state.ts';
import { withoutReserved } from './structs-2021-09.ts';
import { checkTable, type TableKind } from './tables.ts';

/** The calls of the proposal of 2021-07-09: /dev/iommu, with all attributes given at allocation. */

/** KVM_CAP_PASID_TRANSLATION. */
const CAP_PASID_TRANSLATION = 206;
const EXTENSIONS: ReadonlySet<string> = new Set([
  'EXT_MAP_TYPE1V2',
  'EXT_IOASID_NESTING',
  'EXT_USER_PAGE_TABLE',
  'EXT_MULTIDEV_GROUP',
  'EXT_DMA_NO_SNOOP',
]);

/** Type of a device, 1 to 8, as the proposal's section 1.4 counts them. */
export function deviceType(call: Pick<ProposalCall, 'kernel'>, device: DeviceFacts): number {
  const isGuestOwned = policyOf(call.kernel.machine).platform !== SCOPE_POLICIES.vtd.platform;
  if (!device.hasPasid) return device.isSoftware ? 2 : device.isMediated ? 3 : 1;
  if (isGuestOwned) return 4;
  if (device.isMediated) return device.isShared ? 8 : 6;
  return device.isShared ? 7 : 5;
}

/** VFIO_DEVICE_INFO_CAP_PASID, capability 5; without PASIDs there is none. */
function pasidCapability(call: ProposalCall, device: DeviceFacts): ProposalAnswer {
  const type = deviceType(call, device);
  if (type < 4) return { ret: 0, out: { caps: [], type } };
  const flags = [
    ...(type === 4 ? ['PASID_DELEGATED'] : []),
    ...(type >= 7 ? ['PASID_CPU'] : []),
    ...(type === 8 ? ['PASID_CPU_VIRT'] : []),
  ];
  return { ret: 0, out: { caps: [{ id: 5, flags }], type } };
}

/** The device of the descriptor that has the cookie. */
function deviceByCookie(call: ProposalCall, name = 'cookie'): DeviceFacts | Reason {
  const cookie = wideArg(call, name);
  const found = devicesOf(call.state, call.file!).find(
    (file) => cookie !== null && cookieOf(file, call.file!) === hexText(cookie),
  );
  return found === undefined ? COOKIE_UNKNOWN : deviceOf(call, found.device);
}

/** Page sizes, permitted ranges, ways to nest: before anything is allocated. */
function deviceInfo(call: ProposalCall): ProposalAnswer {
  const device = deviceByCookie(call);
  if (isRefused(device)) return device;
  const { pageSizes, enforcesSnoop, hasHardwareNesting, addressWidth, reserved } = device;
  return {
    ret: 0,
    out: {
      page_sizes: pageSizes,
      permitted: withoutReserved((1n << BigInt(addressWidth)) - 1n, reserved).map((range) =>
        range.map(hexText),
      ),
      nesting: hasHardwareNesting ? 'hardware' : 'software',
      formats: hasHardwareNesting ? tableFormats(call) : [],
      enforce_snoop: enforcesSnoop,
    },
  };
}

/** IOMMU_IOASID_ALLOC: what May 2021 needed five calls for. */
function alloc(call: ProposalCall): ProposalAnswer {
  const iommu = call.file!;
  const tables = (['user-table', 'pasid-table'] as const).filter((kind) => flagArg(call, FLAG_OF[kind]));
  const parent = call.args['parent'] === undefined ? null : ioasArg(call, 'parent');
  const [kind] = tables;
  // A root is the kernel's: its page table is how the kernel keeps isolation.
  if (tables.length > 1 || (kind !== undefined && parent === null)) return ALLOC_ATTRIBUTES;
  if (parent !== null) {
    const found = findIoas(iommu, parent);
    if (isRefused(found)) return found;
    const refusal = kind === undefined ? null : checkTable(call, found, kind);
    if (refusal !== null) return refusal;
  }
  const [addr, format] = [wideArg(call, 'addr'), textArg(call, 'format')];
  if (kind !== undefined && (addr === null || format === null)) return ARGUMENT_BAD;
  const ioas = createIoas(call, iommu, {
    parent,
    kind: kind ?? 'kernel',
    table: kind === undefined ? null : { address: hexText(addr!), format: format! },
    enforcesSnoop: flagArg(call, 'enforce_snoop'),
    addressWidth: 0,
  });
  return { ret: ioas.id };
}

const FLAG_OF: Readonly<Record<TableKind, string>> = {
  'user-table': 'user_pgtable',
  'pasid-table': 'user_pasid_table',
};

const CACHES: ReadonlySet<string> = new Set(['iotlb', 'devtlb', 'pasid']);
const GRANULARITIES: ReadonlySet<string> = new Set(['per-device', 'per-pasid', 'range']);

/**
 * IOMMU_INVALIDATE_CACHE: cookie and guest PASID narrow the scope. The guest's number is converted to the one
 * on the wire, which `hardware` names: user space does not see it.
 */
const invalidate = onIoas((call, iommu, ioas) => {
  const [cache, granularity] = [textArg(call, 'cache'), textArg(call, 'granularity')];
  if (cache === null || !CACHES.has(cache) || !GRANULARITIES.has(granularity ?? '')) return ARGUMENT_BAD;
  const device = call.args['cookie'] === undefined ? null : deviceByCookie(call);
  if (isRefused(device)) return device;
  const guest = guestArg(call, 'vpasid');
  if (guest === null && call.args['vpasid'] !== undefined) return ARGUMENT_BAD;
  const reached = attachmentsOf(ioas).filter(
    (other) =>
      (device === null || other.device === device.name) &&
      (guest === null || other.guest === guest || ioas.kind === 'pasid-table'),
  );
  for (const attachment of reached)
    tellOfAttachment(call, 'flush', iommu, ioas, behindTable(ioas, attachment, guest));
  const hardware = reached.map(({ device: name, host }) => {
    const { functionName: rid } = deviceOf(call, name);
    const pasid = ioas.kind === 'pasid-table' ? guest : host;
    return { rid, cache, ...(pasid === null ? {} : { pasid }) };
  });
  return { ret: 0, out: { hardware } };
});

/** A PASID table stands for all numbers of its function: the call may name one. */
function behindTable(ioas: Ioas, attachment: Attachment, guest: GuestPasid | null): Attachment {
  return ioas.kind === 'pasid-table' ? { ...attachment, guest } : attachment;
}

const complete = onIoas((call, iommu, ioas) => {
  const cookie = wideArg(call, 'cookie');
  return cookie === null ? ARGUMENT_BAD : completeFault(call, iommu, ioas, hexText(cookie));
});

/** A mapping may be made before anything is attached: pinning waits for the first attach then. */
const map = onIoas((call, iommu, ioas) => {
  if (ioas.table !== null) return TABLE_BOUND;
  const request = mapArguments(call);
  return request === null ? ARGUMENT_BAD : answer(mapRange(call, iommu, ioas, request));
});

const unmap = onIoas((call, _, ioas) => {
  if (ioas.table !== null) return TABLE_BOUND;
  const [iova, size] = [wideArg(call, 'iova'), wideArg(call, 'size')];
  if (iova === null || size === null) return ARGUMENT_BAD;
  const done = unmapRange(call, ioas, iova, size, flagArg(call, 'all') ? UNMAP_ALL : 0);
  return isRefused(done) ? done : { ret: 0, out: { size: hexText(done.bytes) } };
});

const attachOrDetach =
  (run: typeof attachDevice): ProposalHandler =>
  (call) => {
    const iommu = iommuFileAt(call.state, call.pid, numberArg(call, 'iommu_fd'));
    if (iommu === null) return NOT_IOMMU_FD;
    const ioas = findIoas(iommu, ioasArg(call));
    if (isRefused(ioas)) return ioas;
    if (!flagArg(call, 'vpasid_flag')) return answer(run(call, call.file!, iommu, ioas, null));
    const guest = guestArg(call, 'vpasid');
    if (guest === null) return ARGUMENT_BAD;
    const isDelegated = deviceType(call, deviceOf(call, call.file!.device)) === 4;
    const refusal = isDelegated ? PASID_DELEGATED : run(call, call.file!, iommu, ioas, guest);
    if (refusal !== null && run === attachDevice) tellRefusedAttach(call, iommu, ioas, guest, refusal);
    return answer(refusal);
  };

/** Calls of KVM name the descriptor of the IOMMU. */
const ofIommu =
  (run: (call: ProposalCall, iommu: ProposalFile) => ProposalAnswer): ProposalHandler =>
  (call) => {
    const iommu = iommuFileAt(call.state, call.pid, numberArg(call, 'iommu_fd'));
    return iommu === null ? NOT_IOMMU_FD : run(call, iommu);
  };

/**
 * The look-up that the review asked for instead of KVM_MAP_PASID: KVM names descriptor, address space and
 * device, and gets the number on the wire with its nature.
 */
const lookUp = ofIommu((call, iommu) => {
  const ioas = findIoas(iommu, ioasArg(call, 'ioas_id'));
  if (isRefused(ioas)) return ioas;
  const name = textArg(call, 'device_id');
  const attached = name === null ? [] : attachmentsOfDevice(ioas, name);
  const found = attached.find(({ host }) => host !== null);
  const { hwId } = policyOf(call.kernel.machine);
  if (found === undefined || hwId === null) return KVM_NO_PASID;
  return { ret: 0, out: { hw_id: { kind: hwId, value: found.host } } };
});

export const JULY_IOMMU_CALLS: Readonly<Record<string, ProposalHandler>> = {
  IOMMU_CHECK_EXTENSION: (call) => {
    const asked = textArg(call, 'extension') ?? '';
    const isGuestOwned = ['smmuv3', 'amd'].includes(policyOf(call.kernel.machine).platform);
    const has = EXTENSIONS.has(asked) || (asked === 'EXT_USER_PASID_TABLE' && isGuestOwned);
    return { ret: has ? 1 : 0 };
  },
  IOMMU_DEVICE_GET_INFO: deviceInfo,
  IOMMU_IOASID_ALLOC: alloc,
  IOMMU_IOASID_FREE: onIoas((call, iommu, ioas) => answer(freeIoas(call, iommu, ioas))),
  IOMMU_MAP_DMA: map,
  IOMMU_UNMAP_DMA: unmap,
  IOMMU_INVALIDATE_CACHE: invalidate,
  IOMMU_READ_FAULT: (call) => readFault(call, call.file!),
  IOMMU_COMPLETE_FAULT: complete,
};

export const JULY_DEVICE_CALLS: Readonly<Record<string, ProposalHandler>> = {
  VFIO_BIND_IOMMU_FD: ofIommu((call, iommu) => {
    const cookie = wideArg(call, 'cookie');
    return cookie === null ? ARGUMENT_BAD : answer(bindDevice(call, call.file!, iommu, hexText(cookie)));
  }),
  VFIO_DEVICE_GET_INFO: (call) => pasidCapability(call, deviceOf(call, call.file!.device)),
  VFIO_ATTACH_IOASID: attachOrDetach(attachDevice),
  VFIO_DETACH_IOASID: attachOrDetach(detachDevice),
};

export const JULY_KVM_CALLS: Readonly<Record<string, ProposalHandler>> = {
  enqcmd: submitWork,
  KVM_ENABLE_CAP: (call) => {
    if (numberArg(call, 'cap') !== CAP_PASID_TRANSLATION) return ARGUMENT_BAD;
    call.file!.translates = true;
    return DONE;
  },
  KVM_MAP_PASID: ofIommu((call, iommu) => {
    const [ioas, guest] = [ioasArg(call), guestArg(call, 'user_pasid')];
    if (ioas === null || guest === null) return ARGUMENT_BAD;
    return call.file!.translates ? mapPasid(call, call.file!, iommu, ioas, guest) : KVM_TRANSLATION_OFF;
  }),
  KVM_UNMAP_PASID: ofIommu((call) => {
    const guest = guestArg(call, 'user_pasid');
    return guest === null ? ARGUMENT_BAD : unmapPasid(call, call.file!, guest);
  }),
  KVM_LOOK_UP_PASID: lookUp,
};
