import { proposalIoasLifecycle, REFUSED } from '../../../machines/index.ts';
import { type IoasId, ioasId } from '../ioasid/index.ts';
import type { Reason, Refusal } from '../reason.ts';
import { devicesOn, isOn } from './attachments.ts';
import type { ProposalCall } from './call.ts';
import { findDevice, groupMembers } from './facts.ts';
import { FREE_IN_USE, FREE_PARENT, IOAS_UNKNOWN, NOT_ATTACHED, PARTIAL_GROUP } from './reasons.ts';
import type { Ioas, ProposalFile } from './state.ts';

/** Address spaces of one descriptor: numbers, parents, and when they take commands. */

const { state: STATE, event: EVENT, guard: GUARD } = proposalIoasLifecycle;

export const IOAS_STATE = STATE;
export const IOAS_EVENT = EVENT;
export const IOAS_GUARD = GUARD;

/** Makes an address space under the lowest free number of its descriptor, from `first` on. */
export function createIoas(
  { kernel }: ProposalCall,
  iommu: ProposalFile,
  fields: Pick<Ioas, 'parent' | 'kind' | 'table' | 'enforcesSnoop' | 'addressWidth'>,
  first = 0,
): Ioas {
  let id = first;
  while (iommu.spaces[id] !== undefined) id += 1;
  iommu.spaces[id] = {
    id: ioasId(id),
    lifecycle: proposalIoasLifecycle.initial,
    ...fields,
    maps: [],
    devices: {},
    attachmentCount: 0,
  };
  kernel.effects.objectCreated(iommu.id, 'ioasid', id);
  return iommu.spaces[id]!;
}

export function findIoas(iommu: ProposalFile, id: IoasId | null): Ioas | Reason {
  return (id === null ? undefined : iommu.spaces[id]) ?? IOAS_UNKNOWN;
}

/** Address spaces that are nested on another. */
export function childrenOf(iommu: ProposalFile, parent: Ioas): Ioas[] {
  return Object.values(iommu.spaces).filter((ioas) => ioas.parent === parent.id);
}

/**
 * The last descriptor is closed, which held an address space by its number: those that no device is attached
 * to go at once, the others with their last device. A parent stays for its children.
 */
export function dropUnheld(call: ProposalCall, iommu: ProposalFile): void {
  if (iommu.refs > 0) return;
  // Children go before their parents; a parent may have the higher number where a number was used again.
  for (let found = true; found; ) {
    found = false;
    for (const ioas of Object.values(iommu.spaces)) if (freeIoas(call, iommu, ioas) === null) found = true;
  }
}

export function freeIoas({ kernel }: ProposalCall, iommu: ProposalFile, ioas: Ioas): Refusal {
  if (ioas.attachmentCount > 0) return FREE_IN_USE;
  if (childrenOf(iommu, ioas).length > 0) return FREE_PARENT;
  moveIoas(ioas, EVENT.FREE);
  delete iommu.spaces[ioas.id];
  kernel.effects.objectDestroyed(iommu.id, 'ioasid', ioas.id);
  return null;
}

/** Whether the address space takes commands now: attached, and (May) with its groups complete. */
export function requireLive(ioas: Ioas): Refusal {
  const { lifecycle } = ioas;
  if (lifecycle === STATE.partial || lifecycle === STATE.boundPartial) return PARTIAL_GROUP;
  return lifecycle === STATE.allocated ? NOT_ATTACHED : null;
}

/**
 * Whether every group of which a device is attached is attached with all its devices; `changed` is the device
 * that came or went, and the only one to look at where all were whole before. Only May 2021 asks; a device
 * mediated by software has no group.
 */
export function isWhole(call: ProposalCall, ioas: Ioas, changed: string): boolean {
  if (call.generation !== 'proposal-2021-05') return true;
  const { lifecycle } = ioas;
  const isRest = lifecycle === STATE.live || lifecycle === STATE.bound;
  const names = isRest ? [changed] : devicesOn(ioas);
  return names.every((name) => hasAllOrNone(call, ioas, name));
}

/** Whether a device that is attached completes its group, in May 2021: its leaving would make it partial. */
export function completesGroup(call: ProposalCall, ioas: Ioas, name: string): boolean {
  const { isSoftware, group } = findDevice(call.kernel.machine, name)!;
  if (isSoftware || call.generation !== 'proposal-2021-05') return false;
  return groupMembers(call.kernel.machine, group).length > 1 && hasAllOrNone(call, ioas, name);
}

/** Whether all devices of a device's group are attached, or none any more. */
function hasAllOrNone({ kernel }: ProposalCall, ioas: Ioas, name: string): boolean {
  const { isSoftware, group } = findDevice(kernel.machine, name)!;
  if (isSoftware) return true;
  const members = groupMembers(kernel.machine, group);
  const isFirst = isOn(ioas, members[0]!.name);
  return members.every((member) => isOn(ioas, member.name) === isFirst);
}

/** Steps the lifecycle; a refusal is our bug, the checks stand before it. */
export function moveIoas(ioas: Ioas, event: number, guards = 0): void {
  const next = proposalIoasLifecycle.step(ioas.lifecycle, event, guards);
  if (next === REFUSED) throw new Error(`address space ${ioas.id} takes no event ${event}`);
  ioas.lifecycle = next;
}

/** The address spaces from this one down to its root. */
export function chainOf(iommu: ProposalFile, ioas: Ioas): Ioas[] {
  const chain = [ioas];
  for (let at = ioas.parent; at !== null; at = chain.at(-1)!.parent) chain.push(iommu.spaces[at]!);
  return chain;
}
