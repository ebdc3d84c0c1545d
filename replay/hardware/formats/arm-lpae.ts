import type { UnknownBits, Word } from '../table-format.ts';
import { type FormatFacts, type LeafSize, type ParsedWord, UNKNOWN_FRAME } from '../table-format.ts';

/**
 * What both stages of the 64-bit Arm table format (VMSAv8-64, "LPAE") share: how an address is cut into
 * levels, which leaves a granule has, and where a descriptor keeps its address. Linux: io-pgtable-arm.c.
 *
 * Levels are counted as everywhere here, 1 being the last; Arm's own numbers run the other way (its level 3).
 */

export interface ArmGeometry {
  /** log2 of the bytes of a page and of a table: 12, 14 or 16. */
  readonly granuleShift: number;
  /** Index bits of a table below the first. */
  readonly bitsPerLevel: number;
  readonly levels: number;
  /** Index bits of the first table, which is several tables in one piece where stage 2 concatenates them. */
  readonly rootBits: number;
  /** Bits of an input address. */
  readonly inputBits: number;
  /** Bits of a physical address. */
  readonly outputBits: number;
  readonly leafSizes: readonly LeafSize[];
}

/** Arm has four levels at most, whose last is its level 3. */
const MOST_LEVELS = 4;
const VALID = 1n;
const TABLE_OR_PAGE = 3n;
const BLOCK = 1n;
/** Software bit of a table's descriptor that was written back to memory (ARM_LPAE_PTE_SW_SYNC). */
const WRITTEN_BACK = 1n << 55n;
const FRAMES_48_BITS = ((1n << 48n) - 1n) & ~0xfffn;

/** arm_lpae_restrict_pgsizes: the block sizes of a granule besides its page. */
const BLOCK_SHIFTS: Readonly<Record<number, readonly number[]>> = { 12: [21, 30], 14: [25], 16: [29] };
/** With 52-bit physical addresses, 64 KiB tables have blocks of 4 TiB too. */
const HUGEST_SHIFT = 42;

export interface ArmSizes {
  /** `pgsize_bitmap` of the domain; its lowest bit is the granule. */
  readonly pageSizes: bigint;
  readonly inputBits: number;
  readonly outputBits: number;
}

/** arm_lpae_alloc_pgtable: null when the smallest page is no granule of Arm's. */
export function armGeometry({ pageSizes, inputBits, outputBits }: ArmSizes): ArmGeometry | null {
  const granuleShift = lowestBit(pageSizes);
  const blocks = BLOCK_SHIFTS[granuleShift];
  if (blocks === undefined) return null;
  const bitsPerLevel = granuleShift - 3;
  const most = granuleShift === 16 ? 52 : 48;
  const input = Math.min(inputBits, most);
  const output = Math.min(outputBits, most);
  const pageBits = input - granuleShift;
  const levels = Math.ceil(pageBits / bitsPerLevel);
  const shifts = [granuleShift, ...blocks, ...(granuleShift === 16 && output > 48 ? [HUGEST_SHIFT] : [])];
  return {
    granuleShift,
    bitsPerLevel,
    levels,
    rootBits: pageBits - bitsPerLevel * (levels - 1),
    inputBits: input,
    outputBits: output,
    leafSizes: shifts
      .filter((shift) => (pageSizes & (1n << BigInt(shift))) !== 0n)
      .map((shift) => ({ shift, level: 1 + (shift - granuleShift) / bitsPerLevel, slots: 1 })),
  };
}

/** Arm's own number of the level at which a walk begins. */
export function startLevelOf({ levels }: ArmGeometry): number {
  return MOST_LEVELS - levels;
}

export function itemShift({ granuleShift, bitsPerLevel }: ArmGeometry, level: number): number {
  return granuleShift + bitsPerLevel * (level - 1);
}

export function indexBits({ bitsPerLevel, rootBits, levels }: ArmGeometry, level: number): number {
  return level === levels ? rootBits : bitsPerLevel;
}

function lowestBit(bitmap: bigint): number {
  let shift = 0;
  while (shift < 64 && ((bitmap >> BigInt(shift)) & 1n) === 0n) shift += 1;
  return shift;
}

