import { addReserved, refuseReserve, removeReserved } from './iova-domains.ts';
import type { ReservedRange } from './iova-space.ts';
import type { Kernel } from './kernel.ts';
import { mustGet } from './objects.ts';
import type { Refusal } from './reason.ts';
import { type Hwpt, slotOf } from './slots.ts';
import type { Context, Device, Ioas, Slot } from './state.ts';

/**
 * Ranges that a device reserves in the IOAS that its RID is attached to: device.c of iommufd, and
 * `iopt_table_enforce_dev_resv_regions`. Mock devices reserve none.
 */

/** IOMMU_RESV_DIRECT_RELAXABLE is not enforced. */
const RELAXABLE = 'direct-relaxable';

/** IOAS behind a page table, also of a nested one: `find_hwpt_paging`. */
function ioasOf(context: Context, hwpt: Hwpt): Ioas {
  const paging = hwpt.type === 'hwpt-paging' ? hwpt : mustGet(context, hwpt.parent, 'hwpt-paging');
  return mustGet(context, paging.ioas, 'ioas');
}

function rangesOf(kernel: Kernel, device: Device): ReservedRange[] {
  const owner = `device:${device.id}`;
  return (kernel.machine.devices[device.physical]?.reserved ?? [])
    .filter(({ kind }) => kind !== RELAXABLE)
    .map(({ startPage, startOffset, lastPage, lastOffset }) => {
      return { startPage, startOffset, lastPage, lastOffset, owner };
    });
}

/** Devices whose ranges move: all of the slot when it is replaced, else the one that is attached. */
function movers(context: Context, device: Device, replace: boolean): Device[] {
  const ids = replace ? (slotOf(context, device, 0)?.devices ?? []) : [device.id];
  return ids.map((id) => (id === device.id ? device : mustGet(context, id, 'device')));
}

/** Whether an area or allowed range of the new IOAS is in the way. Within one IOAS nothing is asked. */
export function refuseReserved(
  kernel: Kernel,
  context: Context,
  device: Device,
  hwpt: Hwpt,
  replace: boolean,
): Refusal {
  if (device.physical < 0) return null;
  const ioas = ioasOf(context, hwpt);
  const old = replace ? slotOf(context, device, 0)?.hwpt : undefined;
  if (old !== undefined && ioasOf(context, context.objects[old] as Hwpt).id === ioas.id) return null;
  for (const mover of movers(context, device, replace)) {
    for (const range of rangesOf(kernel, mover)) {
      const refusal = refuseReserve(kernel, ioas, range);
      if (refusal !== null) return refusal;
    }
  }
  return null;
}

export function reserveFor(kernel: Kernel, context: Context, device: Device, hwpt: Hwpt): void {
  const ranges = rangesOf(kernel, device);
  if (ranges.length > 0) addReserved(kernel, ioasOf(context, hwpt), ranges);
}

export function unreserve(kernel: Kernel, context: Context, device: Device, hwpt: Hwpt): void {
  if (device.physical >= 0) removeReserved(kernel, ioasOf(context, hwpt), `device:${device.id}`);
}

/** A group moved from one page table to another. */
export function moveReserved(kernel: Kernel, context: Context, slot: Slot, from: Hwpt, to: Hwpt): void {
  if (ioasOf(context, from).id === ioasOf(context, to).id) return;
  for (const id of slot.devices) {
    const device = mustGet(context, id, 'device');
    unreserve(kernel, context, device, from);
    reserveFor(kernel, context, device, to);
  }
}

/**
 * The error path of a replace that the driver refused removes the ranges of the group from the IOAS that it
 * should have moved to; when that is the one the group is still attached to, they are lost there. A bug of
 * every kernel from 6.2 to 7.3-rc7 (`err_unresv` of iommufd_device_do_replace).
 */
export function loseReserved(kernel: Kernel, context: Context, device: Device, hwpt: Hwpt): void {
  for (const mover of movers(context, device, true)) unreserve(kernel, context, mover, hwpt);
}
