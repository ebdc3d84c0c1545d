import { CMD, IOMMU_HWPT_ALLOC_FLAGS } from '../../uapi/index.ts';
import { offsetOf, pageOf } from '../address.ts';
import { numberIn, objectIn, wideIn } from '../check-order/check.ts';
import { boundIn, physicalIn } from '../check-order/vfio-conditions.ts';
import { DRIVERS, NO_DATA, type UserData } from '../drivers/index.ts';
import { createMockDevice } from '../drivers/mock-device.ts';
import type { Kernel } from '../kernel.ts';
import type { Device, PagingDomain } from '../state.ts';
import type { Refused } from './finding.ts';

/** The page table that a refused call would have made. */

/** The domain of the new page table of HWPT_ALLOC, or of an attach to an IOAS; null when it makes none. */
export function newTable(refused: Refused): PagingDomain | null {
  const device = boundIn(refused) ?? unboundDevice(refused);
  if (device === null) return null;
  const isAlloc = refused.call.op === 'ioctl' && refused.call.cmd === CMD.IOMMU_HWPT_ALLOC;
  const flags = isAlloc ? numberIn(refused, 'flags') & ~IOMMU_HWPT_ALLOC_FLAGS.FAULT_ID_VALID : 0;
  return DRIVERS[device.driver].makePaging(
    withoutTraces(refused.kernel),
    device,
    flags,
    isAlloc ? dataOf(refused) : NO_DATA,
  );
}

function dataOf(refused: Refused): UserData {
  const length = numberIn(refused, 'data_len');
  if (length === 0) return NO_DATA;
  const address = wideIn(refused, 'data_uptr');
  return { type: numberIn(refused, 'data_type'), length, page: pageOf(address), offset: offsetOf(address) };
}

/** Making a table takes a key and may note open facts: neither must stay. */
function withoutTraces(kernel: Kernel): Kernel {
  return { ...kernel, state: { ...kernel.state }, call: { ...kernel.call, rests: [] } };
}

/** A device that the call itself would have bound: the selftest's, or one that is got from its group. */
function unboundDevice(refused: Refused): Device | null {
  const owner = objectIn(refused, 'id');
  const owned = owner?.type === 'selftest' ? refused.context?.objects[owner.device] : undefined;
  if (owned?.type === 'device') return owned;
  const physical = physicalIn(refused);
  const isMock = refused.command.startsWith('IOMMU_TEST_CMD MOCK_DOMAIN');
  if (physical === undefined && !isMock) return null;
  return {
    type: 'device',
    id: 0,
    users: 0,
    lifecycle: 0,
    driver: physical?.iommu.driver ?? 'mock',
    physical: physical?.index ?? -1,
    flags: numberIn(refused, 'dev_flags'),
    group: physical?.group ?? 0,
    vdevice: 0,
    mock: createMockDevice(),
  };
}
