import {
  type LeafSize,
  type MakeFormat,
  type ParsedWord,
  READ,
  type TableFormat,
  WRITE,
} from '../table-format.ts';
import { bits, indexBits9, itemShift9, levelsFor, pageWord, plainLeaves, pointerWord } from './words.ts';

/**
 * RISC-V Sv39, Sv48 and Sv57 with Svnapot: fmt/riscv.h of 7.3. Sv39x4, Sv48x4 and Sv57x4 (second stage; Linux
 * makes none yet) have a root of four pages, and otherwise the same entries (Privileged Architecture, 18.5).
 */

const V = 1n;
const R = 1n << 1n;
const W = 1n << 2n;
const X = 1n << 3n;
const U = 1n << 4n;
const A = 1n << 6n;
const D = 1n << 7n;
const PPN = bits(10, 53);
const N = 1n << 63n;
/** Lowest page-number bits of a 64 KiB page. */
const NAPOT_64K = 1n << 13n;
const NAPOT: LeafSize = { shift: 16, level: 1, slots: 16 };

/** Index bits of a root of four pages. */
const ROOT_BITS_X4 = 11;

export const riscv: MakeFormat = (facts): TableFormat | null => {
  const mode = /^riscv(?:-sv(39|48|57)(x4)?)?$/.exec(facts.format);
  if (mode === null) return null;
  // The upper half of the addresses is never used, so the aperture is one bit short of the mode.
  const levels = mode[1] === undefined ? levelsFor(facts.apertureLastPage) : (Number(mode[1]) - 12) / 9;
  const whole = Math.floor(levels);
  const isGuest = mode[2] !== undefined;
  const all = Array.from({ length: whole }, (_, at) => at + 1);
  const hasNapot = ((facts.pageSizes >> 16n) & 1n) === 1n;
  return {
    name: `riscv-sv${9 * whole + 12}${isGuest ? 'x4' : ''}`,
    levels: whole,
    keepsFrom: null,
    growsFrom: null,
    itemShift: itemShift9,
    indexBits: isGuest ? (level) => (level === whole ? ROOT_BITS_X4 : indexBits9()) : indexBits9,
    leafSizes: [...plainLeaves(all, facts.pageSizes), ...(hasNapot ? [NAPOT] : [])].sort(
      (a, b) => a.shift - b.shift,
    ),
    leafWord(frame, prot, { slots }) {
      // There is no write-only: it would be reserved. Nothing that iommufd maps is not executable.
      const write = (prot & WRITE) !== 0 ? W | D : 0n;
      const fixed = V | R | X | U | A | write;
      return pageWord(
        frame,
        slots > 1 ? fixed | N | NAPOT_64K : fixed,
        PPN & ~(slots > 1 ? bits(10, 13) : 0n),
        10,
      );
    },
    tableWord: () => pointerWord(V, PPN),
    tableAddress: (word) => ((word & PPN) >> 10n) << 12n,
    parse,
  };
};

function parse(word: bigint, level: number): ParsedWord {
  if ((word & V) === 0n) return { kind: 'empty' };
  const frame = Number((word & PPN) >> 10n);
  const prot = ((word & R) !== 0n ? READ : 0) | ((word & W) !== 0n ? WRITE : 0);
  if ((word & (R | W | X)) === 0n) {
    return level === 1
      ? { kind: 'reserved', why: 'a table below the last level' }
      : { kind: 'table', frame, prot };
  }
  if ((word & (R | W)) === W) return { kind: 'reserved', why: 'writable but not readable' };
  if ((word & N) !== 0n) {
    if (level !== 1 || (frame & 15) !== 8) return { kind: 'reserved', why: 'unknown contiguous size' };
    return { kind: 'leaf', frame: frame - 8, prot, shift: 16 };
  }
  return { kind: 'leaf', frame, prot, shift: itemShift9(level) };
}
