import {
  allocIoasid,
  allocSet,
  attachSpid,
  detachSpid,
  findBySpid,
  flushNumber,
  freeIoasid,
  functionSpace,
  type GuestPasid,
  getIoasid,
  type HostPasid,
  isRefused,
  PASID_COUNT,
  putIoasid,
  RESERVED_PASID,
  SYSTEM,
  spaceFor,
} from '../ioasid/index.ts';
import type { Reason, Refusal } from '../reason.ts';
import { attachmentsOf } from './attachments.ts';
import { deviceOf } from './binding.ts';
import { coreOf, type ProposalCall } from './call.ts';
import { type DeviceFacts, pasidUser, policyOf } from './facts.ts';
import { tellRefused } from './pasid-changes.ts';
import { ENQCMD_MIXED, NO_PASID, PASID_EXHAUSTED, PASID_RANGE, PASID_TAKEN } from './reasons.ts';
import type { Attachment, Ioas, ProposalFile } from './state.ts';

/**
 * Routing information: what the hardware picks an address space by. The device's driver gives it, never the
 * caller: a guest's PASID is used as it is, or translated. Source: proposal of 2021-05-27, section 4.
 */

/** A set of a descriptor may have all PASIDs of its functions. */
const SET_QUOTA = 0x1000;
const SET_TYPE_NULL = 1;

export interface Routing {
  readonly slot: string;
  readonly guest: GuestPasid | null;
  readonly host: HostPasid | null;
  readonly scope: string;
}

/** Requests without a PASID; a mediated device's default address space has a PASID of its own. */
export function defaultRouting(
  call: ProposalCall,
  iommu: ProposalFile,
  device: DeviceFacts,
): Routing | Reason {
  if (device.isSoftware) return { slot: `software ${device.name}`, guest: null, host: null, scope: '' };
  if (!device.isMediated) return { slot: device.functionName, guest: null, host: null, scope: '' };
  // The default PASID of a mediated device: hidden from the user, from the same numbers as the others.
  const scope = policyOf(call.kernel.machine).scopeOf(pasidUser(call.kernel.machine, device));
  if (scope.owner === 'none') return NO_PASID;
  const host = allocate(call, iommu, scope.space);
  if (isRefused(host)) return host;
  return { slot: `${device.functionName}/${host}`, guest: null, host, scope: scope.space };
}

/** Requests with a PASID that the guest chose. */
export function pasidRouting(
  call: ProposalCall,
  iommu: ProposalFile,
  device: DeviceFacts,
  guest: GuestPasid,
): Routing | Reason {
  const scope = policyOf(call.kernel.machine).scopeOf(pasidUser(call.kernel.machine, device));
  if (!device.hasPasid || device.isSoftware || scope.owner === 'none') return NO_PASID;
  if (guest === RESERVED_PASID || guest >= PASID_COUNT) return PASID_RANGE;
  const mixed = checkMix(call, iommu, device);
  if (mixed !== null) return mixed;
  if (scope.owner === 'guest-table') {
    // Only tracked: the guest writes its own table, and the host has no number for it.
    return { slot: `${device.functionName}/guest ${guest}`, guest, host: null, scope: '' };
  }
  const isIdentical = scope.owner === 'guest-told' || !device.translates;
  const host = isIdentical
    ? takeExactly(call, iommu, scope.space, guest)
    : shareOrAllocate(call, iommu, scope.space, guest);
  if (isRefused(host)) return host;
  return { slot: `${device.functionName}/${host}`, guest, host, scope: scope.space };
}

/** An attachment that was refused: the number that it would have had is known where nothing translates. */
export function tellRefusedAttach(
  call: ProposalCall,
  iommu: ProposalFile,
  ioas: Ioas,
  guest: GuestPasid | null,
  refusal: Reason,
): void {
  if (guest === null) return;
  const device = deviceOf(call, call.file!.device);
  const scope = policyOf(call.kernel.machine).scopeOf(pasidUser(call.kernel.machine, device));
  const isTranslated = scope.owner === 'host' && device.translates;
  tellRefused(
    call,
    {
      scope: scope.owner === 'none' ? functionSpace(device.functionName) : scope.space,
      pasid: isTranslated ? 0 : guest,
      vpasid: guest,
      context: iommu.id,
      set: iommu.set,
      target: { device: device.name, file: call.file!.id, ioas: ioas.id },
    },
    refusal,
  );
}

