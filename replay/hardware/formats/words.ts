import { type LeafSize, UNKNOWN_FRAME, type UnknownBits, type Word } from '../table-format.ts';

/** Parts that the 64-bit formats of x86, AMD and RISC-V share. */

/** Bits first..last (inclusive) of a word. */
export function bits(first: number, last: number): bigint {
  return ((1n << BigInt(last - first + 1)) - 1n) << BigInt(first);
}

/** Bits 12 to 51: where these formats keep an address, except RISC-V. */
export const ADDRESS = bits(12, 51);

/** A word whose address is that of a frame; `shift` is the bit that the frame number begins at. */
export function pageWord(frame: number, fixed: bigint, mask: bigint, shift: number): Word {
  if (frame === UNKNOWN_FRAME) return { value: fixed & ~mask, unknown: [{ mask, holds: 'page address' }] };
  return { value: fixed | (BigInt(frame) << BigInt(shift)), unknown: NOTHING };
}

const NOTHING: readonly UnknownBits[] = [];

/** A word that points at a table, which the kernel put somewhere. */
export function pointerWord(fixed: bigint, mask: bigint, others: readonly UnknownBits[] = []): Word {
  return { value: fixed, unknown: [{ mask, holds: 'table address' }, ...others] };
}

/** Bits that a word holds besides its address when the IOMMU may set them on its own. */
export function mayBeSet({ value, unknown }: Word, mask: bigint, holds: string): Word {
  return { value: value & ~mask, unknown: [...unknown, { mask, holds }] };
}

/** Shift of one entry in tables of 512 entries with 4 KiB pages. */
export function itemShift9(level: number): number {
  return 12 + 9 * (level - 1);
}

export const indexBits9 = (): number => 9;

/** Plain leaves of the first levels whose size the domain's bitmap has. */
export function plainLeaves(levels: readonly number[], pageSizes: bigint): LeafSize[] {
  return levels
    .map((level) => ({ shift: itemShift9(level), level, slots: 1 }))
    .filter(({ shift }) => ((pageSizes >> BigInt(shift)) & 1n) === 1n);
}

/** Frame in bits 12 to 51. */
export function frameOf(word: bigint): number {
  return Number((word & ADDRESS) >> 12n);
}

/** Last page of 64-bit addresses: the aperture of a domain of which nobody knows it. */
const ALL_PAGES = 2 ** 52 - 1;
/** What nearly all machines have. */
const USUAL_LEVELS = 4;

/** Levels of a table that spans an aperture: 9 bits each above 12, at least 3. */
export function levelsFor(apertureLastPage: number): number {
  if (apertureLastPage >= ALL_PAGES) return USUAL_LEVELS;
  let levels = 3;
  while (levels < 6 && apertureLastPage >= 2 ** (9 * levels)) levels += 1;
  return levels;
}
