import { deviceLifecycle } from '../../machines/index.ts';
import { ERRNO } from '../uapi/index.ts';
import { loseReserved, moveReserved, refuseReserved, reserveFor, unreserve } from './device-reserved.ts';
import { DRIVERS, NO_DATA } from './drivers/index.ts';
import { notePasidAttempt, noteRidDomain } from './drivers/mock-attach.ts';
import { createMockDevice } from './drivers/mock-device.ts';
import { answerFaultsOf } from './fault-queue.ts';
import { installPaging, newPaging, refusePaging } from './hwpt.ts';
import { acquireHwpt, releaseHwpt } from './hwpt-users.ts';
import { refuseDomain } from './iova-domains.ts';
import type { Kernel } from './kernel.ts';
import type { DriverName } from './machine.ts';
import { moved, mustGet, removeObject } from './objects.ts';
import { type Refusal, reason } from './reason.ts';
import { renameObject } from './rename.ts';
import {
  groupOf,
  type Hwpt,
  holdsSlot,
  hwptAt,
  isPasidCompatible,
  leaveSlot,
  PASID_INCOMPATIBLE,
  RID,
  refuseHolder,
  slotOf,
  stepSlot,
  takeSlot,
} from './slots.ts';
import type { Context, Device, Ioas } from './state.ts';
import { buryVdevice } from './vdevice.ts';

/** Binding and attaching devices: device.c of iommufd. */

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

const TARGET_OF_OTHER_DRIVER = reason(
  'page-table-of-other-driver',
  'EINVAL',
  'iommu.c __iommu_attach_group, iommu_attach_device_pasid',
  'the page table was made by another IOMMU driver than that of the device',
);

/** What the last attach or replace did. */
export interface AttachResult {
  /** The id that it answers as `pt_id`. */
  ptId: number;
  /** HWPT that the slot held before, and the IOAS of a paging one; null for none. */
  before: { readonly id: number; readonly ioas: number | null } | null;
}

const result: AttachResult = { ptId: 0, before: null };

/** What is asked of a slot. */
interface Change {
  readonly device: Device;
  /** PASID of the slot; 0 is the RID. */
  readonly pasid: number;
  readonly replace: boolean;
}

/**
 * `iommufd_device_attach` and `_replace`: by HWPT, or by IOAS with an automatic one. The HWPT is in
 * `attachedTo()`.
 */
export function changeAttachment(
  kernel: Kernel,
  context: Context,
  device: Device,
  pasid: number,
  ptId: number,
  replace: boolean,
): Refusal {
  const target = context.objects[ptId];
  if (target === undefined) return TARGET_NOT_FOUND;
  const change: Change = { device, pasid, replace };
  const before = context.objects[hwptAt(context, device, pasid)] as Hwpt | undefined;
  // Not the object itself: it may be a draft, which does not outlive the call.
  result.before =
    before === undefined ? null : { id: before.id, ioas: before.type === 'hwpt-paging' ? before.ioas : null };
  if (target.type === 'hwpt-paging' || target.type === 'hwpt-nested') {
    const refusal = tryHwpt(kernel, context, change, target);
    if (refusal === null) result.ptId = ptId;
    return refusal;
  }
  if (target.type !== 'ioas') return TARGET_OF_WRONG_TYPE;
  return attachAutomatically(kernel, context, change, target);
}

/** HWPT that the last successful `changeAttachment` used. */
export function attachedTo(): number {
  return result.ptId;
}

/**
 * Takes the last successful `changeAttachment` back, which a record says was refused. An automatic HWPT that
 * went with it is made anew, under its old id.
 */
export function undoAttachment(kernel: Kernel, context: Context, device: Device, pasid: number): void {
  const { ptId, before } = result;
  if (before === null) detachDevice(kernel, context, device, pasid);
  if (before === null || before.id === ptId) return;
  const isGone = context.objects[before.id] === undefined && before.ioas !== null;
  const target = isGone ? before.ioas! : before.id;
  if (changeAttachment(kernel, context, device, pasid, target, true) !== null) return;
  if (isGone && result.ptId !== before.id) renameObject(kernel, context, result.ptId, before.id);
}