/** Gives back what the routing of an attachment has allocated. The kernel has flushed it by then. */
export function releaseRouting(
  call: ProposalCall,
  iommu: ProposalFile,
  { host, scope, guest }: Attachment,
): void {
  if (host === null) return;
  const core = coreOf(call, iommu.id);
  const { refs, set } = spaceFor(core.core, scope).ids[host]!;
  if (refs > 1) {
    putIoasid(core, set, host, scope);
    return;
  }
  noteStaleTranslations(call, iommu, host);
  detachSpid(core, host, scope);
  flushNumber(core, host, scope);
  freeIoasid(core, set, host, scope);
  if (core.core.sets[set] === undefined) iommu.set = 0;
  call.kernel.effects.objectDestroyed(iommu.id, guest === null ? 'default-pasid' : 'pasid', host);
}

/** The CPU of a VM would go on sending a PASID that is free for the next owner. */
function noteStaleTranslations({ state, seq }: ProposalCall, iommu: ProposalFile, host: HostPasid): void {
  for (const key in state.files) {
    const { id, kind, translations } = state.files[key]!;
    if (kind !== 'kvm') continue;
    for (const [guest, translation] of Object.entries(translations)) {
      if (translation.iommu !== iommu.id || translation.host !== host) continue;
      const says = `PASID ${host} is freed while the CPU of VM ${id} still translates ${guest} to it`;
      state.findings.push({ id: 'kvm-translation-stale', seq, says });
    }
  }
}

/** The set of the descriptor, made when it needs its first PASID; it dies with its last one. */
function setOf(call: ProposalCall, iommu: ProposalFile): number | Reason {
  if (iommu.set !== 0) return iommu.set;
  const set = allocSet(call.state.core, 0, SET_QUOTA, SET_TYPE_NULL);
  if (isRefused(set)) return PASID_EXHAUSTED;
  iommu.set = set;
  return set;
}

function allocate(
  call: ProposalCall,
  iommu: ProposalFile,
  scope: string,
  min = RESERVED_PASID + 1,
  max = PASID_COUNT - 1,
): HostPasid | Reason {
  const set = setOf(call, iommu);
  if (isRefused(set)) return set;
  const host = allocIoasid(coreOf(call, iommu.id), set, min, max, null, scope);
  if (isRefused(host)) return min === max ? PASID_TAKEN : PASID_EXHAUSTED;
  call.kernel.effects.objectCreated(iommu.id, 'pasid', host);
  return host;
}

/** The guest's number is the one on the wire. */
function takeExactly(
  call: ProposalCall,
  iommu: ProposalFile,
  scope: string,
  guest: GuestPasid,
): HostPasid | Reason {
  return allocate(call, iommu, scope, guest, guest);
}

/**
 * A host number for a guest's one. In the scope of the system the CPU's table is one per VM, so that the
 * guest's number has to mean the same on every device of the descriptor.
 */
function shareOrAllocate(
  call: ProposalCall,
  iommu: ProposalFile,
  scope: string,
  guest: GuestPasid,
): HostPasid | Reason {
  const core = coreOf(call, iommu.id);
  if (scope === SYSTEM && iommu.set !== 0) {
    const known = findBySpid(core, iommu.set, guest, false);
    if (known !== null) {
      const got = getIoasid(core, iommu.set, known, scope);
      return isRefused(got) ? got : known;
    }
  }
  const host = allocate(call, iommu, scope);
  // The numbers of one function are translated by each device's driver, those of the system by the set.
  if (!isRefused(host) && scope === SYSTEM) attachSpid(core, host, guest, scope);
  return host;
}

/** A function with ENQCMD as a whole, and a mediated device with it, exclude each other in one VM. */
function checkMix(call: ProposalCall, iommu: ProposalFile, device: DeviceFacts): Refusal {
  if (!device.isShared) return null;
  const others = Object.values(iommu.spaces)
    .flatMap(attachmentsOf)
    .filter(({ guest }) => guest !== null)
    .map((attachment) => deviceOf(call, attachment.device));
  const isMixed = others.some((other) => other.isShared && other.isMediated !== device.isMediated);
  return isMixed ? ENQCMD_MIXED : null;
}
