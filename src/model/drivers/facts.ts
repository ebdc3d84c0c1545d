import type { IovaRange } from '../iova-space.ts';
import type { Kernel } from '../kernel.ts';
import type { Iommu, PhysicalDevice } from '../machine.ts';
import type { Device } from '../state.ts';

/**
 * Facts of hardware: from the topology, else from what the replay has learned, else open. An answer that
 * rests on an open fact says so in `kernel.call.rests`: it takes the fact to be false, and the recorded reply
 * tells.
 */

/** The device behind a device object; throws for a mock device, which has none. */
export function physicalOf(kernel: Kernel, { physical }: Pick<Device, 'physical'>): PhysicalDevice {
  const found = kernel.machine.devices[physical];
  if (found === undefined) throw new Error(`device ${physical} is no device of the machine`);
  return found;
}

/** Whether an IOMMU or device can do something; `known` is null when the topology leaves it open. */
export function can(kernel: Kernel, owner: string, fact: string, known: boolean | null): boolean {
  if (known !== null) return known;
  const learned = kernel.state.learned[owner]?.can[fact];
  if (learned !== undefined) return learned;
  if (!kernel.call.rests.some((open) => open.owner === owner && open.fact === fact))
    kernel.call.rests.push({ owner, fact });
  return false;
}

/** What the topology states under a key, or null. */
export function stated(iommu: Iommu, key: string): boolean | null {
  return iommu.stated[key] ?? null;
}

export const EVERYTHING: IovaRange = {
  startPage: 0,
  startOffset: 0,
  lastPage: 2 ** 52 - 1,
  lastOffset: 4095,
};

/** Aperture of an ordinary page table; all of the 64-bit space while nobody knows it. */
export function apertureOf(kernel: Kernel, iommu: Iommu): IovaRange {
  return iommu.aperture ?? kernel.state.learned[iommu.name]?.aperture ?? EVERYTHING;
}

/** Name under which facts of a device are learned. */
export function deviceName({ bdf, path }: PhysicalDevice): string {
  return bdf === '' ? path : bdf;
}

/** `max_pasids` where known: 0 when the IOMMU or the device has none. */
export function pasidsOf(kernel: Kernel, device: PhysicalDevice, iommuHas: boolean): number {
  if (!iommuHas) return 0;
  const known = device.maxPasids ?? kernel.state.learned[deviceName(device)]?.pasids;
  if (known !== undefined) return known;
  kernel.call.rests.push({ owner: deviceName(device), fact: 'pasids' });
  return 0;
}

/** Bit of a little-endian register inside GET_HW_INFO's bytes; null when there are none. */
export function registerBit(iommu: Iommu, at: number, bit: number): boolean | null {
  const byte = iommu.hwInfo?.bytes[at + (bit >> 3)];
  return byte === undefined ? null : ((byte >> (bit & 7)) & 1) === 1;
}

/** True, false, or null when it is open: false as soon as one is false. */
export function both(a: boolean | null, b: boolean | null): boolean | null {
  if (a === false || b === false) return false;
  return a === null || b === null ? null : true;
}
