import { faultQueueLifecycle } from '../../machines/index.ts';
import { IOMMU_PGFAULT_FLAGS, IOMMU_TEST_CMD, IOMMU_TEST_OP, unionOffsetsOf } from '../uapi/index.ts';
import { DEVICE_NOT_FOUND } from './check.ts';
import type { Kernel } from './kernel.ts';
import { getObject, moved, mustGet } from './objects.ts';
import type { Refusal } from './reason.ts';
import type { Context } from './state.ts';
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
  const hwpt = context.objects[device.hwpt];
  // Without PASID attachments only the RID can take the fault, and one with a PASID only if it is nested.
  if (hwpt?.type !== 'hwpt-nested' || hwpt.fault === 0) return null;
  const queue = mustGet(context, hwpt.fault, 'fault');
  const group = context.groups[device.group]!;
  const pasidFlag = pasid !== 0 ? IOMMU_PGFAULT_FLAGS.PASID_VALID : 0;
  queue.lifecycle = moved(
    faultQueueLifecycle.step(queue.lifecycle, faultQueueLifecycle.event.REPORT),
    'a fault',
  );
  queue.deliver.push({
    device: device.id,
    group: group.id,
    handle: group.handle,
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
