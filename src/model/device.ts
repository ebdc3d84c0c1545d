import { attachmentSlotLifecycle, deviceLifecycle, REFUSED } from '../../machines/index.ts';
import { answerFaultsOf } from './fault-queue.ts';
import { acquireHwpt, createPaging, refusePaging, releaseHwpt } from './hwpt.ts';
import { refuseDomain } from './iova-domains.ts';
import type { Kernel } from './kernel.ts';
import { makePagingDomain, refuseDriverAttach } from './mock-iommu.ts';
import { moved, mustGet, removeObject } from './objects.ts';
import { type Refusal, reason } from './reason.ts';
import type { Context, Device, Group, HwptNested, HwptPaging, Ioas } from './state.ts';

/** Binding and attaching devices: device.c of iommufd. */

type Hwpt = HwptPaging | HwptNested;

const TARGET_NOT_FOUND = reason(
  'attach-target-not-found',
  'ENOENT',
  'device.c iommufd_device_change_pt',
  'no object has the id given as pt_id',
);
const TARGET_OF_WRONG_TYPE = reason(
  'attach-target-of-wrong-type',
  'EINVAL',
  'device.c iommufd_device_change_pt',
  'pt_id names neither an IOAS nor a hardware page table',
);
const SLOT_HELD = reason(
  'group-attached-elsewhere',
  'EINVAL',
  'device.c iommufd_hw_pagetable_attach',
  'the group of the device is attached to another hardware page table, or the device is attached already',
);
const NOT_ATTACHED = reason(
  'replace-not-attached',
  'EINVAL',
  'device.c iommufd_device_do_replace',
  'replace needs a device that is attached',
);

/** The id that the last attach or replace answers as `pt_id`. */
export interface AttachResult {
  ptId: number;
}

const result: AttachResult = { ptId: 0 };

/**
 * `iommufd_device_attach` and `_replace`: by HWPT, or by IOAS with an automatic one. The HWPT is in
 * `attachedTo()`.
 */
export function changeAttachment(
  kernel: Kernel,
  context: Context,
  device: Device,
  ptId: number,
  replace: boolean,
): Refusal {
  const target = context.objects[ptId];
  if (target === undefined) return TARGET_NOT_FOUND;
  if (target.type === 'hwpt-paging' || target.type === 'hwpt-nested') {
    const refusal = refuseSlot(context, device, target, replace) ?? refuseDriver(context, device, target);
    if (refusal !== null) return refusal;
    take(kernel, context, device, target, replace);
    result.ptId = ptId;
    return null;
  }
  if (target.type !== 'ioas') return TARGET_OF_WRONG_TYPE;
  return attachAutomatically(kernel, context, device, target, replace);
}

/** HWPT that the last successful `changeAttachment` used. */
export function attachedTo(): number {
  return result.ptId;
}

/** `iommufd_device_auto_get_domain`: the first automatic HWPT that takes the device, else a new one. */
function attachAutomatically(
  kernel: Kernel,
  context: Context,
  device: Device,
  ioas: Ioas,
  replace: boolean,
): Refusal {
  for (const id of ioas.hwpts) {
    const hwpt = mustGet(context, id, 'hwpt-paging');
    if (!hwpt.auto) continue;
    // Every refusal of attaching here is EINVAL, which means "not this one, try the next".
    if ((refuseSlot(context, device, hwpt, replace) ?? refuseDriver(context, device, hwpt)) !== null)
      continue;
    take(kernel, context, device, hwpt, replace);
    result.ptId = id;
    return null;
  }
  const refusal = refusePaging(device, 0, false);
  if (refusal !== null) return refusal;
  const domain = makePagingDomain(kernel, device, 0);
  // Attach books the slot before it fills the domain, replace after.
  const slot = refuseNewSlot(context, device, replace);
  const unfit = replace
    ? (refuseDomain(kernel, ioas, domain) ?? slot)
    : (slot ?? refuseDomain(kernel, ioas, domain));
  if (unfit !== null) return unfit;
  const hwpt = createPaging(kernel, context, ioas, domain, false, true);
  take(kernel, context, device, hwpt, replace);
  result.ptId = hwpt.id;
  return null;
}

/** Whether the group's slot lets the device change to this HWPT. */
function refuseSlot(context: Context, device: Device, hwpt: Hwpt, replace: boolean): Refusal {
  return stepSlot(context.groups[device.group]!, device, hwpt.id, replace) === REFUSED
    ? slotRefusal(replace)
    : null;
}

/** The same for a HWPT that does not exist yet. */
function refuseNewSlot(context: Context, device: Device, replace: boolean): Refusal {
  return stepSlot(context.groups[device.group]!, device, 0, replace) === REFUSED
    ? slotRefusal(replace)
    : null;
}

