import { type GuestPasid, type IoasId, isRefused } from '../ioasid/index.ts';
import type { Reason, Refusal } from '../reason.ts';
import {
  addAttachment,
  attachmentsOfDevice,
  devicesOn,
  findAttachment,
  isOn,
  removeAttachment,
} from './attachments.ts';
import { deviceOf, GROUP_EVENT, GROUP_LAST, groupOf, isAttached, moveGroup } from './binding.ts';
import type { ProposalCall } from './call.ts';
import type { DeviceFacts } from './facts.ts';
import { pinMaps, unpinMaps } from './locked-memory.ts';
import { tellOfAttachment, wirePasid } from './pasid-changes.ts';
import {
  ALREADY_ATTACHED,
  DETACH_PARENT,
  DEVICE_INCOMPATIBLE,
  NESTING_ACROSS,
  NOT_BOUND,
  NOT_ON_IOAS,
  PARENT_NOT_ATTACHED,
  SLOT_TAKEN,
  SNOOP_UNENFORCEABLE,
} from './reasons.ts';
import { TABLE_IN_USE } from './reasons-memory.ts';
import { defaultRouting, pasidRouting, type Routing, releaseRouting } from './routing.ts';
import {
  childrenOf,
  completesGroup,
  dropUnheld,
  IOAS_EVENT,
  IOAS_GUARD,
  IOAS_STATE,
  isWhole,
  moveIoas,
} from './spaces.ts';
import type { Attachment, Ioas, ProposalFile } from './state.ts';

/**
 * Attaching a device to an address space: makes that space live behind the device's routing information.
 * Sources: proposals of 2021-05-27 section 3 and 2021-07-09 section 3; RFC of 2021-09-19, 14/20.
 */

/** Attaches the device of `file`, to the default address space or under a PASID of the guest. */
export function attachDevice(
  call: ProposalCall,
  file: ProposalFile,
  iommu: ProposalFile,
  ioas: Ioas,
  guest: GuestPasid | null,
): Refusal {
  const refusal = checkAttach(call, file, iommu, ioas, guest);
  if (refusal !== null) return refusal;
  const device = deviceOf(call, file.device);
  const routing = routingFor(call, iommu, ioas, device, guest);
  if (isRefused(routing)) return routing;
  const attachment: Attachment = { device: device.name, ...routing };
  const taken = takeSlot(call, iommu, ioas, attachment);
  const unpinned = taken ?? pinMaps(call, iommu, ioas, device);
  if (unpinned !== null) {
    if (taken === null) leaveSlot(call, attachment);
    releaseRouting(call, iommu, attachment);
    return unpinned;
  }
  addAttachment(ioas, attachment);
  const group = groupOf(call.state, device);
  if (group !== null) {
    group.attached += 1;
    moveGroup(group, GROUP_EVENT.ATTACH);
  }
  moveIoas(ioas, IOAS_EVENT.ATTACH, isWhole(call, ioas, file.device) ? IOAS_GUARD.whole : 0);
  call.kernel.effects.deviceAttached(iommu.id, file.id, ioas.id, routing.host ?? 0);
  tellOfAttachment(call, 'attach', iommu, ioas, attachment, {}, file.id);
  tellOfMove(call, iommu, attachment, ioas);
  return null;
}

/** A space nested on the default one of a mediated device takes over its PASID, and gives it back. */
function tellOfMove(
  call: ProposalCall,
  iommu: ProposalFile,
  nested: Attachment,
  live: Ioas | undefined,
): void {
  if (live === undefined || wirePasid(nested) !== null) return;
  const below = Object.values(iommu.spaces)
    .flatMap((ioas) => attachmentsOfDevice(ioas, nested.device))
    .find((other) => other.slot === nested.slot && other.host !== null);
  if (below !== undefined) tellOfAttachment(call, 'replace', iommu, live, below);
}

