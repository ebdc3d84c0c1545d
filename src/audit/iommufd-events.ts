import type { ReplayWatcher } from '../../replay/index.ts';
import { type Kernel, NO_EFFECTS, type PasidChangeKind } from '../model/index.ts';
import { followCalls } from './call-facts.ts';
import type { PasidEvent, PasidSpace, PasidTarget } from './event.ts';
import { createFaultWatch } from './fault-transfers.ts';
import type { PasidHistory } from './history.ts';
import { findRefusedAttach } from './refused-attach.ts';

/**
 * PASIDs of the merged API: user space picks the number, and holds it from the first attachment to the last
 * detachment. Each function has PASIDs of its own. PASID 0 stands for the requests without one (the RID), and
 * is no PASID here.
 *
 * Detaching invalidates by rule: iommu_detach_device_pasid moves the PASID to the blocking domain, for which
 * the driver clears its entry, invalidates PASID cache, IOTLB and device TLB, and drains page requests
 * (intel_pasid_tear_down_entry). User space never sees a PASID that was detached and not flushed.
 */

export const IOMMUFD = 'iommufd';
const RID = 0;

/** Watches a replay and tells the history what happens to PASIDs. */
export function watchIommufd(kernel: Kernel, history: PasidHistory): ReplayWatcher {
  const calls = followCalls(kernel.profile.name);

  const tell = (
    what: PasidChangeKind,
    context: number,
    device: number,
    pasid: number,
    hwpt: number | null,
    rest: Partial<PasidEvent> = {},
  ): void => {
    if (pasid === RID) return;
    const { space, name } = functionOf(kernel, context, device);
    const ids = { hwpt: hwpt ?? 0, ioas: hwpt === null ? 0 : ioasOf(kernel, context, hwpt) };
    const target: PasidTarget = { function: name, device, ...ids };
    history.apply({ what, generation: IOMMUFD, space, pasid, context, call: calls.facts(), target, ...rest });
  };

  const watchFaults = createFaultWatch(kernel, {
    read: (context, device, pasid) => tell('fault-read', context, device, pasid, null),
    answered: (context, device, pasid, reason) =>
      tell('fault-answer', context, device, pasid, null, { reason }),
  });

  return {
    effects: {
      ...NO_EFFECTS,
      deviceAttached: (context, device, hwpt, pasid) => tell('attach', context, device, pasid, hwpt),
      deviceDetached: (context, device, hwpt, pasid) =>
        tell('detach', context, device, pasid, hwpt, { flushes: true }),
      deviceReplaced(context, device, _, to, pasid) {
        // One device asks, and all that share the slot of its group move with it.
        for (const member of membersOf(kernel, context, device, pasid))
          tell('replace', context, member, pasid, to);
      },
      faultReported: (context, queue, device) =>
        tell('fault', context, device, newestFault(kernel, context, queue), null),
      contextReleased: (context) => history.release(context, IOMMUFD, calls.facts()),
    },
    before: (call) => calls.begin(call),
    after(done) {
      watchFaults(done);
      const refused = findRefusedAttach(kernel, done);
      if (refused !== null) {
        const { context, device, pasid, reason } = refused;
        tell('refuse', context, device, pasid, null, { reason });
      }
      calls.end();
    },
  };
}

/** The function that a device object stands for, which outlives the object. */
function functionOf(kernel: Kernel, context: number, id: number): { space: PasidSpace; name: string } {
  const device = kernel.state.contexts[context]?.objects[id];
  if (device?.type !== 'device') throw new Error(`context ${context} has no device ${id}`);
  const physical = kernel.machine.devices[device.physical];
  // Each mock device is alone in a group, the number of which is never used again.
  const name = physical === undefined ? `mock-${device.group}` : physical.bdf || physical.path;
  // The RID takes one of what the device has.
  const quota = physical?.maxPasids == null ? null : Math.max(0, physical.maxPasids - 1);
  return { space: { kind: 'function', name, quota }, name };
}

/** The address space that a page table translates; a nested one stands on its parent. */
function ioasOf(kernel: Kernel, context: number, id: number): number {
  const hwpt = kernel.state.contexts[context]?.objects[id];
  if (hwpt?.type === 'hwpt-nested') return ioasOf(kernel, context, hwpt.parent);
  return hwpt?.type === 'hwpt-paging' ? hwpt.ioas : 0;
}

function membersOf(kernel: Kernel, context: number, id: number, pasid: number): readonly number[] {
  const state = kernel.state.contexts[context];
  const device = state?.objects[id];
  if (device?.type !== 'device') return [];
  return state?.groups[device.group]?.slots[pasid]?.devices ?? [];
}

function newestFault(kernel: Kernel, context: number, id: number): number {
  const queue = kernel.state.contexts[context]?.objects[id];
  return queue?.type === 'fault' ? (queue.deliver.at(-1)?.faults[0]?.pasid ?? RID) : RID;
}
