import { describe, expect, test } from 'vitest';
import {
  decodeVtdPageRequest,
  FAULT_2021_FLAGS,
  findIoctl,
  IOASID_V4_IOCTLS,
  IOMMU_FAULT_2021,
  IOMMU_FAULT_PAGE_REQUEST_2021,
  IOMMU_GPASID_BIND_DATA_2021,
  IOMMU_PAGE_RESPONSE_2021,
  IOMMU_PASID_TABLE_CONFIG_2021,
  offsetsOf,
  RFC_2021_09_IOCTLS,
} from '../../src/uapi/index.ts';

describe('the commands of a generation', () => {
  test.each([
    ['rfc-2021-09', RFC_2021_09_IOCTLS],
    ['ioasid-v4', IOASID_V4_IOCTLS],
  ] as const)('are found in %s', (kernel, rows) => {
    for (const row of rows) expect(findIoctl(row.kinds[0], row.cmd, kernel)).toBe(row);
  });

  test.each([
    ['device', 0x3b77, 'rfc-2021-09', 'VFIO_DEVICE_BIND_IOMMUFD'],
    ['device', 0x3b78, 'rfc-2021-09', 'VFIO_DEVICE_ATTACH_IOASID'],
    ['device', 0x3b76, '7.3', 'VFIO_DEVICE_BIND_IOMMUFD'],
    ['device', 0x3b77, '7.3', 'VFIO_DEVICE_ATTACH_IOMMUFD_PT'],
    ['device', 0x3b78, '7.3', 'VFIO_DEVICE_DETACH_IOMMUFD_PT'],
    // What the generation left as it was.
    ['device', 0x3b6b, 'rfc-2021-09', 'VFIO_DEVICE_GET_INFO'],
    ['container', 0x3b76, 'ioasid-v4', 'VFIO_IOMMU_PASID_REQUEST'],
    ['container', 0x3b77, 'ioasid-v4', 'VFIO_IOMMU_NESTING_OP'],
    ['container', 0x3b71, 'ioasid-v4', 'VFIO_IOMMU_MAP_DMA'],
    ['iommufd', 0x3b85, 'rfc-2021-09', undefined],
    ['iommufd', 0x6966, '7.3', undefined],
  ] as const)('on %s 0x%s in %s is %s', (kind, cmd, kernel, name) => {
    expect(findIoctl(kind, cmd, kernel)?.name).toBe(name);
  });
});

describe('structs of linux/iommu.h, 5.14', () => {
  test('have the offsets of the C structs', () => {
    expect(offsetsOf(IOMMU_FAULT_PAGE_REQUEST_2021)).toEqual({
      ...{ flags: 0, pasid: 4, grpid: 8, perm: 12, addr: 16, private_data: 24 },
    });
    expect(offsetsOf(IOMMU_PAGE_RESPONSE_2021)).toEqual({
      ...{ argsz: 0, version: 4, flags: 8, pasid: 12, grpid: 16, code: 20 },
    });
    expect(offsetsOf(IOMMU_GPASID_BIND_DATA_2021)).toMatchObject({
      gpgd: 24,
      hpasid: 32,
      gpasid: 40,
      vtd_flags: 56,
    });
    expect(offsetsOf(IOMMU_PASID_TABLE_CONFIG_2021)).toMatchObject({
      base_ptr: 8,
      pasid_bits: 16,
      s1fmt: 28,
    });
    const sizes = [IOMMU_FAULT_2021, IOMMU_FAULT_PAGE_REQUEST_2021, IOMMU_GPASID_BIND_DATA_2021];
    expect(sizes.map(({ sizeBytes }) => sizeBytes)).toEqual([64, 40, 72]);
    expect(FAULT_2021_FLAGS).toEqual({ PASID_VALID: 1, LAST_PAGE: 2, PRIV_DATA: 4, RESPONSE_NEEDS_PASID: 8 });
  });

  test("a request in VT-d's queue comes apart into its fields", () => {
    const bytes = new Uint8Array(32);
    const view = new DataView(bytes.buffer);
    // type 1, PASID and private data present, rid 00:02.0, PASID 0xabcde, privileged
    view.setBigUint64(0, 1n | (3n << 8n) | (0x10n << 16n) | (0xabcden << 32n) | (1n << 53n), true);
    // write, last in group, group 0x1ff, page 0x7f0000001
    view.setBigUint64(8, (1n << 1n) | (1n << 2n) | (0x1ffn << 3n) | (0x7f0000001n << 12n), true);
    view.setBigUint64(16, 0x1122n, true);
    view.setBigUint64(24, 0x3344n, true);
    expect(decodeVtdPageRequest(bytes)).toEqual({
      ...{
        hasPasid: true,
        hasPrivateData: true,
        rid: 0x10,
        pasid: 0xabcde,
        execute: false,
        privileged: true,
      },
      ...{ read: false, write: true, isLast: true, groupIndex: 0x1ff, page: 0x7f0000001n },
      privateData: [0x1122n, 0x3344n],
    });
    expect(() => decodeVtdPageRequest(bytes.subarray(1))).toThrow(RangeError);
  });
});