function checkAttach(
  call: ProposalCall,
  file: ProposalFile,
  iommu: ProposalFile,
  ioas: Ioas,
  guest: GuestPasid | null,
): Refusal {
  if (!file.bindings.some((binding) => binding.iommu === iommu.id)) return NOT_BOUND;
  if (findAttachment(ioas, file.device, guest) !== undefined) return ALREADY_ATTACHED;
  const device = deviceOf(call, file.device);
  if (ioas.enforcesSnoop && !device.enforcesSnoop) return SNOOP_UNENFORCEABLE;
  if (!isCompatible(call, ioas, device)) return DEVICE_INCOMPATIBLE;
  if (ioas.parent === null) return null;
  const parent = iommu.spaces[ioas.parent]!;
  if (isOn(parent, file.device)) return null;
  return isAttachedElsewhere(call, file, iommu) ? NESTING_ACROSS : PARENT_NOT_ATTACHED;
}

/** One page table for all devices: what their IOMMUs make of it must be the same. */
function isCompatible(call: ProposalCall, ioas: Ioas, device: DeviceFacts): boolean {
  // September 2021 has its own checks of these, made before.
  if (device.isSoftware || call.generation === 'rfc-2021-09') return true;
  if (ioas.addressWidth > device.addressWidth) return false;
  return devicesOn(ioas).every((name) => {
    const other = deviceOf(call, name);
    if (other.isSoftware) return true;
    // July, 1.5: any device may be attached to an address space that does not enforce snooping.
    const isSameSnoop =
      call.generation === 'proposal-2021-07' || other.enforcesSnoop === device.enforcesSnoop;
    return isSameSnoop && other.pageSizes === device.pageSizes && other.addressWidth === device.addressWidth;
  });
}

function isAttachedElsewhere({ state }: ProposalCall, file: ProposalFile, iommu: ProposalFile): boolean {
  return file.bindings.some(
    (binding) => binding.iommu !== iommu.id && isAttached(file.device, state.files[binding.iommu]!),
  );
}

/** A nested space takes over the routing that its parent has on the device; a PASID makes one of its own. */
function routingFor(
  call: ProposalCall,
  iommu: ProposalFile,
  ioas: Ioas,
  device: DeviceFacts,
  guest: GuestPasid | null,
): Routing | Reason {
  if (guest !== null) return pasidRouting(call, iommu, device, guest);
  const parent = ioas.parent === null ? undefined : iommu.spaces[ioas.parent];
  const below = parent === undefined ? undefined : findAttachment(parent, device.name, null);
  if (below === undefined) return defaultRouting(call, iommu, device);
  // The number below belongs to the parent's attachment.
  return { slot: below.slot, guest: null, host: null, scope: '' };
}

/** One live attachment for each slot; a child may stand on its parent, which stays attached below it. */
function takeSlot(
  call: ProposalCall,
  iommu: ProposalFile,
  ioas: Ioas,
  { device, slot: key, guest }: Attachment,
): Refusal {
  const { state } = call;
  const slot = state.slots[key];
  if (slot === undefined) {
    state.slots[key] = { iommu: iommu.id, device, stack: [ioas.id] };
    return null;
  }
  const isNested = slot.iommu === iommu.id && slot.device === device && slot.stack.at(-1) === ioas.parent;
  if (!isNested || guest !== null) return SLOT_TAKEN;
  slot.stack.push(ioas.id);
  return null;
}

/** Takes the live address space of a slot away; answers the one below it, if there is one. */
function leaveSlot({ state }: ProposalCall, { slot: key }: Attachment): IoasId | undefined {
  const { stack } = state.slots[key]!;
  stack.pop();
  if (stack.length === 0) delete state.slots[key];
  return stack.at(-1);
}

