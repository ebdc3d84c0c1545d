import { PAGE_BYTES } from '../address.ts';
import type { Kernel } from '../kernel.ts';
import { type Refusal, reason } from '../reason.ts';
import { canWrite, copyFromUser, copyToUser } from '../user-copy.ts';
import { noteConfigWrite } from './config-writes.ts';
import type { PciDevice } from './device.ts';
import { hasRegion, type PciFacts, REGION, REGION_SHIFT } from './facts.ts';
import { BAD_REGION, NOT_GRANTED } from './reasons.ts';

/** read, write, pread and pwrite of a device descriptor: vfio_pci_core.c vfio_pci_rw. */

export interface PciTransfer {
  readonly isWrite: boolean;
  /** User address. */
  readonly addr: bigint;
  readonly lengthBytes: number;
  /** File offset: that of pread and pwrite, or where read and write stand. */
  readonly offset: bigint;
  /** What a write writes, as far as recorded. */
  readonly data: Uint8Array | null;
}

/** What a transfer comes to; what a read reads is never known. Null: not modelled. */
export interface PciTransferred {
  readonly refusal: Refusal;
  readonly done: number;
}

/** MAX_RW_COUNT with pages of 4 KiB: the most that one system call moves. */
const MOST_BYTES = 0x7ffff000;
const CONVENTIONAL_CONFIG_BYTES = 256;
const EXPRESS_CONFIG_BYTES = 4096;
const VGA_RANGES: readonly (readonly [start: number, end: number])[] = [
  [0xa0000, 0xc0000],
  [0x3b0, 0x3bc],
  [0x3c0, 0x3e0],
];

const NEGATIVE_OFFSET = reason(
  'vfio-device-negative-offset',
  'EINVAL',
  'fs/read_write.c rw_verify_area',
  'the file offset is negative',
);
const CONFIG_RANGE = reason(
  'vfio-device-config-range',
  'EFAULT',
  'vfio_pci_config.c vfio_pci_config_rw',
  'the range reaches beyond the config space',
);
const OUTSIDE_REGION = reason(
  'vfio-device-outside-region',
  'EINVAL',
  'vfio_pci_rdwr.c vfio_pci_bar_rw',
  'the region is empty, or the offset lies behind its end',
);
const ROM_READ_ONLY = reason(
  'vfio-device-rom-write',
  'EINVAL',
  'vfio_pci_core.c vfio_pci_rw',
  'the ROM can not be written',
);

/** What is done of a transfer once its place is checked: bytes, a refusal, or null when not known. */
type Extent = number | NonNullable<Refusal> | null;

export function vfioPciTransfer(
  kernel: Kernel,
  device: PciDevice,
  transfer: PciTransfer,
): PciTransferred | null {
  if (transfer.offset < 0n) return { refusal: NEGATIVE_OFFSET, done: 0 };
  if (!device.granted) return { refusal: NOT_GRANTED, done: 0 };
  const wanted = Math.min(transfer.lengthBytes, MOST_BYTES);
  if (wanted === 0) return { refusal: null, done: 0 };
  const index = Number(transfer.offset >> REGION_SHIFT);
  const exists = hasRegion(device.facts, index);
  if (exists === null) return null;
  if (!exists) return { refusal: BAD_REGION, done: 0 };
  const at = Number(BigInt.asUintN(Number(REGION_SHIFT), transfer.offset));
  const extent = extentOf(device, index, at, wanted, transfer.isWrite);
  if (extent === null) return null;
  if (typeof extent !== 'number') return { refusal: extent, done: 0 };
  const page = Number(transfer.addr / BigInt(PAGE_BYTES));
  const offset = Number(transfer.addr % BigInt(PAGE_BYTES));
  if (transfer.isWrite) {
    // EFAULT, unless the driver drops all of the write: then it does not read the buffer either.
    if (copyFromUser(kernel, page, offset, extent) === null) return null;
    if (index === REGION.CONFIG) noteConfigWrite(device, at, extent, transfer.data);
    return { refusal: null, done: extent };
  }
  // EFAULT; but stacks of other architectures lie where x86-64 has no user memory.
  if (!canWrite(kernel, page, offset, extent)) return null;
  const bytes = new Uint8Array(extent);
  copyToUser(kernel, page, offset, { length: extent, bytes, known: new Uint8Array(extent) });
  return { refusal: null, done: extent };
}

function extentOf(device: PciDevice, index: number, at: number, wanted: number, isWrite: boolean): Extent {
  const { facts } = device;
  if (index === REGION.CONFIG) return configExtent(facts, at, wanted);
  if (index === REGION.VGA) return facts.vga === null ? null : vgaExtent(facts.vga, at, wanted);
  if (index > REGION.VGA) return null;
  if (index === REGION.ROM && isWrite) return ROM_READ_ONLY;
  const sizeBytes = facts.regions[index]?.sizeBytes;
  if (sizeBytes === undefined) return null;
  // A ROM that is there and not valid can not be mapped, one that is not there has no place in it.
  if (index === REGION.ROM && sizeBytes === 0) return facts.romAbsent === true ? OUTSIDE_REGION : null;
  if (at >= sizeBytes) return OUTSIDE_REGION;
  // Memory that is switched off gives EIO, ports and the memory of a virtual function do not.
  if (!device.open.memory || device.open.asleep) return null;
  return Math.min(wanted, sizeBytes - at);
}

/** A range that reaches over the end is refused before any of it is moved. */
function configExtent({ regions }: PciFacts, at: number, wanted: number): Extent {
  const size = regions[REGION.CONFIG]?.sizeBytes;
  const end = at + wanted;
  if (end <= (size ?? CONVENTIONAL_CONFIG_BYTES)) return wanted;
  return size !== undefined || end > EXPRESS_CONFIG_BYTES ? CONFIG_RANGE : null;
}

function vgaExtent(hasVga: boolean, at: number, wanted: number): Extent {
  if (!hasVga) return BAD_REGION;
  const range = VGA_RANGES.find(([start, end]) => at >= start && at < end);
  return range === undefined ? OUTSIDE_REGION : Math.min(wanted, range[1] - at);
}
