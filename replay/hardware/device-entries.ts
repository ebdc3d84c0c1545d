import type { DeviceSlot, HardwareDomain, HardwareIommu, HardwareView } from './domain.ts';
import type { UnknownBits, Word } from './table-format.ts';

/**
 * Entries of devices and PASIDs as the drivers write them: VT-d context and scalable-mode PASID entries
 * (intel/pasid.c, intel/iommu.c), AMD device table entries (amd/iommu.c), RISC-V device contexts
 * (riscv/iommu.c).
 */

export interface DeviceEntry {
  /** `context`, `pasid`, `dte` or `dc`: what dumps call it. */
  readonly name: string;
  /** Only the words that the calls of user space determine something of; null for the others. */
  readonly words: readonly (Word | null)[];
}

const ADDRESS = 0xf_ffff_ffff_f000n;

/** The entry of a slot; null when there is none, or when nobody but the kernel decides what it holds. */
export function deviceEntry(view: HardwareView, slot: DeviceSlot): DeviceEntry | null {
  const { state } = slot;
  const iommu = view.iommus.find(({ name }) => name === slot.iommu);
  if (iommu === undefined || state.kind === 'kernel' || slot.written !== true) return null;
  const domain =
    state.kind === 'blocked' ? null : (view.domains.find(({ key }) => key === state.domain) ?? null);
  if (state.kind !== 'blocked' && domain?.table == null) return null;
  switch (iommu.driver) {
    case 'vtd':
      if (domain === null || iommu.scalable === null) return null;
      return iommu.scalable ? pasidEntry(iommu, domain, state) : contextEntry(domain);
    case 'amd':
      // PASIDs stand in the GCR3 table, not in the device table.
      return slot.pasid === 0 ? amdEntry(domain) : null;
    case 'riscv':
      return riscvEntry(domain);
    default:
      return null;
  }
}

function word(value: bigint, ...unknown: UnknownBits[]): Word {
  return { value, unknown };
}

const bit = (at: number): bigint => 1n << BigInt(at);
const tableAt = (mask: bigint): UnknownBits => ({ mask, holds: 'table address' });
const DOMAIN_ID: UnknownBits = { mask: 0xffffn, holds: 'domain id' };

/** Address width field: 1 for 3 levels, 2 for 4, 3 for 5. */
function width({ table }: HardwareDomain): bigint {
  return BigInt(table!.levels() - 2);
}

/** Legacy mode: present, multi-level translation; address width and domain id. */
function contextEntry(domain: HardwareDomain): DeviceEntry {
  const translation: UnknownBits = { mask: bit(2), holds: 'device IOTLB' };
  const low = word(bit(0), tableAt(ADDRESS), translation);
  const high = word(width(domain), { mask: 0xffffn << 8n, holds: 'domain id' });
  return { name: 'context', words: [low, high] };
}

const FIRST_STAGE = 1n << 6n;
const SECOND_STAGE = 2n << 6n;
const NESTED = 3n << 6n;
const SSADE = bit(9);
const PWSNP = bit(23);
const PGSNP = bit(24);
const FSPM_5_LEVELS = 1n << 2n;

function pasidEntry(iommu: HardwareIommu, domain: HardwareDomain, state: DeviceSlot['state']): DeviceEntry {
  const present = bit(0) | (width(domain) << 2n);
  const isFirst = domain.table!.format.name === 'vtd-fs';
  const dirty = domain.tracking ? SSADE : 0n;
  const snoop: UnknownBits = { mask: iommu.coherent === null ? PWSNP | PGSNP : PGSNP, holds: 'snoop' };
  const ids = word(iommu.coherent === true ? PWSNP : 0n, DOMAIN_ID, snoop);
  if (state.kind === 'nested') {
    return {
      name: 'pasid',
      words: [word(present | NESTED | dirty, tableAt(ADDRESS)), ids, guestWord(state.data)],
    };
  }
  if (isFirst) {
    const mode = domain.table!.levels() === 5 ? FSPM_5_LEVELS : 0n;
    return { name: 'pasid', words: [word(present | FIRST_STAGE), ids, word(mode, tableAt(ADDRESS))] };
  }
  return { name: 'pasid', words: [word(present | SECOND_STAGE | dirty, tableAt(ADDRESS)), ids, word(0n)] };
}

/** `struct iommu_hwpt_vtd_s1`: flags, address of the guest's table, address width. */
function guestWord(data: Uint8Array): Word | null {
  if (data.length < 20) return null;
  const fields = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const flags = fields.getBigUint64(0, true);
  const supervisor = (flags & 1n) !== 0n ? bit(0) : 0n;
  const extended = (flags & 2n) !== 0n ? bit(7) : 0n;
  // Write protection (WPE) goes with supervisor requests (SRE) only: pasid_pte_config_nested.
  const protect = (flags & 5n) === 5n ? bit(4) : 0n;
  const mode = fields.getUint32(16, true) === 57 ? FSPM_5_LEVELS : 0n;
  return word((fields.getBigUint64(8, true) & ADDRESS) | supervisor | extended | protect | mode);
}

const V = bit(0);
const TV = bit(1);
const HAD = 3n << 7n;
const GIOV_GV = bit(54) | bit(55);
const IR_IW = bit(61) | bit(62);
/** PPR, and how many levels the GCR3 table has: by what the device can do. */
const DEVICE_FEATURES: UnknownBits = { mask: bit(52) | bit(56) | bit(57), holds: 'device features' };
const IOTLB: UnknownBits = { mask: bit(32), holds: 'device features' };

function amdEntry(domain: HardwareDomain | null): DeviceEntry {
  const name = 'dte';
  if (domain === null) return { name, words: [word(V), word(0n, DOMAIN_ID, IOTLB)] };
  const levels = domain.table!.levels();
  if (domain.table!.format.name === 'amdv2') {
    const low = word(V | TV | GIOV_GV | IR_IW, tableAt(7n << 58n), DEVICE_FEATURES);
    const middle = word(0n, DOMAIN_ID, IOTLB, tableAt((0xffffn << 16n) | (0x1f_ffffn << 43n)));
    const mode = word(BigInt(levels - 4) << 54n, {
      mask: ~(3n << 54n) & (bit(64) - 1n),
      holds: 'interrupts',
    });
    return { name, words: [low, middle, mode] };
  }
  const dirty = domain.tracking ? HAD : 0n;
  const low = word(V | TV | IR_IW | dirty | (BigInt(levels) << 9n), tableAt(ADDRESS));
  return { name, words: [low, word(0n, DOMAIN_ID, IOTLB)] };
}

function riscvEntry(domain: HardwareDomain | null): DeviceEntry {
  const name = 'dc';
  if (domain === null) return { name, words: [word(0n), word(0n), word(0n), word(0n)] };
  const mode = BigInt(domain.table!.levels() + 5) << 60n;
  const ids = word(0n, { mask: 0xf_ffffn << 12n, holds: 'process soft-context id' });
  return { name, words: [word(V), word(0n), ids, word(mode, tableAt((1n << 44n) - 1n))] };
}
