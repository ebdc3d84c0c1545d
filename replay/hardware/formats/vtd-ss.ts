import { type MakeFormat, type ParsedWord, READ, type TableFormat, WRITE } from '../table-format.ts';
import { isCoherent, secondStageLevels } from './vtd-registers.ts';
import {
  ADDRESS,
  frameOf,
  indexBits9,
  itemShift9,
  levelsFor,
  mayBeSet,
  pageWord,
  plainLeaves,
  pointerWord,
} from './words.ts';

/**
 * VT-d second stage (second level in legacy mode): fmt/vtdss.h of 7.3; intel/iommu.c __domain_mapping of
 * 6.12.
 */

const R = 1n;
const W = 2n;
const PS = 1n << 7n;
const ACCESSED = 1n << 8n;
const DIRTY = 1n << 9n;
/** Set once the caches are flushed behind a table of a unit that does not walk coherently. */
const SOFTWARE = 1n << 10n;
const SNP = 1n << 11n;

export const vtdSecondStage: MakeFormat = (facts): TableFormat | null => {
  if (facts.format !== 'vtd-ss') return null;
  const isGeneric = facts.kernel >= 619;
  const coherent = isGeneric ? isCoherent(facts) : true;
  const snoop = facts.enforceCoherency ? SNP : 0n;
  const table =
    coherent === null
      ? pointerWord(R | W, ADDRESS, [{ mask: SOFTWARE, holds: 'software bit' }])
      : pointerWord(R | W | (coherent ? 0n : SOFTWARE), ADDRESS);
  return {
    name: 'vtd-ss',
    levels: secondStageLevels(facts) ?? levelsFor(facts.apertureLastPage),
    keepsFrom: null,
    growsFrom: null,
    itemShift: itemShift9,
    indexBits: indexBits9,
    leafSizes: plainLeaves([1, 2, 3], facts.pageSizes),
    leafWord(frame, prot, { level }) {
      // Until 6.18 what can be mapped can be read: bit 0 is "present" as well.
      const read = !isGeneric || (prot & READ) !== 0 ? R : 0n;
      const write = (prot & WRITE) !== 0 ? W : 0n;
      const word = pageWord(frame, read | write | snoop | (level > 1 ? PS : 0n), ADDRESS, 12);
      return facts.dirtyTracking ? mayBeSet(word, ACCESSED | DIRTY, 'accessed and dirty') : word;
    },
    tableWord: () => table,
    tableAddress: (word) => word & ADDRESS,
    parse(word, level): ParsedWord {
      if ((word & (R | W)) === 0n) return { kind: 'empty' };
      const prot = ((word & R) !== 0n ? READ : 0) | ((word & W) !== 0n ? WRITE : 0);
      const frame = frameOf(word);
      if (level > 1 && (word & PS) === 0n) return { kind: 'table', frame, prot };
      if (level > 3) return { kind: 'reserved', why: 'page size bit above level 3' };
      return { kind: 'leaf', frame, prot, shift: itemShift9(level) };
    },
  };
};
