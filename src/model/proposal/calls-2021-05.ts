import { isRefused } from '../ioasid/index.ts';
import type { Reason } from '../reason.ts';
import { attachDevice, detachDevice } from './attach.ts';
import { attachmentsOf, devicesOn } from './attachments.ts';
import { bindDevice, deviceOf, unbindDevice } from './binding.ts';
import {
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
import { policyOf, tableFormats } from './facts.ts';
import { completeFault, readFault } from './faults.ts';
import { iommuFileAt } from './files.ts';
import { answer, onIoas } from './handlers.ts';
import { mapPasid, submitWork, unmapPasid } from './kvm.ts';
import { mapArguments, mapRange, registerMemory, UNMAP_ALL, unmapRange, unregisterMemory } from './maps.ts';
import { tellOfAttachment } from './pasid-changes.ts';
import { ARGUMENT_BAD, NOT_BOUND, NOT_IOMMU_FD } from './reasons.ts';
import { TABLE_BOUND, TABLE_UNBOUND } from './reasons-memory.ts';
import { tellRefusedAttach } from './routing.ts';
import { childrenOf, createIoas, findIoas, freeIoas, requireLive } from './spaces.ts';
import type { Ioas, ProposalFile } from './state.ts';
import { bindTable, type TableKind, unbindTable } from './tables.ts';

/** The calls of the proposal of 2021-05-27: /dev/ioasid. No binary layout was ever published. */

/** One that is refused until devices are attached, with all devices of their groups. */
function onLive(
  run: (call: ProposalCall, iommu: ProposalFile, ioas: Ioas) => ProposalAnswer,
): ProposalHandler {
  return onIoas((call, iommu, ioas) => requireLive(ioas) ?? run(call, iommu, ioas));
}

/** What the descriptor as a whole can do; the others are told by GET_INFO. */
const EXTENSIONS: ReadonlySet<string> = new Set(['EXT_MEMORY_REGISTRATION']);

export const map = onLive((call, iommu, ioas) => {
  if (ioas.table !== null) return TABLE_BOUND;
  const request = mapArguments(call);
  return request === null ? ARGUMENT_BAD : answer(mapRange(call, iommu, ioas, request));
});

export const unmap = onLive((call, _, ioas) => {
  if (ioas.table !== null) return TABLE_BOUND;
  const [iova, size] = [wideArg(call, 'iova'), wideArg(call, 'size')];
  if (iova === null || size === null) return ARGUMENT_BAD;
  const done = unmapRange(call, ioas, iova, size, flagArg(call, 'all') ? UNMAP_ALL : 0);
  return isRefused(done) ? done : { ret: 0, out: { size: hexText(done.bytes) } };
});

const bind = (kind: TableKind): ProposalHandler =>
  onLive((call, _, ioas) => answer(bindTable(call, ioas, kind)));

const unbind = (kind: TableKind): ProposalHandler =>
  onLive((call, iommu, ioas) => {
    const done = unbindTable(call, iommu, ioas, kind);
    return isRefused(done) ? done : { ret: 0, out: { faults_answered: done.answered } };
  });

/** Page sizes, reserved ranges, ways to nest: known once a device is attached. */
const getInfo = onLive((call, iommu, ioas) => {
  const devices = devicesOn(ioas).map((device) => deviceOf(call, device));
  const hasHardware = devices.every(({ hasHardwareNesting }) => hasHardwareNesting);
  const { platform } = policyOf(call.kernel.machine);
  return {
    ret: 0,
    out: {
      type1_map: ioas.table === null,
      pgtable_binding: hasHardware,
      pasid_table_binding: platform === 'smmuv3' || platform === 'amd',
      nesting: hasHardware ? 'hardware' : 'software',
      formats: hasHardware ? tableFormats(call) : [],
      page_sizes: devices[0]!.pageSizes,
      reserved: devices.flatMap(({ reserved }) => reserved.map(([a, b]) => [hexText(a), hexText(b)])),
      children: childrenOf(iommu, ioas).length,
    },
  };
});

/** Which caches the granularity reaches depends on what the address space is: no cache type is named. */
const invalidate = onLive((call, iommu, ioas) => {
  const granularity = textArg(call, 'granularity');
  if (granularity !== 'all' && granularity !== 'range') return ARGUMENT_BAD;
  if (ioas.table === null) return TABLE_UNBOUND;
  for (const attachment of attachmentsOf(ioas)) tellOfAttachment(call, 'flush', iommu, ioas, attachment);
  return { ret: 0, out: { caches: ioas.kind === 'pasid-table' ? ['pasid'] : ['iotlb', 'devtlb'] } };
});

/** The descriptor that a device is bound to: there is one in May 2021. */
export function boundTo({ state, file }: ProposalCall): ProposalFile | Reason {
  const [binding] = file!.bindings;
  return binding === undefined ? NOT_BOUND : state.files[binding.iommu]!;
}

/** The guest's PASID where the flag says that there is one; undefined when it is missing then. */
function routingArg(call: ProposalCall, flag: string, name: string) {
  return flagArg(call, flag) ? (guestArg(call, name) ?? undefined) : null;
}

const attachOrDetach =
  (run: typeof attachDevice): ProposalHandler =>
  (call) => {
    const iommu = boundTo(call);
    if (isRefused(iommu)) return iommu;
    const ioas = findIoas(iommu, ioasArg(call));
    if (isRefused(ioas)) return ioas;
    const guest = routingArg(call, 'user_pasid_flag', 'user_pasid');
    if (guest === undefined) return ARGUMENT_BAD;
    const refusal = run(call, call.file!, iommu, ioas, guest);
    if (refusal !== null && run === attachDevice) tellRefusedAttach(call, iommu, ioas, guest, refusal);
    return answer(refusal);
  };

const kvmPasid =
  (run: (call: ProposalCall, iommu: ProposalFile) => ProposalAnswer): ProposalHandler =>
  (call) => {
    const iommu = iommuFileAt(call.state, call.pid, numberArg(call, 'ioasid_fd'));
    return iommu === null ? NOT_IOMMU_FD : run(call, iommu);
  };

export const MAY_IOMMU_CALLS: Readonly<Record<string, ProposalHandler>> = {
  IOASID_CHECK_EXTENSION: (call) => ({ ret: EXTENSIONS.has(textArg(call, 'extension') ?? '') ? 1 : 0 }),
  IOASID_REGISTER_MEMORY: (call) => answer(registerMemory(call, call.file!)),
  IOASID_UNREGISTER_MEMORY: (call) => answer(unregisterMemory(call, call.file!)),
  IOASID_ALLOC: (call) => {
    const root = {
      parent: null,
      kind: 'kernel',
      table: null,
      enforcesSnoop: false,
      addressWidth: 0,
    } as const;
    return { ret: createIoas(call, call.file!, root).id };
  },
  IOASID_FREE: onIoas((call, iommu, ioas) => answer(freeIoas(call, iommu, ioas))),
  IOASID_GET_INFO: getInfo,
  IOASID_MAP_DMA: map,
  IOASID_UNMAP_DMA: unmap,
  IOASID_CREATE_NESTING: onIoas((call, iommu, parent) => {
    const child = {
      parent: parent.id,
      kind: 'open',
      table: null,
      enforcesSnoop: false,
      addressWidth: 0,
    } as const;
    return { ret: createIoas(call, iommu, child).id };
  }, 'parent_ioasid'),
  IOASID_BIND_PGTABLE: bind('user-table'),
  IOASID_UNBIND_PGTABLE: unbind('user-table'),
  IOASID_BIND_PASID_TABLE: bind('pasid-table'),
  IOASID_UNBIND_PASID_TABLE: unbind('pasid-table'),
  IOASID_INVALIDATE_CACHE: invalidate,
  IOASID_READ_FAULT: (call) => readFault(call, call.file!),
  IOASID_COMPLETE_FAULT: onIoas((call, iommu, ioas) => completeFault(call, iommu, ioas, null)),
};

export const MAY_DEVICE_CALLS: Readonly<Record<string, ProposalHandler>> = {
  VFIO_BIND_IOASID_FD: (call) => {
    const iommu = iommuFileAt(call.state, call.pid, numberArg(call, 'ioasid_fd'));
    return iommu === null ? NOT_IOMMU_FD : answer(bindDevice(call, call.file!, iommu, ''));
  },
  VFIO_UNBIND_IOASID_FD: (call) => {
    const iommu = boundTo(call);
    return isRefused(iommu) ? iommu : answer(unbindDevice(call, call.file!, iommu));
  },
  VFIO_ATTACH_IOASID: attachOrDetach(attachDevice),
  VFIO_DETACH_IOASID: attachOrDetach(detachDevice),
};

export const MAY_KVM_CALLS: Readonly<Record<string, ProposalHandler>> = {
  enqcmd: submitWork,
  KVM_MAP_PASID: kvmPasid((call, iommu) => {
    const [ioas, guest] = [ioasArg(call), guestArg(call, 'user_pasid')];
    return ioas === null || guest === null ? ARGUMENT_BAD : mapPasid(call, call.file!, iommu, ioas, guest);
  }),
  KVM_UNMAP_PASID: kvmPasid((call) => {
    const guest = guestArg(call, 'user_pasid');
    return guest === null ? ARGUMENT_BAD : unmapPasid(call, call.file!, guest);
  }),
};
