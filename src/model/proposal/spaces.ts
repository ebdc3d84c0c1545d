import { proposalIoasLifecycle, REFUSED } from '../../../machines/index.ts';
import { type IoasId, ioasId } from '../ioasid/index.ts';
import type { Reason, Refusal } from '../reason.ts';
import type { ProposalCall } from './call.ts';
import { findDevice, groupMembers } from './facts.ts';
import { FREE_IN_USE, FREE_PARENT, IOAS_UNKNOWN, NOT_ATTACHED, PARTIAL_GROUP } from './reasons.ts';
import type { Ioas, ProposalFile } from './state.ts';

/** Address spaces of one descriptor: numbers, parents, and when they take commands. */

const { state: STATE, event: EVENT, guard: GUARD } = proposalIoasLifecycle;

export const IOAS_STATE = STATE;
export const IOAS_EVENT = EVENT;
export const IOAS_GUARD = GUARD;

/** Makes an address space under the lowest free number of its descriptor. */
export function createIoas(
  { kernel }: ProposalCall,
  iommu: ProposalFile,
  fields: Pick<Ioas, 'parent' | 'kind' | 'table' | 'enforcesSnoop' | 'addressWidth'>,
): Ioas {
  let id = 0;
  while (iommu.spaces[id] !== undefined) id += 1;
  iommu.spaces[id] = {
    id: ioasId(id),
    lifecycle: proposalIoasLifecycle.initial,
    ...fields,
    maps: [],
    attachments: [],
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

export function freeIoas({ kernel }: ProposalCall, iommu: ProposalFile, ioas: Ioas): Refusal {
  if (ioas.attachments.length > 0) return FREE_IN_USE;
  if (childrenOf(iommu, ioas).length > 0) return FREE_PARENT;
  moveIoas(ioas, EVENT.FREE);
  delete iommu.spaces[ioas.id];
  kernel.effects.objectDestroyed(iommu.id, 'ioasid', ioas.id);
  return null;
}

/** Whether the address space takes commands now: attached, and (May) with its groups complete. */
export function requireLive(ioas: Ioas): Refusal {
  if (ioas.lifecycle === STATE.partial) return PARTIAL_GROUP;
  return ioas.lifecycle === STATE.allocated ? NOT_ATTACHED : null;
}

/**
 * Whether every group of which a device is attached is attached with all its devices. Only May 2021 asks; a
 * device mediated by software has no group.
 */
export function isWhole({ kernel, generation }: ProposalCall, ioas: Ioas): boolean {
  if (generation !== 'proposal-2021-05') return true;
  const names = devicesOn(ioas);
  return names.every((name) => {
    const { isSoftware, group } = findDevice(kernel.machine, name)!;
    return isSoftware || groupMembers(kernel.machine, group).every((member) => names.includes(member.name));
  });
}

/** Names of the devices that are attached, each once; there may be many attachments of few devices. */
export function devicesOn({ attachments }: Ioas): readonly string[] {
  const names: string[] = [];
  for (const { device } of attachments) if (!names.includes(device)) names.push(device);
  return names;
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
