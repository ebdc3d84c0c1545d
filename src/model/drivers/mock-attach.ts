import { type Refusal, reason } from '../reason.ts';
import { type Hwpt, RID } from '../slots.ts';
import type { Context, Device } from '../state.ts';
import { isDirtyCapable, mockPasidLimit } from './mock-device.ts';
import { NO_VDEVICE } from './no-vdevice.ts';
import { PASID_TOO_LARGE } from './pasid.ts';

/** What the selftest's driver says when a device changes its page table. */

/** IOMMU_TEST_PASID_RESERVED: every second attachment of this PASID fails. */
const FAILING_PASID = 1024;

const DOMAIN_INCOMPATIBLE = reason(
  'domain-incompatible',
  'EINVAL',
  'selftest.c mock_domain_nop_attach',
  'the page table tracks dirty pages and the device does not support that',
);
const PASID_FAILS = reason(
  'mock-pasid-fails',
  'ENOMEM',
  'selftest.c mock_domain_set_dev_pasid_nop',
  'the mock driver lets every second attachment of PASID 1024 fail, to test that the old one stays',
);

/** `attach_dev` and `set_dev_pasid` of the driver, and what the core checks before the latter. */
export function refuseMockAttach(context: Context, device: Device, pasid: number, hwpt: Hwpt): Refusal {
  if (pasid !== RID) {
    if (pasid >= mockPasidLimit(device)) return PASID_TOO_LARGE;
    return pasid === FAILING_PASID && device.mock.failsPasid ? PASID_FAILS : null;
  }
  if (hwpt.type === 'hwpt-paging')
    return hwpt.domain.dirtyOps && !isDirtyCapable(device) ? DOMAIN_INCOMPATIBLE : null;
  if (hwpt.viommu === 0) return null;
  const vdevice = context.objects[device.vdevice];
  return vdevice?.type === 'vdevice' && vdevice.viommu === hwpt.viommu ? null : NO_VDEVICE;
}

/** The driver was asked for a PASID: whether the next time fails. */
export function notePasidAttempt(device: Device, pasid: number): void {
  if (pasid === FAILING_PASID && pasid < mockPasidLimit(device))
    device.mock.failsPasid = !device.mock.failsPasid;
}

/**
 * The RID was attached to a HWPT, or (null) to the blocking domain: which vIOMMU reports the device's events.
 */
export function noteRidDomain(context: Context, { mock, vdevice }: Device, hwpt: Hwpt | null): void {
  const viommu = hwpt?.type === 'hwpt-nested' ? hwpt.viommu : 0;
  if (viommu === mock.viommu) return;
  const entry = context.objects[vdevice];
  const known = viommu !== 0 && entry?.type === 'vdevice' ? entry : undefined;
  mock.viommu = viommu;
  mock.virtPage = known?.virtPage ?? 0;
  mock.virtOffset = known?.virtOffset ?? 0;
}
