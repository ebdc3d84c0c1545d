import { machineOf } from '../../src/model/index.ts';
import { parseHeader, type TraceHeader } from '../../src/trace/index.ts';

/** Machines for random calls: two devices in one group, a third behind a second IOMMU. */

export const HARDWARE = ['mock', 'vtd', 'smmuv3', 'amd'] as const;
export type Hardware = (typeof HARDWARE)[number];

const MSI = ['0xfee00000', '0xfeefffff', 'msi'];
/** A direct range that areas of the random calls run into, and one that is not enforced. */
const DIRECT = ['0x1010000', '0x1010fff', 'direct'];
const RELAXABLE = ['0x1000000', '0x1000fff', 'direct-relaxable'];

/** Scalable mode with both stages, nesting and PASIDs. */
const VTD = {
  pgsize_bitmap: '0x40201000',
  hw_info: { type: 1, data: `${'01'.padEnd(16, '0')}06062f228c00d2814e0ff0249acd0000` },
};

const INSTANCES = {
  vtd: [
    { name: 'dmar0', ...VTD, aperture: ['0x0', '0x7fffffffffff'], scalable_mode: true },
    { name: 'dmar1', ...VTD, aperture: ['0x0', '0x7fffffffff'], scalable_mode: false },
  ],
  smmuv3: [
    {
      ...{ name: 'smmu0', pgsize_bitmap: '0x40201000', aperture: ['0x0', '0xffffffffffff'] },
      ...{ nest_parent: true, nesting: true, enforce_cache_coherency: true },
      dirty_tracking: false,
      hw_info: { type: 2, data: '00'.repeat(8) + '03000000'.padEnd(64, '0') },
    },
    {
      ...{ name: 'smmu1', pgsize_bitmap: '0x40201000', aperture: ['0x0', '0xfffffffffff'] },
      ...{ dirty_tracking: false, nesting: false },
      hw_info: { type: 2, data: '00'.repeat(8) + '01000000'.padEnd(64, '0') },
    },
  ],
  amd: [
    { name: 'amd0', table_format: 'amdv1', hw_info: { type: 4, data: 'd34900000f0017000800000000000000' } },
    {
      ...{ name: 'amd1', table_format: 'amdv2', aperture: ['0x0', '0x7fffffffffff'] },
      ...{ dirty_tracking: false, nest_parent: false },
      hw_info: { type: 4, data: 'd34900000f0017000000000000000000' },
    },
  ],
} as const;

/** Header of a trace of that machine; of a machine without devices for `mock`. */
export function headerOn(hardware: Hardware, release: string): TraceHeader {
  const base = { op: 'header', format: 'ioasis-capture', version: 1, kernel: release, page_size: 4096 };
  if (hardware === 'mock') return parseHeader(base);
  const instances = INSTANCES[hardware];
  const device = (
    index: number,
    group: number,
    instance: string,
    reserved: readonly (readonly string[])[],
  ) => ({
    ...{ path: `/dev/vfio/devices/vfio${index}`, bdf: `0000:00:0${index + 2}.0`, group, instance },
    ...{ reserved, max_pasids: index === 2 ? 0 : 32, ats: false, pri: false },
  });
  const [first, second] = instances.map(({ name }) => name) as [string, string];
  const devices = [
    device(0, 2, first, [MSI, RELAXABLE]),
    device(1, 2, first, [MSI, DIRECT]),
    device(2, 3, second, [MSI]),
  ];
  return parseHeader({ ...base, topology: { iommu: hardware, instances, devices } } as never);
}

export function machineFor(hardware: Hardware, release: string): ReturnType<typeof machineOf> {
  return machineOf(headerOn(hardware, release));
}