function slotRefusal(replace: boolean): Refusal {
  return replace ? NOT_ATTACHED : SLOT_HELD;
}

function stepSlot(group: Group, device: Device, hwpt: number, replace: boolean): number {
  const { event, guard } = attachmentSlotLifecycle;
  const member = group.devices.includes(device.id) ? guard.member : 0;
  const same = hwpt !== 0 && group.hwpt === hwpt ? guard.sameHwpt : 0;
  return attachmentSlotLifecycle.step(
    group.lifecycle,
    replace ? event.REPLACE : event.ATTACH,
    member | same | guard.compatible,
  );
}

/** The driver is asked for the first device of the group, and when the group moves to another HWPT. */
function refuseDriver(context: Context, device: Device, hwpt: Hwpt): Refusal {
  if (context.groups[device.group]!.hwpt === hwpt.id) return null;
  return refuseDriverAttach(device, hwpt.type === 'hwpt-paging' && hwpt.domain.dirtyOps);
}

/** Books the attachment; everything has been checked. */
function take(kernel: Kernel, context: Context, device: Device, hwpt: Hwpt, replace: boolean): void {
  const group = context.groups[device.group]!;
  const old = group.hwpt;
  group.lifecycle = moved(stepSlot(group, device, hwpt.id, replace), 'attaching a group');
  const { event } = deviceLifecycle;
  const step = replace ? event.REPLACE : event.ATTACH;
  device.lifecycle = moved(deviceLifecycle.step(device.lifecycle, step), 'attaching a device');
  if (!replace) {
    group.hwpt = hwpt.id;
    if (group.devices.length === 0) group.handle += 1;
    group.devices.push(device.id);
    device.hwpt = hwpt.id;
    device.users += 1;
    acquireHwpt(hwpt);
    kernel.effects.deviceAttached(context.id, device.id, hwpt.id);
    return;
  }
  if (old === hwpt.id) return;
  const oldHwpt = context.objects[old] as Hwpt;
  answerFaultsOf(context, oldHwpt.fault, group);
  group.handle += 1;
  group.hwpt = hwpt.id;
  for (const id of group.devices) {
    mustGet(context, id, 'device').hwpt = hwpt.id;
    acquireHwpt(hwpt);
  }
  for (let left = group.devices.length; left > 0; left -= 1) releaseHwpt(kernel, context, oldHwpt);
  kernel.effects.deviceReplaced(context.id, device.id, old, hwpt.id);
}

/** `iommufd_device_detach`. */
export function detachDevice(kernel: Kernel, context: Context, device: Device): void {
  const group = context.groups[device.group]!;
  const hwpt = context.objects[device.hwpt] as Hwpt;
  const slot = attachmentSlotLifecycle;
  const last = group.devices.length === 1 ? slot.guard.last : 0;
  group.lifecycle = moved(
    slot.step(group.lifecycle, slot.event.DETACH, slot.guard.member | last),
    'detaching',
  );
  group.devices = group.devices.filter((id) => id !== device.id);
  if (group.devices.length === 0) {
    answerFaultsOf(context, hwpt.fault, group);
    group.hwpt = 0;
  }
  const { event, guard } = deviceLifecycle;
  device.lifecycle = moved(
    deviceLifecycle.step(device.lifecycle, event.DETACH, guard.last),
    'detaching a device',
  );
  device.hwpt = 0;
  device.users -= 1;
  kernel.effects.deviceDetached(context.id, device.id, hwpt.id);
  releaseHwpt(kernel, context, hwpt);
}

/** Binds a mock device under the given id: `iommufd_device_bind`. */
export function makeMockDevice(kernel: Kernel, context: Context, id: number, flags: number): Device {
  const group = kernel.state.nextGroup;
  kernel.state.nextGroup += 1;
  context.groups[group] = {
    id: group,
    lifecycle: attachmentSlotLifecycle.initial,
    hwpt: 0,
    devices: [],
    bound: 1,
    handle: 0,
  };
  // The calling driver is a user of the object, besides the table of ids.
  return {
    type: 'device',
    id,
    users: 2,
    lifecycle: deviceLifecycle.initial,
    driver: 'mock',
    flags,
    group,
    hwpt: 0,
  };
}

/** `iommufd_device_unbind` of a device that is not attached any more. */
export function unbindDevice(kernel: Kernel, context: Context, device: Device): void {
  device.lifecycle = moved(
    deviceLifecycle.step(device.lifecycle, deviceLifecycle.event.UNBIND),
    'unbinding a device',
  );
  removeObject(kernel, context, device);
  const group = context.groups[device.group]!;
  group.bound -= 1;
  if (group.bound === 0) delete context.groups[device.group];
}
