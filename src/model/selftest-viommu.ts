import { IOMMU_TEST_CMD, IOMMU_TEST_OP, IOMMU_VEVENTQ_TYPE, unionOffsetsOf } from '../uapi/index.ts';
import { DEVICE_NOT_FOUND } from './check.ts';
import type { Kernel } from './kernel.ts';
import { getObject } from './objects.ts';
import { type Refusal, reason } from './reason.ts';
import type { Context } from './state.ts';
import { u32 } from './user-call.ts';
import { reportEvent } from './veventq.ts';

/** The selftest's questions about mock devices behind a vIOMMU: selftest.c of iommufd. */

const CACHE = unionOffsetsOf(IOMMU_TEST_CMD, IOMMU_TEST_OP.DEV_CHECK_CACHE);
const VEVENT = unionOffsetsOf(IOMMU_TEST_CMD, IOMMU_TEST_OP.TRIGGER_VEVENT);

const CACHE_DIFFERS = reason(
  'check-device-cache-differs',
  'EINVAL',
  'selftest.c iommufd_test_dev_check_cache',
  'the fake cache entry of the device does not exist or holds another value',
);
const NO_VIRTUAL_DEVICE = reason(
  'vevent-without-vdevice',
  'ENOENT',
  'selftest.c iommufd_test_trigger_vevent',
  'the device is attached to no page table of a vIOMMU, or its virtual id there is 0',
);

/** DEV_CHECK_CACHE. */
export function checkDeviceCache(kernel: Kernel, context: Context, id: number): Refusal {
  const { call } = kernel;
  const device = getObject(context, id, 'device');
  if (device === undefined) return DEVICE_NOT_FOUND;
  return device.mock.cache[u32(call, CACHE.id)] === u32(call, CACHE.cache) ? null : CACHE_DIFFERS;
}

/** TRIGGER_VEVENT: the event carries the low half of the device's virtual id. */
export function triggerVevent(kernel: Kernel, context: Context): Refusal {
  const { call } = kernel;
  const device = getObject(context, u32(call, VEVENT.dev_id), 'device');
  if (device === undefined) return DEVICE_NOT_FOUND;
  const { viommu, virtPage, virtOffset } = device.mock;
  if (viommu === 0 || (virtPage === 0 && virtOffset === 0)) return NO_VIRTUAL_DEVICE;
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, ((virtPage % 2 ** 20) * 4096 + virtOffset) >>> 0, true);
  return reportEvent(context, viommu, IOMMU_VEVENTQ_TYPE.SELFTEST, [...bytes]);
}
