import { type MakeFormat, type ParsedWord, READ, type TableFormat, WRITE } from '../table-format.ts';
import { isCoherent } from './vtd-registers.ts';
import {
  ADDRESS,
  frameOf,
  indexBits9,
  itemShift9,
  levelsFor,
  pageWord,
  plainLeaves,
  pointerWord,
} from './words.ts';

/** The CPU's format, as the first stage of VT-d and version 2 of AMD have it: fmt/x86_64.h of 7.3. */

const P = 1n;
const RW = 1n << 1n;
const US = 1n << 2n;
const A = 1n << 5n;
const D = 1n << 6n;
const PS = 1n << 7n;
/** Set once the caches are flushed behind a table of a unit that does not walk coherently. */
const SOFTWARE = 1n << 9n;

export const x8664: MakeFormat = (facts): TableFormat | null => {
  if (facts.format !== 'vtd-fs' && facts.format !== 'amdv2') return null;
  // AMD IOMMUs walk coherently.
  const coherent = facts.format === 'amdv2' || facts.kernel < 619 ? true : isCoherent(facts);
  const fixed = P | RW | US | A;
  const table =
    coherent === null
      ? pointerWord(fixed, ADDRESS, [{ mask: SOFTWARE, holds: 'software bit' }])
      : pointerWord(fixed | (coherent ? 0n : SOFTWARE), ADDRESS);
  return {
    name: facts.format,
    levels: Math.max(4, levelsFor(facts.apertureLastPage)),
    keepsFrom: null,
    growsFrom: null,
    itemShift: itemShift9,
    indexBits: indexBits9,
    leafSizes: plainLeaves([1, 2, 3], facts.pageSizes),
    leafWord(frame, prot, { level }) {
      // What can be mapped can be read; the driver sets the bits that hardware would set.
      const write = (prot & WRITE) !== 0 ? RW | D : 0n;
      return pageWord(frame, P | US | A | write | (level > 1 ? PS : 0n), ADDRESS, 12);
    },
    tableWord: () => table,
    tableAddress: (word) => word & ADDRESS,
    parse(word, level): ParsedWord {
      if ((word & P) === 0n) return { kind: 'empty' };
      const prot = READ | ((word & RW) !== 0n ? WRITE : 0);
      const frame = frameOf(word);
      if (level > 1 && (word & PS) === 0n) return { kind: 'table', frame, prot };
      if (level > 3) return { kind: 'reserved', why: 'page size bit above level 3' };
      return { kind: 'leaf', frame, prot, shift: itemShift9(level) };
    },
  };
};
