import { VFIO_REGION_INFO_FLAGS } from '../../uapi/index.ts';
import type { Answer } from '../kernel.ts';
import { reason } from '../reason.ts';
import type { PciDevice } from './device.ts';
import { hasRegion, REGION, REGION_SHIFT } from './facts.ts';
import { BAD_REGION, NOT_GRANTED } from './reasons.ts';

/** mmap of a device descriptor: vfio_pci_core.c vfio_pci_core_mmap. */

export interface PciMapping {
  /** File offset, a multiple of the page size. */
  readonly offset: bigint;
  /** Rounded up to whole pages. */
  readonly lengthBytes: bigint;
  readonly isShared: boolean;
}

const NOT_SHARED = reason(
  'vfio-device-mmap-private',
  'EINVAL',
  'vfio_pci_core.c vfio_pci_core_mmap',
  'a region can only be mapped shared',
);
const NOT_MAPPABLE = reason(
  'vfio-device-mmap-region',
  'EINVAL',
  'vfio_pci_core.c vfio_pci_core_mmap',
  'the region can not be mapped',
);
const BEYOND_REGION = reason(
  'vfio-device-mmap-range',
  'EINVAL',
  'vfio_pci_core.c vfio_pci_core_mmap',
  'the range reaches beyond the pages of the region',
);

export function vfioPciMmap(device: PciDevice, mapping: PciMapping, pageBytes: number): Answer {
  const { facts } = device;
  if (!device.granted) return NOT_GRANTED;
  const index = Number(mapping.offset >> REGION_SHIFT);
  const exists = hasRegion(facts, index);
  if (exists === false) return BAD_REGION;
  if (exists === null) return 'not-modelled';
  if (!mapping.isShared) return NOT_SHARED;
  // Regions of the driver's own decide themselves.
  if (index > REGION.VGA) return 'not-modelled';
  if (index > REGION.BAR5) return NOT_MAPPABLE;
  const region = facts.regions[index];
  if (region === undefined) return 'not-modelled';
  if ((region.flags & VFIO_REGION_INFO_FLAGS.MMAP) === 0) return NOT_MAPPABLE;
  const end = BigInt.asUintN(Number(REGION_SHIFT), mapping.offset) + mapping.lengthBytes;
  const page = BigInt(pageBytes);
  const pages = (BigInt(region.sizeBytes) + page - 1n) / page;
  return end > pages * page ? BEYOND_REGION : null;
}
