import { proposalGroupLifecycle, REFUSED } from '../../../machines/index.ts';
import type { Refusal } from '../reason.ts';
import { isOn } from './attachments.ts';
import type { ProposalCall } from './call.ts';
import { type DeviceFacts, findDevice, isViable } from './facts.ts';
import {
  ALREADY_BOUND,
  COOKIE_TAKEN,
  GROUP_ELSEWHERE,
  GROUP_NOT_VIABLE,
  GROUP_OWNED,
  NO_GROUP,
  UNBIND_ATTACHED,
} from './reasons.ts';
import type { GroupDma, ProposalFile, ProposalState } from './state.ts';

/**
 * Binding a device to a descriptor: it makes the security context, in which all DMA of the device's group is
 * blocked until an address space is attached. Sources: proposal of 2021-07-09, 1.3; RFC of 2021-09-19, 06/20
 * and 07/20.
 */

const { state: STATE, event: EVENT, guard: GUARD } = proposalGroupLifecycle;

/** The device behind a descriptor of kind `device`. */
export function deviceOf({ kernel }: Pick<ProposalCall, 'kernel'>, name: string): DeviceFacts {
  const found = findDevice(kernel.machine, name);
  if (found === undefined) throw new Error(`no device ${name} in the topology`);
  return found;
}

/** Moves a group's DMA by one event; a refusal is our bug, the checks stand before it. */
export function moveGroup(group: GroupDma, event: number, guards = 0): void {
  const next = proposalGroupLifecycle.step(group.lifecycle, event, guards);
  if (next === REFUSED) throw new Error(`a group in state ${group.lifecycle} takes no event ${event}`);
  group.lifecycle = next;
}

/** The state of a device's group; null for a device that no IOMMU sees. */
export function groupOf(state: ProposalState, device: DeviceFacts): GroupDma | null {
  if (device.isSoftware) return null;
  return state.groups[device.group] ?? null;
}

/** Binds the device of `file` to a descriptor of the IOMMU. */
export function bindDevice(
  call: ProposalCall,
  file: ProposalFile,
  iommu: ProposalFile,
  cookie: string,
): Refusal {
  const { state, kernel, generation, pid } = call;
  // A device may be bound to several descriptors in July 2021, to one before and after.
  const isBound =
    generation === 'proposal-2021-07'
      ? file.bindings.some((binding) => binding.iommu === iommu.id)
      : file.bindings.length > 0;
  if (isBound) return ALREADY_BOUND;
  if (cookie !== '' && devicesOf(state, iommu).some((other) => cookieOf(other, iommu) === cookie))
    return COOKIE_TAKEN;
  const device = deviceOf(call, file.device);
  const refusal = takeGroup(call, device, generation === 'proposal-2021-07' ? pid : iommu.id);
  if (refusal !== null) return refusal;
  file.bindings.push({ iommu: iommu.id, cookie });
  kernel.effects.objectCreated(iommu.id, 'binding', file.id);
  return null;
}

/** `iommu_device_init_user_dma`: the first bind blocks the DMA of the whole group. */
function takeGroup({ state, kernel }: ProposalCall, device: DeviceFacts, owner: number): Refusal {
  if (device.isSoftware) return null;
  if (device.group < 0) return NO_GROUP;
  const known = state.groups[device.group];
  if (known !== undefined && known.bound > 0) {
    if (known.owner !== owner) return GROUP_OWNED;
    known.bound += 1;
    moveGroup(known, EVENT.BIND, GUARD.viable);
    return null;
  }
  // The old container has put the group under a domain of its own.
  const isElsewhere = Object.values(state.files).some(
    (file) => file.isLegacy && deviceOf({ kernel }, file.device).group === device.group,
  );
  if (isElsewhere) return GROUP_ELSEWHERE;
  if (!isViable(kernel.machine, device.group)) return GROUP_NOT_VIABLE;
  const group = { lifecycle: proposalGroupLifecycle.initial, owner, bound: 1, attached: 0 };
  moveGroup(group, EVENT.BIND, GUARD.viable);
  state.groups[device.group] = group;
  return null;
}

/** Whether anything of a device is attached through a descriptor. */
export function isAttached(device: string, iommu: ProposalFile): boolean {
  return Object.values(iommu.spaces).some((ioas) => isOn(ioas, device));
}

/** Unbinds; the last device of the group gives it back to the default domain. */
export function unbindDevice(call: ProposalCall, file: ProposalFile, iommu: ProposalFile): Refusal {
  if (isAttached(file.device, iommu)) return UNBIND_ATTACHED;
  file.bindings = file.bindings.filter((binding) => binding.iommu !== iommu.id);
  const group = groupOf(call.state, deviceOf(call, file.device));
  call.kernel.effects.objectDestroyed(iommu.id, 'binding', file.id);
  if (group === null) return null;
  group.bound -= 1;
  moveGroup(group, EVENT.UNBIND, group.bound === 0 ? GUARD.last : 0);
  return null;
}

/** Files of the devices that are bound to a descriptor, in the order in which they were opened. */
export function devicesOf(state: ProposalState, iommu: ProposalFile): ProposalFile[] {
  return Object.values(state.files).filter(({ bindings }) =>
    bindings.some((binding) => binding.iommu === iommu.id),
  );
}

export function cookieOf(file: ProposalFile, iommu: ProposalFile): string {
  return file.bindings.find((binding) => binding.iommu === iommu.id)?.cookie ?? '';
}

/** DMA of a group in words, for people and golden files. */
export function groupState({ lifecycle }: GroupDma): string {
  return Object.entries(STATE).find(([, number]) => number === lifecycle)![0];
}

export const GROUP_EVENT = EVENT;
export const GROUP_LAST = GUARD.last;
