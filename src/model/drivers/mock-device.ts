import { IOMMU_TEST_DEVICE_FLAGS } from '../../uapi/index.ts';
import type { Kernel } from '../kernel.ts';
import type { Device, MockDevice } from '../state.ts';

/** Mock devices and their flags: selftest.c of iommufd. */

const DEVICE = IOMMU_TEST_DEVICE_FLAGS;
/** Entries of the fake cache of a device. */
const CACHE_ENTRIES = 4;
/** IOMMU_TEST_DEV_CACHE_DEFAULT. */
const CACHE_DEFAULT = 0xbaddad;
/** MOCK_PASID_WIDTH. */
const PASID_BITS = 20;

export function createMockDevice(): MockDevice {
  return {
    cache: new Array<number>(CACHE_ENTRIES).fill(CACHE_DEFAULT),
    viommu: 0,
    virtPage: 0,
    virtOffset: 0,
    failsPasid: false,
  };
}

export function isDirtyCapable(device: Device): boolean {
  return (device.flags & DEVICE.NO_DIRTY) === 0;
}

/** Number of PASIDs, `max_pasids`; the RID is one of them. */
export function mockPasidLimit(device: Device): number {
  return (device.flags & DEVICE.PASID) !== 0 ? 2 ** PASID_BITS : 1;
}

/** Flags of a mock device that the kernel knows. */
export function mockDeviceFlags(kernel: Kernel): number {
  const { has } = kernel.profile;
  return DEVICE.NO_DIRTY | (has.genericMockTable ? 0 : DEVICE.HUGE_IOVA) | (has.pasid ? DEVICE.PASID : 0);
}
