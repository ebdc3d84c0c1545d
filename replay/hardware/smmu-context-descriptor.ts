import type { ArmGeometry } from './formats/arm-lpae.ts';
import { granuleField, sizeField, walkAttributes } from './smmu-stream-table.ts';
import { bits, entry, field, unknownField, word, ZERO } from './smmu-words.ts';
import type { Word } from './table-format.ts';

/** Context descriptors of the kernel's own stage-1 tables, and the fields of a guest's. */

const VALID = bits(31, 31);
/** No walks by the second table base. */
const NO_TABLE_1 = bits(30, 30);
const AARCH64 = bits(41, 41);
const HARDWARE_DIRTY = bits(42, 42);
const HARDWARE_ACCESS = bits(43, 43);
/** R, A, ASET: faults are recorded and abort; the ASID is not shared with the CPUs. */
const RECORDS_FAULTS = bits(45, 45);
const ABORTS = bits(46, 46);
const OWN_ASID = bits(47, 47);
/**
 * MAIR of io-pgtable-arm.c: non-cacheable, write-back, device, outer cacheable only. The last is shifted as a
 * signed int, so that its sign fills the upper half.
 */
const MEMORY_ATTRIBUTES = 0xfffffffff404ff44n;

/** A stage-1 domain. */
export interface Stage1 {
  readonly geometry: ArmGeometry;
  readonly coherent: boolean;
  /** Null when it can not be known which ids the kernel itself holds. */
  readonly asid: number | null;
  readonly tracksDirty: boolean;
}

/** arm_smmu_make_s1_cd. */
export function contextDescriptor({ geometry, coherent, asid, tracksDirty }: Stage1): Word[] {
  const first =
    field(64 - geometry.inputBits, 5, 0) |
    field(granuleField(geometry), 7, 6) |
    walkAttributes(coherent, 8) |
    NO_TABLE_1 |
    VALID |
    field(sizeField(geometry.outputBits), 34, 32) |
    AARCH64 |
    (tracksDirty ? HARDWARE_DIRTY | HARDWARE_ACCESS : 0n) |
    RECORDS_FAULTS |
    ABORTS |
    OWN_ASID |
    field(asid ?? 0, 63, 48);
  return entry(
    word(first, asid === null ? unknownField('ASID', 63, 48) : null),
    word(0n, unknownField('TTB0', 51, 4)),
    ZERO,
    word(MEMORY_ATTRIBUTES),
  );
}

/** What a walk takes from a context descriptor that was read from memory. */
export interface ContextFields {
  readonly valid: boolean;
  readonly inputBits: number;
  readonly granuleShift: number;
  /** Translation by TTB0 is switched off. */
  readonly disabled: boolean;
  readonly tableBase: bigint;
  readonly asid: number;
  readonly setsAccessFlag: boolean;
}

const GRANULE_SHIFTS: readonly number[] = [12, 16, 14, 12];

export function parseContext(first: bigint, second: bigint): ContextFields {
  return {
    valid: (first & VALID) !== 0n,
    inputBits: 64 - Number(first & 0x3fn),
    granuleShift: GRANULE_SHIFTS[Number((first >> 6n) & 3n)]!,
    disabled: (first & bits(14, 14)) !== 0n,
    tableBase: second & bits(51, 4),
    asid: Number(first >> 48n),
    setsAccessFlag: (first & HARDWARE_ACCESS) !== 0n,
  };
}
