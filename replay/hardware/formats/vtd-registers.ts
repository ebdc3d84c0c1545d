import type { FormatFacts } from '../table-format.ts';

/** What the capability registers of a VT-d unit say about its tables; they are in GET_HW_INFO's bytes. */

const CAP = 8;
const ECAP = 16;

/** Whether the unit walks tables coherently; null when the trace does not tell. */
export function isCoherent(facts: FormatFacts): boolean | null {
  const scalable = isScalable(facts);
  if (scalable === null) return null;
  // ECAP.SMPWC in scalable mode, ECAP.C in legacy mode: iommu_paging_structure_coherency.
  return facts.hwInfoBit(ECAP, scalable ? 48 : 0);
}

function isScalable(facts: FormatFacts): boolean | null {
  return facts.format === 'vtd-fs' ? true : (facts.stated('scalable_mode') ?? facts.hwInfoBit(ECAP, 43));
}

/** Bits first..last (inclusive) of the capability register as a number; null when not recorded. */
function capField(facts: FormatFacts, first: number, last: number): number | null {
  let value = 0;
  for (let bit = last; bit >= first; bit -= 1) {
    const set = facts.hwInfoBit(CAP, bit);
    if (set === null) return null;
    value = value * 2 + (set ? 1 : 0);
  }
  return value;
}

/** Until 6.18 a unit with both stages used only widths that both have: __iommu_calculate_sagaw. */
function isLimited(facts: FormatFacts): boolean {
  const has = (bit: number): boolean => facts.hwInfoBit(ECAP, bit) === true;
  return facts.kernel < 619 && isScalable(facts) === true && has(46) && has(47);
}

/** The first stage has 4 levels, and 5 with FL5LP. */
function firstStageHas(facts: FormatFacts, levels: number): boolean {
  return levels === 4 || (levels === 5 && facts.hwInfoBit(CAP, 60) === true);
}

/** Levels of a second-stage table by SAGAW and MGAW; null when the registers are unknown. */
export function secondStageLevels(facts: FormatFacts): number | null {
  const sagaw = capField(facts, 8, 12);
  const mgaw = capField(facts, 16, 21);
  if (sagaw === null || mgaw === null) return null;
  // SAGAW bit 1 is 3 levels, bit 2 is 4, bit 3 is 5.
  const has = (levels: number): boolean =>
    ((sagaw >> (levels - 2)) & 1) === 1 && (!isLimited(facts) || firstStageHas(facts, levels));
  const width = mgaw + 1;
  // Before 6.19 the widest that the unit walks; since then the widest that its addresses need.
  const wanted = facts.kernel < 619 || width > 48 ? 5 : width > 39 ? 4 : 3;
  for (let levels = wanted; levels >= 3; levels -= 1) if (has(levels)) return levels;
  for (let levels = wanted + 1; levels <= 5; levels += 1) if (has(levels)) return levels;
  return null;
}
