import type { Context, EffectSink, Kernel } from '../../../src/model/index.ts';
import { type Journal, type JournalFact, note } from '../journal.ts';

/**
 * Changes of the domain of whole groups, one event for each device: iommu.c
 * __iommu_group_set_domain_internal. A group is in the kernel's own domain until somebody claims it, in a
 * blocking one while nothing is attached, and in that of its HWPT otherwise. PASIDs tell nothing.
 */

export interface Attachments {
  readonly journal: Journal;
  /** Groups whose DMA somebody owns. */
  readonly claimed: Set<number>;
  /** Domain of a classic container that a group is attached to, by group. */
  readonly type1: Map<number, string>;
  /** Groups of the devices that are bound, by context and object. */
  readonly bound: Map<string, number>;
  /** Where in the journal the last device of a group was unbound by the call, by group. */
  readonly unbound: Map<number, number>;
}

export function createAttachments(journal: Journal): Attachments {
  return { journal, claimed: new Set(), type1: new Map(), bound: new Map(), unbound: new Map() };
}

/** Tells both the history and the attachments. */
export function attachSink(attachments: Attachments, kernel: Kernel, base: EffectSink): EffectSink {
  return {
    ...base,
    objectCreated(context, type, id) {
      base.objectCreated(context, type, id);
      const object = kernel.state.contexts[context]?.objects[id];
      if (object?.type === 'device') attachments.bound.set(`${context}:${id}`, object.group);
    },
    objectDestroyed(context, type, id) {
      base.objectDestroyed(context, type, id);
      const group = attachments.bound.get(`${context}:${id}`);
      if (type === 'device' && group !== undefined)
        attachments.unbound.set(group, attachments.journal.ops.length);
    },
    deviceAttached(context, device, hwpt, pasid) {
      base.deviceAttached(context, device, hwpt, pasid);
      // The domain is filled once its device is attached.
      const slot = slotAt(kernel, context, device, pasid);
      if (slot?.slot?.devices.length === 1) insert(attachments, kernel, slot.group, ['map']);
    },
    deviceReplaced(context, device, from, to, pasid) {
      base.deviceReplaced(context, device, from, to, pasid);
      // What is replaced goes, and is emptied, last.
      const slot = slotAt(kernel, context, device, pasid);
      if (slot !== null && from !== to) insert(attachments, kernel, slot.group, ['unmap']);
    },
    deviceDetached(context, device, hwpt, pasid) {
      base.deviceDetached(context, device, hwpt, pasid);
      const slot = slotAt(kernel, context, device, pasid);
      if (slot !== null && slot.slot === undefined) insert(attachments, kernel, slot.group, []);
    },
  };
}

function slotAt(kernel: Kernel, contextId: number, deviceId: number, pasid: number) {
  const context: Context | undefined = kernel.state.contexts[contextId];
  const device = context?.objects[deviceId];
  if (context === undefined || device?.type !== 'device' || pasid !== 0) return null;
  return { group: device.group, slot: context.groups[device.group]?.slots[pasid] };
}

/** Before the first op of these kinds that the call has caused so far. */
function insert(
  { journal }: Attachments,
  kernel: Kernel,
  group: number,
  before: readonly JournalFact['op'][],
): void {
  const { ops, start } = journal;
  const fact = attachOf(kernel, group, 1);
  const at = ops.findIndex(({ op }, place) => place >= start && before.includes(op));
  if (at < 0) note(journal, fact);
  else ops.splice(at, 0, { ...fact, seq: 0 });
}

function attachOf({ machine }: Kernel, group: number, times: number): JournalFact {
  const devices = machine.devices.filter((device) => device.group === group).map(({ index }) => index);
  return { op: 'attach', devices, times };
}

/** After each call: groups are claimed before anything else that it does, and released by unbinding. */
export function noteOwners(attachments: Attachments, kernel: Kernel): void {
  const { journal, claimed } = attachments;
  const { owners, containers } = kernel.state.vfio;
  noteType1(attachments, kernel, Object.values(containers));
  for (const group of [...claimed]) {
    if (owners[group] !== undefined) continue;
    claimed.delete(group);
    const at = attachments.unbound.get(group) ?? journal.ops.length;
    journal.ops.splice(at, 0, { ...attachOf(kernel, group, 1), seq: 0 });
  }
  attachments.unbound.clear();
  for (const key of Object.keys(owners)) {
    const group = Number(key);
    if (claimed.has(group)) continue;
    claimed.add(group);
    journal.ops.splice(journal.start, 0, { ...attachOf(kernel, group, 1), seq: 0 });
  }
}

type Type1Container = Kernel['state']['vfio']['containers'][number];

/**
 * `vfio_iommu_type1_attach_group` makes a domain and attaches the group to it; if there is a like one
 * already, the group leaves the new one and goes there.
 */
function noteType1(
  { journal, type1 }: Attachments,
  kernel: Kernel,
  containers: readonly Type1Container[],
): void {
  const now = new Map<number, string>();
  for (const { key, iommu } of containers) {
    for (const { kind, groups } of iommu?.domains ?? []) {
      for (const group of groups) now.set(group, `${key}:${kind}`);
    }
  }
  for (const group of [...type1.keys()]) {
    if (now.has(group)) continue;
    type1.delete(group);
    journal.ops.splice(journal.start, 0, { ...attachOf(kernel, group, 1), seq: 0 });
  }
  for (const [group, domain] of now) {
    if (type1.has(group)) continue;
    const isShared = [...type1.values()].includes(domain);
    type1.set(group, domain);
    note(journal, attachOf(kernel, group, isShared ? 3 : 1));
  }
}
