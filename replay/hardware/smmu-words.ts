import type { UnknownBits, Word } from './table-format.ts';

/** Words of the SMMU's structures, put together from fields that are known and fields that are not. */

export const ENTRY_WORDS = 8;
const ALL = (1n << 64n) - 1n;

export const ZERO: Word = { value: 0n, unknown: [] };

/** Bits high..low of a word. */
export function bits(high: number, low: number): bigint {
  return ((1n << BigInt(high - low + 1)) - 1n) << BigInt(low);
}

/** A value at the place of a field. */
export function field(value: number | bigint, high: number, low: number): bigint {
  return (BigInt(value) << BigInt(low)) & bits(high, low);
}

/** A field whose value the trace does not tell. */
export function unknownField(holds: string, high: number, low: number): UnknownBits {
  return { mask: bits(high, low), holds };
}

export function word(value: bigint, ...unknown: readonly (UnknownBits | null)[]): Word {
  const named = unknown.filter((part) => part !== null);
  return { value: value & ALL & ~maskOf(named), unknown: named };
}

export function maskOf(unknown: readonly UnknownBits[]): bigint {
  return unknown.reduce((mask, part) => mask | part.mask, 0n);
}

/** An entry of eight words, whose last ones are zero. */
export function entry(...first: readonly Word[]): Word[] {
  return Array.from({ length: ENTRY_WORDS }, (_, at) => first[at] ?? ZERO);
}

/** How many bits are set. */
export function countBits(mask: bigint): number {
  let count = 0;
  for (let left = mask & ALL; left !== 0n; left &= left - 1n) count += 1;
  return count;
}

export function hex64(value: bigint): string {
  return `0x${value.toString(16).padStart(16, '0')}`;
}