/** `iommufd_device_do_attach` and `_do_replace` with one HWPT. */
function tryHwpt(kernel: Kernel, context: Context, change: Change, hwpt: Hwpt): Refusal {
  const { device, pasid, replace } = change;
  const holder = refuseHolder(context, device, pasid, hwpt.id, replace);
  if (holder !== null) return holder;
  const isThere = hwptAt(context, device, pasid) === hwpt.id;
  // Replacing a page table by itself is a success that looks at nothing.
  if (isThere && replace) return null;
  const refusal = refuseMove(kernel, context, change, hwpt, isThere);
  if (refusal !== null) return refusal;
  take(kernel, context, change, hwpt);
  return null;
}

/**
 * The reserved ranges, then the driver, which is asked for the first device of the group and when the group
 * moves to another HWPT.
 */
function refuseMove(kernel: Kernel, context: Context, change: Change, hwpt: Hwpt, isThere: boolean): Refusal {
  const { device, pasid, replace } = change;
  const reserved = pasid === RID ? refuseReserved(kernel, context, device, hwpt, replace) : null;
  if (reserved !== null || isThere) return reserved;
  const refusal = isPasidCompatible(context, device, pasid, hwpt.pasidCompatible)
    ? askDriver(kernel, context, device, pasid, hwpt)
    : PASID_INCOMPATIBLE;
  if (refusal !== null && replace && pasid === RID) loseReserved(kernel, context, device, hwpt);
  return refusal;
}

/**
 * The core looks who made the page table, then the driver decides. At a replace of the RID the core does not
 * look: the other driver takes the device for one of its own, and nobody can tell what it finds there.
 */
function askDriver(kernel: Kernel, context: Context, device: Device, pasid: number, hwpt: Hwpt): Refusal {
  const maker = hwpt.type === 'hwpt-paging' ? hwpt.domain.driver : hwpt.driver;
  if (maker !== device.driver) return TARGET_OF_OTHER_DRIVER;
  const refusal = DRIVERS[device.driver].refuseAttach(kernel, context, device, pasid, hwpt);
  if (device.driver === 'mock') notePasidAttempt(device, pasid);
  return refusal;
}

/** `iommufd_device_auto_get_domain`: the first automatic HWPT that takes the device, else a new one. */
function attachAutomatically(kernel: Kernel, context: Context, change: Change, ioas: Ioas): Refusal {
  const { device, replace } = change;
  for (const id of ioas.hwpts) {
    const hwpt = mustGet(context, id, 'hwpt-paging');
    if (!hwpt.auto) continue;
    const refusal = tryHwpt(kernel, context, change, hwpt);
    if (refusal === null) result.ptId = id;
    // Only EINVAL means "not this one, try the next".
    if (refusal?.errno !== ERRNO.EINVAL) return refusal;
  }
  const refusal = refusePaging(kernel, device, 0, NO_DATA);
  if (refusal !== null) return refusal;
  const hwpt = newPaging(kernel, context, ioas, device, 0, NO_DATA, true);
  // Attach books the slot before it fills the domain, replace after.
  const unfit = replace
    ? (refuseDomain(kernel, ioas, hwpt.domain) ?? refuseSlot(kernel, context, change, hwpt))
    : (refuseSlot(kernel, context, change, hwpt) ?? refuseDomain(kernel, ioas, hwpt.domain));
  if (unfit !== null) return unfit;
  installPaging(kernel, context, ioas, hwpt);
  take(kernel, context, change, hwpt);
  result.ptId = hwpt.id;
  return null;
}

/** The holders of the slot, then whatever moving there needs. */
function refuseSlot(kernel: Kernel, context: Context, change: Change, hwpt: Hwpt): Refusal {
  const { device, pasid, replace } = change;
  return refuseHolder(context, device, pasid, 0, replace) ?? refuseMove(kernel, context, change, hwpt, false);
}