/** Detaches: DMA of the slot goes to the parent again, or is blocked. */
export function detachDevice(
  call: ProposalCall,
  file: ProposalFile,
  iommu: ProposalFile,
  ioas: Ioas,
  guest: GuestPasid | null,
): Refusal {
  const attachment = findAttachment(ioas, file.device, guest);
  if (attachment === undefined) return NOT_ON_IOAS;
  if (guest === null && hasNested(iommu, ioas, file.device)) return DETACH_PARENT;
  if (isTableHeld(call, ioas, file.device)) return TABLE_IN_USE;
  detachAt(call, file, iommu, ioas, attachment);
  return null;
}

/**
 * Whether a table of the user has to be unbound before this goes: nobody could unbind it without a device, or
 * with only a part of a group. July binds the table at allocation, and it goes with the address space.
 */
function isTableHeld(call: ProposalCall, ioas: Ioas, device: string): boolean {
  if (ioas.lifecycle !== IOAS_STATE.bound && ioas.lifecycle !== IOAS_STATE.boundPartial) return false;
  if (ioas.attachmentCount === 1) return true;
  return ioas.devices[device]!.count === 1 && completesGroup(call, ioas, device);
}

/** Whether the device is attached to a space that is nested on this one. */
function hasNested(iommu: ProposalFile, ioas: Ioas, device: string): boolean {
  return childrenOf(iommu, ioas).some((child) => isOn(child, device));
}

function detachAt(
  call: ProposalCall,
  file: ProposalFile,
  iommu: ProposalFile,
  ioas: Ioas,
  attachment: Attachment,
): void {
  const { state, kernel } = call;
  removeAttachment(ioas, attachment);
  const below = leaveSlot(call, attachment);
  const group = groupOf(state, deviceOf(call, file.device));
  if (group !== null) {
    group.attached -= 1;
    moveGroup(group, GROUP_EVENT.DETACH, group.attached === 0 ? GROUP_LAST : 0);
  }
  const isLast = ioas.attachmentCount === 0;
  const whole = isWhole(call, ioas, file.device) ? IOAS_GUARD.whole : 0;
  moveIoas(ioas, IOAS_EVENT.DETACH, whole | (isLast ? IOAS_GUARD.last : 0));
  unpinMaps(call, ioas);
  // The domain goes with the last device, and its mappings with it; in July 2021 they wait for another.
  if (isLast && call.generation !== 'proposal-2021-07') ioas.maps = [];
  kernel.effects.deviceDetached(iommu.id, file.id, ioas.id, attachment.host ?? 0);
  // A number of the guest's own is given back by this alone, and the kernel flushes whatever it detaches.
  const flushes = attachment.host === null;
  tellOfAttachment(call, 'detach', iommu, ioas, attachment, { flushes }, file.id);
  tellOfMove(call, iommu, attachment, iommu.spaces[below ?? -1]);
  if (iommu.faults.length > 0)
    iommu.faults = iommu.faults.filter((fault) => fault.ioas !== ioas.id || fault.device !== file.device);
  releaseRouting(call, iommu, attachment);
  if (isLast) dropUnheld(call, iommu);
}

/** Detaches a device from everything: its descriptor is closed. Children go before their parents. */
export function detachAll(call: ProposalCall, file: ProposalFile, iommu: ProposalFile): void {
  const spaces = Object.values(iommu.spaces).sort((a, b) => depth(iommu, b) - depth(iommu, a));
  for (const ioas of spaces) {
    for (const attachment of attachmentsOfDevice(ioas, file.device)) {
      const isBound = ioas.lifecycle === IOAS_STATE.bound || ioas.lifecycle === IOAS_STATE.boundPartial;
      if (isBound && ioas.attachmentCount === 1) {
        moveIoas(ioas, IOAS_EVENT.UNBIND_TABLE);
        ioas.table = null;
        ioas.kind = 'open';
      }
      detachAt(call, file, iommu, ioas, attachment);
    }
  }
}

function depth(iommu: ProposalFile, ioas: Ioas): number {
  return ioas.parent === null ? 0 : 1 + depth(iommu, iommu.spaces[ioas.parent]!);
}
