import { faultQueueLifecycle } from '../../machines/index.ts';
import { IOMMU_PGFAULT_FLAGS, IOMMU_TEST_CMD, IOMMU_TEST_OP, unionOffsetsOf } from '../uapi/index.ts';
import { DEVICE_NOT_FOUND } from './check.ts';
import type { Kernel } from './kernel.ts';
import { getObject, moved, mustGet } from './objects.ts';
import type { Refusal } from './reason.ts';
import { RID, slotOf } from './slots.ts';
import type { Context, Device, Slot } from './state.ts';
import { fieldOffset, fieldPage, u32 } from './user-call.ts';

/**
 * TRIGGER_IOPF: a mock device reports a page request. selftest.c of iommufd, io-pgfault.c of the IOMMU core.
 */

const FAULT = unionOffsetsOf(IOMMU_TEST_CMD, IOMMU_TEST_OP.TRIGGER_IOPF);

/** Answers 0 even when nobody handles the fault: the driver then responds INVALID itself. */
export function triggerFault(kernel: Kernel, context: Context): Refusal {
  const { call } = kernel;
  const device = getObject(context, u32(call, FAULT.dev_id), 'device');
  if (device === undefined) return DEVICE_NOT_FOUND;
  const pasid = u32(call, FAULT.pasid);
  const slot = faultingSlot(context, device, pasid);
  const hwpt = context.objects[slot?.hwpt ?? 0];
  if ((hwpt?.type !== 'hwpt-nested' && hwpt?.type !== 'hwpt-paging') || hwpt.fault === 0) return null;
  const queue = mustGet(context, hwpt.fault, 'fault');
  const pasidFlag = pasid !== 0 ? IOMMU_PGFAULT_FLAGS.PASID_VALID : 0;
  queue.lifecycle = moved(
    faultQueueLifecycle.step(queue.lifecycle, faultQueueLifecycle.event.REPORT),
    'a fault',
  );
  queue.deliver.push({
    device: device.id,
    group: device.group,
    handle: slot?.handle ?? 0,
    faults: [
      {
        flags: IOMMU_PGFAULT_FLAGS.LAST_PAGE | pasidFlag,
        pasid,
        grpid: u32(call, FAULT.grpid),
        perm: u32(call, FAULT.perm),
        addrPage: fieldPage(call, FAULT.addr),
        addrOffset: fieldOffset(call, FAULT.addr),
      },
    ],
  });
  kernel.effects.faultReported(context.id, queue.id, device.id);
  return null;
}

/**
 * The attachment that takes a fault: the PASID's own, else the RID's if a nested page table walks all its
 * PASIDs.
 */
function faultingSlot(context: Context, device: Device, pasid: number): Slot | undefined {
  const own = slotOf(context, device, pasid);
  if (own !== undefined || pasid === RID) return own;
  const rid = slotOf(context, device, RID);
  return context.objects[rid?.hwpt ?? 0]?.type === 'hwpt-nested' ? rid : undefined;
}
