import { describe, expect, test } from 'vitest';
import { CMD, findIoctl, findIoctlByName, findIoctls, IOCTLS } from '../../src/uapi/index.ts';

describe('findIoctl', () => {
  test.each([
    ['iommufd', 0x3b85, 'IOMMU_IOAS_MAP'],
    ['container', 0x3b85, 'IOMMU_IOAS_MAP'],
    ['iommufd', 0x3b71, 'VFIO_IOMMU_MAP_DMA'],
    ['container', 0x3b71, 'VFIO_IOMMU_MAP_DMA'],
    ['device', 0x3b71, 'VFIO_DEVICE_PCI_HOT_RESET'],
    ['device', 0x3b70, 'VFIO_DEVICE_GET_PCI_HOT_RESET_INFO'],
    ['container', 0x3b70, 'VFIO_IOMMU_GET_INFO'],
    ['device', 0x3b75, 'VFIO_DEVICE_FEATURE'],
    ['container', 0x3b75, 'VFIO_IOMMU_DIRTY_PAGES'],
    ['device', 0x3b76, 'VFIO_DEVICE_BIND_IOMMUFD'],
    ['container', 0x3b76, 'VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY'],
    ['group', 0x3b6a, 'VFIO_GROUP_GET_DEVICE_FD'],
    ['iommufd', 0x3ba0, 'IOMMU_TEST_CMD'],
    ['iommufd', 0x3b95, 'IOMMU_IOAS_NOIOMMU_GET_PA'],
  ])('on %s %i is %s', (kind, cmd, name) => {
    expect(findIoctl(kind, cmd)?.name).toBe(name);
  });

  test.each([
    ['group', 0x3b71],
    ['device', 0x3b85],
    ['iommufd', 0x3b76],
    ['iommufd', 0x3b96],
    ['access', 0x3b80],
    ['constructor', 0x3b80],
    ['iommufd', 0x20003b85],
  ])('on %s %i is nothing', (kind, cmd) => {
    expect(findIoctl(kind, cmd)).toBeUndefined();
    expect(findIoctls(kind, cmd)).toEqual([]);
  });

  test('type1 comes before spapr where they share a number', () => {
    const names = (cmd: number): string[] => findIoctls('container', cmd).map((entry) => entry.name);
    expect(names(0x3b70)).toEqual(['VFIO_IOMMU_GET_INFO', 'VFIO_IOMMU_SPAPR_TCE_GET_INFO']);
    expect(names(0x3b75)).toEqual(['VFIO_IOMMU_DIRTY_PAGES', 'VFIO_IOMMU_SPAPR_REGISTER_MEMORY']);
  });
});

describe('the table', () => {
  test('has each name once', () => {
    expect(new Set(IOCTLS.map((entry) => entry.name)).size).toBe(IOCTLS.length);
  });

  test('has each number of /dev/iommu from 0x3b80 to 0x3b95', () => {
    const missing = Array.from({ length: 0x16 }, (_, index) => 0x3b80 + index).filter(
      (cmd) => !findIoctl('iommufd', cmd),
    );
    expect(missing).toEqual([]);
  });

  test('has a layout exactly where the argument is a struct', () => {
    expect(IOCTLS.filter((entry) => (entry.layout !== null) !== (entry.argument === 'struct'))).toEqual([]);
  });

  test('is reached by name', () => {
    const map: 0x3b85 = CMD.IOMMU_IOAS_MAP;
    expect(map).toBe(0x3b85);
    expect(IOCTLS.filter((entry) => findIoctlByName(entry.name) !== entry)).toEqual([]);
    expect(findIoctlByName('IOMMU_NONE')).toBeUndefined();
  });
});