/** Bits of a descriptor that hold an address: with 64 KiB pages also bits 51:48 of it, at 15:12. */
export function addressMask({ granuleShift, outputBits }: ArmGeometry, shift = granuleShift): bigint {
  const low = ((1n << 48n) - 1n) & ~((1n << BigInt(shift)) - 1n);
  return granuleShift === 16 && outputBits > 48 ? low | 0xf000n : low;
}

/** paddr_to_iopte. */
export function addressBits(frame: number): bigint {
  const address = BigInt(frame) << 12n;
  return (address | (address >> 36n)) & FRAMES_48_BITS;
}

/** iopte_to_paddr. */
export function addressIn(geometry: ArmGeometry, word: bigint): bigint {
  const packed = word & FRAMES_48_BITS;
  if (geometry.granuleShift < 16) return packed;
  return (packed | (packed << 36n)) & (FRAMES_48_BITS << 4n);
}

/** Descriptor of a leaf: attributes as given, type and address as its level asks. */
export function leafWord(
  geometry: ArmGeometry,
  frame: number,
  size: LeafSize,
  attributes: bigint,
  unknown: readonly UnknownBits[],
): Word {
  const word = attributes | (size.level === 1 ? TABLE_OR_PAGE : BLOCK);
  if (frame !== UNKNOWN_FRAME) return { value: word | addressBits(frame), unknown };
  const mask = addressMask(geometry, size.shift);
  return { value: word, unknown: [{ mask, holds: 'page address' }, ...unknown] };
}

/** Descriptor of a table. An IOMMU that does not snoop gets a mark that the table was written back. */
export function tableWord(geometry: ArmGeometry, coherent: boolean): Word {
  return {
    value: TABLE_OR_PAGE | (coherent ? 0n : WRITTEN_BACK),
    unknown: [{ mask: addressMask(geometry), holds: 'table address' }],
  };
}

/** What a descriptor is, but for the permissions of a leaf. */
export function parseWord(
  geometry: ArmGeometry,
  word: bigint,
  level: number,
  permits: (word: bigint) => number,
): ParsedWord {
  if ((word & VALID) === 0n) return { kind: 'empty' };
  const frame = Number(addressIn(geometry, word) >> 12n);
  const isTableOrPage = (word & 3n) === TABLE_OR_PAGE;
  if (level > 1 && isTableOrPage) return { kind: 'table', frame, prot: 3 };
  if (level === 1 && !isTableOrPage) return { kind: 'reserved', why: 'a block at the last level' };
  const shift = itemShift(geometry, level);
  if (level > 1 && !blockShifts(geometry).includes(shift))
    return { kind: 'reserved', why: `a block at Arm's level ${MOST_LEVELS - level}, where there are none` };
  return { kind: 'leaf', frame: frame - (frame % 2 ** (shift - 12)), prot: permits(word), shift };
}

/** Blocks that hardware takes, whatever the driver uses. */
function blockShifts({ granuleShift, outputBits }: ArmGeometry): readonly number[] {
  const known = BLOCK_SHIFTS[granuleShift] ?? [];
  return granuleShift === 16 && outputBits > 48 ? [...known, HUGEST_SHIFT] : known;
}

/** `4k`, `16k` or `64k`. */
export function granuleName({ granuleShift }: ArmGeometry): string {
  return `${2 ** (granuleShift - 10)}k`;
}

/** Bits of the input address that an aperture from zero to its last page has. */
export function inputBitsOf(apertureLastPage: number): number {
  return 12 + Math.round(Math.log2(apertureLastPage + 1));
}

/** IDR5 of the SMMU in the bytes of GET_HW_INFO: OAS tells the physical address size. */
const IDR5 = 28;
export const OUTPUT_BITS: readonly number[] = [32, 36, 40, 42, 44, 48, 52];

/** Physical address size of the SMMU; 48 bits when its registers were not recorded. */
export function outputBitsOf(facts: FormatFacts): number {
  const bits = [0, 1, 2].map((bit) => facts.hwInfoBit(IDR5, bit));
  const oas = bits.reduce((sum, bit, at) => sum + (bit === true ? 1 << at : 0), 0);
  return bits.includes(null) ? 48 : (OUTPUT_BITS[oas] ?? 52);
}

/** IDR0 of the SMMU: whether its table walks are coherent (COHACC). */
const IDR0 = 8;
const COHACC = 4;

export function isCoherent(facts: FormatFacts): boolean {
  return facts.hwInfoBit(IDR0, COHACC) !== false;
}
