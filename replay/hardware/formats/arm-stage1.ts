import type { FormatFacts, TableFormat, UnknownBits } from '../table-format.ts';
import { READ, WRITE } from '../table-format.ts';
import {
  type ArmGeometry,
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
  tableWord,
} from './arm-lpae.ts';

/**
 * Arm stage 1, as Linux fills it for a user's domain (io-pgtable-arm.c arm_lpae_prot_to_pte): no contiguous
 * hints, nG set, the access flag set, unprivileged, cacheable and inner shareable. There is no way to say
 * "write only": such a map can be read too.
 */

/** IOMMU_MMIO of iommu.h, which device memory (a dma-buf) is mapped with, and then without IOMMU_CACHE. */
export const MMIO = 16;

const ACCESS_FLAG = 1n << 10n;
const NOT_GLOBAL = 1n << 11n;
/** Index 1 of MAIR: write-back; index 2: device memory. */
const CACHED = 1n << 2n;
const DEVICE = 2n << 2n;
const INNER_SHAREABLE = 3n << 8n;
const OUTER_SHAREABLE = 2n << 8n;
const UNPRIVILEGED = 1n << 6n;
const READ_ONLY = 1n << 7n;
/** Dirty bit modifier: the hardware may clear READ_ONLY, which then means "clean". */
const DIRTY_MODIFIER = 1n << 51n;
const DIRTY: readonly UnknownBits[] = [{ mask: READ_ONLY, holds: 'dirty' }];

/** Null when the facts are of another format, or of no granule of Arm's. */
export function makeArmStage1(facts: FormatFacts): TableFormat | null {
  if (facts.format !== 'smmu-s1') return null;
  const geometry = armGeometry({
    pageSizes: facts.pageSizes,
    inputBits: inputBitsOf(facts.apertureLastPage),
    outputBits: outputBitsOf(facts),
  });
  return geometry === null ? null : armStage1(geometry, isCoherent(facts), facts.dirtyTracking);
}

export function armStage1(geometry: ArmGeometry, coherent = true, tracksDirty = false): TableFormat {
  const table = tableWord(geometry, coherent);
  return {
    name: `smmu-s1-${granuleName(geometry)}`,
    levels: geometry.levels,
    keepsFrom: geometry.leafSizes.at(-1)?.level ?? 1,
    growsFrom: null,
    itemShift: (level) => itemShift(geometry, level),
    indexBits: (level) => indexBits(geometry, level),
    leafSizes: geometry.leafSizes,
    leafWord: (frame, prot, size) => {
      const isTracked = tracksDirty && !isReadOnly(prot);
      return leafWord(geometry, frame, size, attributesOf(prot, tracksDirty), isTracked ? DIRTY : []);
    },
    tableWord: () => table,
    tableAddress: (word) => addressIn(geometry, word),
    parse: (word, level) => parseWord(geometry, word, level, permitsStage1),
  };
}

function isReadOnly(prot: number): boolean {
  return (prot & WRITE) === 0 && (prot & READ) !== 0;
}

function attributesOf(prot: number, tracksDirty: boolean): bigint {
  const memory = (prot & MMIO) !== 0 ? DEVICE | OUTER_SHAREABLE : CACHED | INNER_SHAREABLE;
  const writing = isReadOnly(prot) ? READ_ONLY : tracksDirty ? DIRTY_MODIFIER : 0n;
  return NOT_GLOBAL | ACCESS_FLAG | UNPRIVILEGED | memory | writing;
}

/** What a stage-1 leaf lets an unprivileged stream do. */
export function permitsStage1(word: bigint): number {
  if ((word & UNPRIVILEGED) === 0n) return 0;
  const isWritable = (word & READ_ONLY) === 0n || (word & DIRTY_MODIFIER) !== 0n;
  return isWritable ? READ | WRITE : READ;
}

/** A leaf without the access flag faults where the hardware does not set it itself. */
export function hasAccessFlag(word: bigint): boolean {
  return (word & ACCESS_FLAG) !== 0n;
}
