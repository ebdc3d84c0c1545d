import { describe, expect, test } from 'vitest';
import {
  buildStruct,
  CMD,
  IOMMU_GET_HW_INFO,
  IOMMU_HWPT_ALLOC,
  IOMMU_IOAS_ALLOC,
  IOMMU_TEST_OP,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
} from '../../src/uapi/index.ts';
import type { Hardware } from '../support/random-hardware.ts';
import { openDevice } from '../support/random-vfio-actions.ts';
import { FDS, openWorld, type RandomRelease } from '../support/random-world.ts';
import { type Answered, u32At } from '../support/session.ts';

/** What IOMMU drivers without a recording answer, as their sources of 6.12 and 7.3-rc7 say. */

const [NEST_PARENT, PASID] = [1, 8];
const IOAS = 1;

/** A context with an IOAS, and the first device bound as object 2. */
function machine(release: RandomRelease, hardware: Hardware) {
  const world = openWorld(release, hardware);
  const { session } = world;
  const fd = FDS[0]!;
  session.ioctl(fd, CMD.IOMMU_IOAS_ALLOC, buildStruct(IOMMU_IOAS_ALLOC, {}));
  const device = openDevice(world, '/dev/vfio/devices/vfio0');
  const binding = buildStruct(VFIO_DEVICE_BIND_IOMMUFD, { argsz: 16, iommufd: fd });
  const bound = session.ioctl(device, CMD.VFIO_DEVICE_BIND_IOMMUFD, binding, [], undefined, 'device');
  const dev_id = u32At(bound.out, 12);
  return {
    allocHwpt: (flags: number, pt_id = IOAS, data = {}): Answered =>
      session.ioctl(
        fd,
        CMD.IOMMU_HWPT_ALLOC,
        buildStruct(IOMMU_HWPT_ALLOC, { flags, dev_id, pt_id, ...data }),
      ),
    hwInfoType: (): number => {
      const request = buildStruct(IOMMU_GET_HW_INFO, { dev_id });
      return u32At(session.ioctl(fd, CMD.IOMMU_GET_HW_INFO, request).out, 24);
    },
    attach: (pt_id: number, pasid?: number): Answered => {
      const fields = pasid === undefined ? { argsz: 12, pt_id } : { argsz: 16, flags: 1, pt_id, pasid };
      const request = buildStruct(VFIO_DEVICE_ATTACH_IOMMUFD_PT, fields);
      return session.ioctl(device, CMD.VFIO_DEVICE_ATTACH_IOMMUFD_PT, request, [], undefined, 'device');
    },
    mockDomain: (): Answered => session.selftest(fd, IOMMU_TEST_OP.MOCK_DOMAIN, IOAS),
  };
}

describe.each([
  ['smmuv3', 2],
  ['amd', 4],
] as const)('%s', (hardware, type) => {
  test('has nest parents and hardware information in 7.3, and neither in 6.12', () => {
    const [older, newer] = [machine('6.12', hardware), machine('7.3', hardware)];
    expect(older.allocHwpt(NEST_PARENT).errno).toBe(95);
    expect(newer.allocHwpt(NEST_PARENT).errno).toBe(0);
    expect([older.hwInfoType(), newer.hwInfoType()]).toEqual([0, type]);
  });

  test('looks at the parent first in 6.12, where one operation makes all page tables', () => {
    const data = { data_type: 1, data_len: 16, data_uptr: 0x1000n };
    for (const [release, errno] of [
      ['6.12', 22],
      ['7.3', 95],
    ] as const) {
      const { allocHwpt } = machine(release, hardware);
      const parent = u32At(allocHwpt(0).out, 16);
      expect(allocHwpt(0, parent, data).errno).toBe(errno);
    }
  });
});

describe('PASIDs of 7.3', () => {
  test('reach stage-1 tables of SMMUv3 and none of AMD, whose tables have no set_dev_pasid', () => {
    for (const [hardware, errno] of [
      ['smmuv3', 0],
      ['amd', 95],
    ] as const) {
      const { allocHwpt, attach } = machine('7.3', hardware);
      const hwpt = u32At(allocHwpt(PASID).out, 16);
      expect({ hardware, errno: attach(hwpt, 1).errno }).toEqual({ hardware, errno });
    }
  });
});

describe('mock devices', () => {
  test.each([
    ['6.12', 'vtd', 'mock-device-unprobed'],
    ['6.12', 'amd', 'mock-device-unprobed'],
    ['6.12', 'smmuv3', null],
    ['7.3', 'vtd', null],
  ] as const)('on Linux %s with %s', (release, hardware, reason) => {
    expect(machine(release, hardware).mockDomain().reason).toBe(reason);
  });

  test('do not lend their page tables to others: that is EINVAL of the core', () => {
    const { attach, mockDomain } = machine('7.3', 'vtd');
    const hwpt = u32At(mockDomain().out, 20);
    expect(attach(hwpt).reason).toBe('page-table-of-other-driver');
    // By IOAS, the next page table is tried.
    expect(attach(IOAS).errno).toBe(0);
  });
});
