import {
  type LeafSize,
  type MakeFormat,
  type ParsedWord,
  READ,
  type TableFormat,
  UNKNOWN_FRAME,
  WRITE,
} from '../table-format.ts';
import { ADDRESS, frameOf, itemShift9, mayBeSet, pageWord, pointerWord } from './words.ts';

/** AMD version 1: fmt/amdv1.h of 7.3. Any power of two may be a page. */

const PR = 1n;
const DIRTY = 1n << 6n;
const FC = 1n << 60n;
const IR = 1n << 61n;
const IW = 1n << 62n;
const NEXT_LEVEL = 9n;
/** Next level of a leaf whose size is in its address. */
const SIZED = 7n;
const LEVELS = 6;
/** 512 GiB pages do not work in hardware, and are never used. */
const BROKEN_SHIFT = 39;

export const amdV1: MakeFormat = (facts): TableFormat | null => {
  if (facts.format !== 'amdv1') return null;
  return {
    name: 'amdv1',
    levels: LEVELS,
    keepsFrom: null,
    growsFrom: 3,
    itemShift: itemShift9,
    // The top level has the seven bits that are left of 64.
    indexBits: (level) => (level === LEVELS ? 7 : 9),
    leafSizes: leafSizes(facts.pageSizes),
    leafWord(frame, prot, size) {
      const read = (prot & READ) !== 0 ? IR : 0n;
      const write = (prot & WRITE) !== 0 ? IW : 0n;
      const fixed = PR | FC | read | write;
      const word = size.slots === 1 ? pageWord(frame, fixed, ADDRESS, 12) : sizedWord(frame, fixed, size);
      return facts.dirtyTracking ? mayBeSet(word, DIRTY, 'dirty') : word;
    },
    tableWord: (level) => pointerWord(PR | IR | IW | (BigInt(level - 1) << NEXT_LEVEL), ADDRESS),
    tableAddress: (word) => word & ADDRESS,
    parse,
  };
};

/** Every power of two: as many entries of one level as it takes. */
function leafSizes(pageSizes: bigint): LeafSize[] {
  const sizes: LeafSize[] = [];
  for (let shift = 12; shift < 12 + 9 * (LEVELS - 1) && shift <= 51; shift += 1) {
    if (shift === BROKEN_SHIFT || ((pageSizes >> BigInt(shift)) & 1n) === 0n) continue;
    const level = 1 + Math.floor((shift - 12) / 9);
    sizes.push({ shift, level, slots: 2 ** (shift - itemShift9(level)) });
  }
  return sizes;
}

/** The address bits below half the size are ones, and the bit above them a zero. */
function sizedWord(frame: number, fixed: bigint, { shift }: LeafSize) {
  const ones = (1n << BigInt(shift - 1)) - 4096n;
  const word = pageWord(frame, fixed | (SIZED << NEXT_LEVEL), ADDRESS, 12);
  if (frame !== UNKNOWN_FRAME) return { ...word, value: word.value | ones };
  const mask = ADDRESS & ~((1n << BigInt(shift)) - 1n);
  return { value: word.value | ones, unknown: [{ mask, holds: 'page address' }] };
}

function parse(word: bigint, level: number): ParsedWord {
  if ((word & PR) === 0n) return { kind: 'empty' };
  const prot = ((word & IR) !== 0n ? READ : 0) | ((word & IW) !== 0n ? WRITE : 0);
  const next = Number((word >> NEXT_LEVEL) & 7n);
  const frame = frameOf(word);
  if (next === 0) return { kind: 'leaf', frame, prot, shift: itemShift9(level) };
  if (next === 7) {
    let shift = 13;
    for (let rest = (word & ADDRESS) >> 12n; (rest & 1n) === 1n && shift < 52; rest >>= 1n) shift += 1;
    return { kind: 'leaf', frame: frame - (frame % 2 ** (shift - 12)), prot, shift };
  }
  if (next >= level) return { kind: 'reserved', why: `next level ${next} at level ${level}` };
  return { kind: 'table', frame, prot };
}
