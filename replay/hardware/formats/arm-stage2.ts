import type { FormatFacts, TableFormat } from '../table-format.ts';
import { READ, WRITE } from '../table-format.ts';
import {
  type ArmGeometry,
  type ArmSizes,
  addressIn,
  armGeometry,
  granuleName,
  indexBits,
  inputBitsOf,
  isCoherent,
  itemShift,
  leafWord,
  outputBitsOf,
  parseWord,
  startLevelOf,
  tableWord,
} from './arm-lpae.ts';
import { MMIO } from './arm-stage1.ts';

/**
 * Arm stage 2, as Linux fills it (io-pgtable-arm.c arm_64_lpae_alloc_pgtable_s2, arm_lpae_prot_to_pte):
 * reading and writing are permitted each on its own, and the first tables stand side by side (are
 * concatenated) where that saves a level.
 */

const READABLE = 1n << 6n;
const WRITABLE = 2n << 6n;
const ACCESS_FLAG = 1n << 10n;
const INNER_SHAREABLE = 3n << 8n;
const OUTER_SHAREABLE = 2n << 8n;
/** Memory attributes: write-back unless stage 1 says otherwise; with S2FWB write-back whatever it says. */
const WRITE_BACK = 0xfn << 2n;
const FORCED_WRITE_BACK = 6n << 2n;
const DEVICE = 1n << 2n;
/** Most tables side by side: ARM_LPAE_S2_MAX_CONCAT_PAGES. */
const MOST_SIDE_BY_SIDE_BITS = 4;
/** Since this release tables are joined only where the architecture demands it, and S2FWB is used. */
const LINUX_6_13 = 613;
/** IDR3.FWB of the SMMU in the bytes of GET_HW_INFO. */
const IDR3 = 20;
const FWB = 8;

/** Null when the facts are of another format, or of no granule of Arm's. */
export function makeArmStage2(facts: FormatFacts): TableFormat | null {
  if (facts.format !== 'smmu-s2') return null;
  const sizes = {
    pageSizes: facts.pageSizes,
    inputBits: inputBitsOf(facts.apertureLastPage),
    outputBits: outputBitsOf(facts),
  };
  const geometry = stage2Geometry(sizes, facts.kernel);
  const forced = facts.nestParent && facts.kernel >= LINUX_6_13 && facts.hwInfoBit(IDR3, FWB) === true;
  return geometry === null ? null : armStage2(geometry, isCoherent(facts), forced);
}

/** Geometry of a stage 2 of the given kernel (major * 100 + minor). */
export function stage2Geometry(sizes: ArmSizes, kernel: number): ArmGeometry | null {
  const geometry = armGeometry(sizes);
  if (geometry === null) return null;
  const joins = kernel < LINUX_6_13 ? joinsAlways(geometry) : joinsWhereNeeded(geometry);
  if (!joins) return geometry;
  return { ...geometry, levels: geometry.levels - 1, rootBits: geometry.rootBits + geometry.bitsPerLevel };
}

/** Until 6.12: whenever a walk would begin at Arm's level 0 with few entries. */
function joinsAlways(geometry: ArmGeometry): boolean {
  return startLevelOf(geometry) === 0 && geometry.rootBits <= MOST_SIDE_BY_SIDE_BITS;
}

/** arm_lpae_concat_mandatory. */
function joinsWhereNeeded(geometry: ArmGeometry): boolean {
  const { granuleShift, inputBits, outputBits } = geometry;
  const start = startLevelOf(geometry);
  if (granuleShift === 14 && start === 0) return outputBits === 48 || inputBits === 48;
  if (granuleShift === 12 && start === 0) return outputBits === 40 || outputBits === 42;
  return granuleShift === 14 && start === 1 && outputBits === 40;
}

export function armStage2(geometry: ArmGeometry, coherent = true, forcesWriteBack = false): TableFormat {
  const table = tableWord(geometry, coherent);
  const cached = forcesWriteBack ? FORCED_WRITE_BACK : WRITE_BACK;
  return {
    name: `smmu-s2-${granuleName(geometry)}`,
    levels: geometry.levels,
    keepsFrom: geometry.leafSizes.at(-1)?.level ?? 1,
    growsFrom: null,
    itemShift: (level) => itemShift(geometry, level),
    indexBits: (level) => indexBits(geometry, level),
    leafSizes: geometry.leafSizes,
    leafWord: (frame, prot, size) => leafWord(geometry, frame, size, attributesOf(prot, cached), []),
    tableWord: () => table,
    tableAddress: (word) => addressIn(geometry, word),
    parse: (word, level) => parseWord(geometry, word, level, permitsStage2),
  };
}

function attributesOf(prot: number, cached: bigint): bigint {
  const memory = (prot & MMIO) !== 0 ? DEVICE | OUTER_SHAREABLE : cached | INNER_SHAREABLE;
  const access = ((prot & READ) !== 0 ? READABLE : 0n) | ((prot & WRITE) !== 0 ? WRITABLE : 0n);
  return ACCESS_FLAG | memory | access;
}

/** What a stage-2 leaf lets through. */
export function permitsStage2(word: bigint): number {
  return ((word & READABLE) === 0n ? 0 : READ) | ((word & WRITABLE) === 0n ? 0 : WRITE);
}
