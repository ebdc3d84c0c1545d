import { IOMMU_TEST_CMD, IOMMU_TEST_OP, offsetsOf, unionOffsetsOf } from '../uapi/index.ts';
import { attachedTo, changeAttachment, detachDevice } from './device.ts';
import type { Kernel } from './kernel.ts';
import { getObject, mustGet } from './objects.ts';
import { type Reason, type Refusal, reason } from './reason.ts';
import { hwptAt } from './slots.ts';
import type { Context, Device } from './state.ts';
import { respond, setU32, u32 } from './user-call.ts';

/** The selftest's operations on PASIDs of a mock device: selftest.c of iommufd. */

const CMD = offsetsOf(IOMMU_TEST_CMD);
const CHANGE = unionOffsetsOf(IOMMU_TEST_CMD, IOMMU_TEST_OP.PASID_ATTACH);
const DETACH = unionOffsetsOf(IOMMU_TEST_CMD, IOMMU_TEST_OP.PASID_DETACH);
const CHECK = unionOffsetsOf(IOMMU_TEST_CMD, IOMMU_TEST_OP.PASID_CHECK_HWPT);

export const SELFTEST_NOT_FOUND = reason(
  'selftest-object-not-found',
  'ENOENT',
  'selftest.c iommufd_test_mock_domain_replace; iommufd_test_get_selftest_obj since 6.15',
  'no selftest object has this id',
);
const CHECK_TARGET_NOT_FOUND = reason(
  'check-pasid-target-not-found',
  'ENOENT',
  'selftest.c iommufd_get_hwpt',
  'no object has the id of the hardware page table that is asked about',
);
const CHECK_TARGET_OF_WRONG_TYPE = reason(
  'check-pasid-target-of-wrong-type',
  'EINVAL',
  'selftest.c iommufd_get_hwpt',
  'the object that is asked about is no hardware page table',
);
const PASID_DIFFERS = reason(
  'check-pasid-differs',
  'EINVAL',
  'selftest.c iommufd_test_pasid_check_hwpt',
  'the PASID is attached to something else than the check expects',
);

/** The mock device of the selftest object that the call names. */
export function selftestDevice(kernel: Kernel, context: Context): Device | Reason {
  const object = getObject(context, u32(kernel.call, CMD.id), 'selftest');
  return object === undefined ? SELFTEST_NOT_FOUND : mustGet(context, object.device, 'device');
}

export function changePasid(kernel: Kernel, context: Context, replace: boolean): Refusal {
  const { call } = kernel;
  const device = selftestDevice(kernel, context);
  if ('errno' in device) return device;
  const pasid = u32(call, CHANGE.pasid);
  const refusal = changeAttachment(kernel, context, device, pasid, u32(call, CHANGE.pt_id), replace);
  if (refusal !== null) return refusal;
  setU32(call, CHANGE.pt_id, attachedTo());
  respond(call, IOMMU_TEST_CMD.sizeBytes);
  return null;
}

export function detachPasid(kernel: Kernel, context: Context): Refusal {
  const device = selftestDevice(kernel, context);
  if ('errno' in device) return device;
  detachDevice(kernel, context, device, u32(kernel.call, DETACH.pasid));
  return null;
}

/** PASID_CHECK_HWPT; id 0 asks whether the PASID is detached. */
export function checkPasid(kernel: Kernel, context: Context): Refusal {
  const { call } = kernel;
  const device = selftestDevice(kernel, context);
  if ('errno' in device) return device;
  const held = hwptAt(context, device, u32(call, CHECK.pasid));
  const expected = u32(call, CHECK.hwpt_id);
  if (expected !== 0) {
    const target = context.objects[expected];
    if (target === undefined) return CHECK_TARGET_NOT_FOUND;
    if (target.type !== 'hwpt-paging' && target.type !== 'hwpt-nested') return CHECK_TARGET_OF_WRONG_TYPE;
  }
  return held === expected ? null : PASID_DIFFERS;
}
