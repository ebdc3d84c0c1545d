import { attachmentSlotLifecycle, REFUSED } from '../../machines/index.ts';
import { moved } from './objects.ts';
import { type Refusal, reason } from './reason.ts';
import type { Context, Device, Group, HwptNested, HwptPaging, Slot } from './state.ts';

/** Attachment slots of a group: one for the RIDs, one for each PASID in use. device.c of iommufd. */

export type Hwpt = HwptPaging | HwptNested;

/** IOMMU_NO_PASID: the slot of the RIDs. */
export const RID = 0;

const ALREADY_ATTACHED = reason(
  'device-already-attached',
  'EBUSY',
  'device.c iommufd_hw_pagetable_attach',
  'the device holds this slot already; replacing is another operation',
);
const SLOT_HELD = reason(
  'group-attached-elsewhere',
  'EINVAL',
  'device.c iommufd_hw_pagetable_attach',
  'the group of the device is attached to another hardware page table',
);
const NOT_ATTACHED = reason(
  'replace-not-attached',
  'EINVAL',
  'device.c iommufd_device_do_replace',
  'replace needs a device that is attached',
);
export const PASID_INCOMPATIBLE = reason(
  'hwpt-not-pasid-compatible',
  'EINVAL',
  'device.c iommufd_hwpt_pasid_compat',
  'a group uses PASIDs only while all its hardware page tables were allocated with the PASID flag',
);

export function groupOf(context: Context, device: Device): Group {
  const group = context.groups[device.group];
  if (group === undefined) throw new Error(`device ${device.id} has no group ${device.group}`);
  return group;
}

/** The slot of a PASID if it is held. */
export function slotOf(context: Context, device: Device, pasid: number): Slot | undefined {
  return groupOf(context, device).slots[pasid];
}

/** HWPT that a slot of the device's group holds; 0 when none. */
export function hwptAt(context: Context, device: Device, pasid: number): number {
  return slotOf(context, device, pasid)?.hwpt ?? 0;
}

/** Whether the device holds any slot. */
export function holdsSlot(context: Context, device: Device): boolean {
  const { slots } = groupOf(context, device);
  // Most devices that hold one hold that of the RID: hundreds of PASIDs are not gone through then.
  if (slots[RID]?.devices.includes(device.id)) return true;
  return Object.values(slots).some((slot) => slot.devices.includes(device.id));
}

/** State of a slot after an attach or replace, or REFUSED. */
export function stepSlot(
  context: Context,
  device: Device,
  pasid: number,
  hwptId: number,
  compatible: boolean,
  replace: boolean,
): number {
  const { event, guard, initial } = attachmentSlotLifecycle;
  const slot = slotOf(context, device, pasid);
  const member = slot?.devices.includes(device.id) ? guard.member : 0;
  const same = hwptId !== 0 && slot?.hwpt === hwptId ? guard.sameHwpt : 0;
  return attachmentSlotLifecycle.step(
    slot?.lifecycle ?? initial,
    replace ? event.REPLACE : event.ATTACH,
    member | same | (compatible ? guard.compatible : 0),
  );
}

/**
 * Whether the slot's holders let the device change to a HWPT; `hwptId` is 0 for one that does not exist yet.
 */
export function refuseHolder(
  context: Context,
  device: Device,
  pasid: number,
  hwptId: number,
  replace: boolean,
): Refusal {
  if (stepSlot(context, device, pasid, hwptId, true, replace) !== REFUSED) return null;
  const member = slotOf(context, device, pasid)?.devices.includes(device.id) === true;
  if (replace) return NOT_ATTACHED;
  return member ? ALREADY_ATTACHED : SLOT_HELD;
}

/** `iommufd_hwpt_pasid_compat`. */
export function isPasidCompatible(
  context: Context,
  device: Device,
  pasid: number,
  pasidCompatible: boolean,
): boolean {
  if (pasidCompatible) {
    const rid = context.objects[hwptAt(context, device, RID)] as Hwpt | undefined;
    return pasid === RID || rid === undefined || rid.pasidCompatible;
  }
  if (pasid !== RID) return false;
  return Object.keys(groupOf(context, device).slots).every((key) => Number(key) === RID);
}

/** Books the device in the slot, which an attachment of its group's first device creates. */
export function takeSlot(
  context: Context,
  device: Device,
  pasid: number,
  hwpt: Hwpt,
  lifecycle: number,
): void {
  const group = groupOf(context, device);
  const held = group.slots[pasid];
  if (held !== undefined) {
    held.lifecycle = moved(lifecycle, 'joining a slot');
    held.devices.push(device.id);
    return;
  }
  group.handles += 1;
  group.slots[pasid] = {
    lifecycle: moved(lifecycle, 'attaching a group'),
    hwpt: hwpt.id,
    devices: [device.id],
    handle: group.handles,
  };
}

/** Takes the device out of the slot; the slot is free with its last one. */
export function leaveSlot(context: Context, device: Device, pasid: number, slot: Slot): void {
  const { guard, event } = attachmentSlotLifecycle;
  const last = slot.devices.length === 1 ? guard.last : 0;
  slot.lifecycle = moved(
    attachmentSlotLifecycle.step(slot.lifecycle, event.DETACH, guard.member | last),
    'detaching',
  );
  slot.devices = slot.devices.filter((id) => id !== device.id);
  if (slot.devices.length === 0) delete groupOf(context, device).slots[pasid];
}