/** Books the attachment; everything has been checked. */
function take(kernel: Kernel, context: Context, change: Change, hwpt: Hwpt): void {
  const { device, pasid, replace } = change;
  const compatible = isPasidCompatible(context, device, pasid, hwpt.pasidCompatible);
  const next = stepSlot(context, device, pasid, hwpt.id, compatible, replace);
  const { event } = deviceLifecycle;
  const step = replace ? event.REPLACE : event.ATTACH;
  device.lifecycle = moved(deviceLifecycle.step(device.lifecycle, step), 'attaching a device');
  if (pasid === RID) noteRidDomain(context, device, hwpt);
  if (!replace) {
    takeSlot(context, device, pasid, hwpt, next);
    if (pasid === RID) reserveFor(kernel, context, device, hwpt);
    device.users += 1;
    acquireHwpt(hwpt);
    kernel.effects.deviceAttached(context.id, device.id, hwpt.id, pasid);
    return;
  }
  const slot = slotOf(context, device, pasid)!;
  slot.lifecycle = moved(next, 'replacing');
  const old = slot.hwpt;
  const oldHwpt = context.objects[old] as Hwpt;
  const group = groupOf(context, device);
  if (pasid === RID) moveReserved(kernel, context, slot, oldHwpt, hwpt);
  answerFaultsOf(context, oldHwpt.fault, group.id, slot.handle);
  group.handles += 1;
  slot.handle = group.handles;
  slot.hwpt = hwpt.id;
  for (let count = slot.devices.length; count > 0; count -= 1) acquireHwpt(hwpt);
  for (let left = slot.devices.length; left > 0; left -= 1) releaseHwpt(kernel, context, oldHwpt);
  kernel.effects.deviceReplaced(context.id, device.id, old, hwpt.id, pasid);
}

/** `iommufd_device_detach`; a slot that nobody holds is let pass. */
export function detachDevice(kernel: Kernel, context: Context, device: Device, pasid: number): void {
  const slot = slotOf(context, device, pasid);
  if (slot === undefined) return;
  const hwpt = context.objects[slot.hwpt] as Hwpt;
  const { handle } = slot;
  leaveSlot(context, device, pasid, slot);
  if (pasid === RID) unreserve(kernel, context, device, hwpt);
  if (slotOf(context, device, pasid) === undefined) {
    answerFaultsOf(context, hwpt.fault, device.group, handle);
    if (pasid === RID) noteRidDomain(context, device, null);
    else device.mock.failsPasid = false;
  }
  const { event, guard } = deviceLifecycle;
  const last = holdsSlot(context, device) ? 0 : guard.last;
  device.lifecycle = moved(deviceLifecycle.step(device.lifecycle, event.DETACH, last), 'detaching a device');
  device.users -= 1;
  kernel.effects.deviceDetached(context.id, device.id, hwpt.id, pasid);
  releaseHwpt(kernel, context, hwpt);
}

/** Which device is bound, and how. */
export interface DeviceIdentity {
  readonly driver: DriverName;
  /** Index in the machine's devices; -1 for a mock device. */
  readonly physical: number;
  /** MOCK_FLAGS_DEVICE_*. */
  readonly flags: number;
  readonly group: number;
}

/** A mock device is alone in a group of its own. */
export function mockIdentity(kernel: Kernel, flags: number): DeviceIdentity {
  const group = kernel.state.nextGroup;
  kernel.state.nextGroup += 1;
  return { driver: 'mock', physical: -1, flags, group };
}

/** Binds a device under the given id: `iommufd_device_bind` after its checks. */
export function makeDevice(context: Context, id: number, identity: DeviceIdentity): Device {
  const { group } = identity;
  const bound = context.groups[group];
  if (bound === undefined) context.groups[group] = { id: group, slots: {}, bound: 1, handles: 0 };
  else bound.bound += 1;
  // The calling driver is a user of the object, besides the table of ids.
  return {
    type: 'device',
    id,
    users: 2,
    lifecycle: deviceLifecycle.initial,
    ...identity,
    vdevice: 0,
    mock: createMockDevice(),
  };
}

/**
 * `iommufd_device_unbind`: its vDEVICE goes first. A device that still holds a PASID is leaked, as the
 * selftest does when its mock device is destroyed before its PASIDs are detached: the object stays until the
 * context is gone.
 */
export function unbindDevice(kernel: Kernel, context: Context, device: Device): void {
  if (device.vdevice !== 0) buryVdevice(kernel, context, device);
  if (holdsSlot(context, device)) {
    device.users -= 1;
    return;
  }
  device.lifecycle = moved(
    deviceLifecycle.step(device.lifecycle, deviceLifecycle.event.UNBIND),
    'unbinding a device',
  );
  removeObject(kernel, context, device);
  const group = groupOf(context, device);
  group.bound -= 1;
  if (group.bound === 0) delete context.groups[device.group];
}
