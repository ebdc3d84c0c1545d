import type { FormatFacts, MakeFormat, TableFormat } from '../table-format.ts';
import { amdV1 } from './amdv1.ts';
import { makeArmStage1 } from './arm-stage1.ts';
import { makeArmStage2 } from './arm-stage2.ts';
import { riscv } from './riscv.ts';
import { vtdSecondStage } from './vtd-ss.ts';
import { x8664 } from './x86-64.ts';

/** The CPU's format as a guest keeps it in its own memory, whatever IOMMU walks it. */
export function guestX86(levels: number): TableFormat {
  const format = x8664({
    format: 'vtd-fs',
    apertureLastPage: 2 ** (9 * levels) - 1,
    pageSizes: 0x4020_1000n,
    kernel: 0,
    dirtyTracking: false,
    nestParent: false,
    enforceCoherency: false,
    hwInfoBit: () => null,
    stated: () => null,
  });
  if (format === null) throw new Error('the first stage of VT-d has no format');
  return format;
}

/** Every format there is; each answers to its own names only. */
const FORMATS: readonly MakeFormat[] = [vtdSecondStage, x8664, amdV1, riscv, makeArmStage1, makeArmStage2];

/** The format of a domain; null when nobody knows its name. */
export function formatOf(facts: FormatFacts): TableFormat | null {
  for (const make of FORMATS) {
    const format = make(facts);
    if (format !== null) return format;
  }
  return null;
}
