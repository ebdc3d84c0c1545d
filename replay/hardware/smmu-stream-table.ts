import type { ArmGeometry } from './formats/arm-lpae.ts';
import { startLevelOf } from './formats/arm-lpae.ts';
import type { SmmuFeatures } from './smmu-features.ts';
import { bits, entry, field, unknownField, word } from './smmu-words.ts';
import type { UnknownBits, Word } from './table-format.ts';

/**
 * Stream table entries as arm-smmu-v3.c writes them, for each state that a device can be in. What the kernel
 * chose for itself (addresses of tables) is named and left open; so is EATS where the device may have ATS.
 */

const VALID = 1n;
const CONFIG = bits(3, 1);
const ABORT = 0;
const BYPASS = 4;
const STAGE_1 = 5;
const STAGE_2 = 6;
const NESTED = 7;
/** S1DSS: what a transaction without a substream is: terminated, bypass, or that of substream 0. */
export const TERMINATES = 0;
export const BYPASSES = 1;
export const USES_SUBSTREAM_0 = 2;
const WRITE_BACK = 1;
const INNER_SHAREABLE = 3;
const NO_STALLS = bits(27, 27);
const FORCES_WRITE_BACK = bits(25, 25);
const MERGES_EVENTS = bits(19, 19);
const INCOMING_SHAREABILITY = field(1, 45, 44);
const AARCH64 = bits(51, 51);
/** A stage-1 walk must not go through device memory. */
const PROTECTS_WALK = bits(54, 54);
const RECORDS_FAULTS = bits(58, 58);
const CONTEXT_POINTER = [51, 6] as const;
const TABLE_BASE = [51, 4] as const;
/** Context descriptors of one leaf of a two-level table: CTXDESC_L2_ENTRIES. */
const LEAF_CONTEXTS = 1024;
const TWO_LEVELS_OF_64K = 2;

/** What a device's entry depends on besides its domain. */
export interface SmmuStream {
  readonly features: SmmuFeatures;
  /** Bits of the substream ids that device and SMMU both have. */
  readonly substreamBits: number;
  /** Whether ATS may be on; null when the topology does not say whether the device has it. */
  readonly ats: boolean | null;
}

/** A stage-2 domain. */
export interface Stage2 {
  readonly geometry: ArmGeometry;
  /** Null when it can not be known which ids the kernel itself holds. */
  readonly vmid: number | null;
  readonly forcesWriteBack: boolean;
}

/** arm_smmu_make_abort_ste: bound and attached to nothing, a guest's abort, and a guest's entry without V. */
export function abortEntry(): Word[] {
  return entry(word(VALID | field(ABORT, 3, 1)));
}

/** arm_smmu_make_bypass_ste: the kernel's identity domain. */
export function bypassEntry({ features }: Pick<SmmuStream, 'features'>): Word[] {
  const shareability = features.overridesAttributes ? INCOMING_SHAREABILITY : 0n;
  return entry(word(VALID | field(BYPASS, 3, 1)), word(shareability));
}

/** arm_smmu_make_cdtable_ste. */
export function stage1Entry(stream: SmmuStream, s1dss: number = USES_SUBSTREAM_0): Word[] {
  const { features, substreamBits } = stream;
  const isLarge = features.twoLevelContexts && 2 ** substreamBits > LEAF_CONTEXTS;
  const first =
    VALID |
    field(STAGE_1, 3, 1) |
    field(isLarge ? TWO_LEVELS_OF_64K : 0, 5, 4) |
    field(substreamBits, 63, 59);
  const second =
    field(s1dss, 1, 0) |
    field(WRITE_BACK, 3, 2) |
    field(WRITE_BACK, 5, 4) |
    field(INNER_SHAREABLE, 7, 6) |
    (features.stalls ? NO_STALLS : 0n) |
    (features.overridesAttributes && s1dss === BYPASSES ? INCOMING_SHAREABILITY : 0n);
  return entry(
    word(first, unknownField('S1ContextPtr', ...CONTEXT_POINTER)),
    word(second | eats(stream), unknownEats(stream)),
  );
}

/** EATS is on where device, SMMU and firmware all have ATS. */
function eats({ ats }: SmmuStream): bigint {
  return ats === true ? field(1, 29, 28) : 0n;
}

function unknownEats({ ats }: SmmuStream): UnknownBits | null {
  return ats === null ? unknownField('EATS', 29, 28) : null;
}

/** arm_smmu_make_s2_domain_ste. */
export function stage2Entry(stream: SmmuStream, domain: Stage2): Word[] {
  const { features } = stream;
  const attributes =
    (domain.forcesWriteBack ? FORCES_WRITE_BACK : 0n) |
    (features.overridesAttributes ? INCOMING_SHAREABILITY : 0n);
  return entry(
    word(VALID | field(STAGE_2, 3, 1)),
    word(attributes | eats(stream), unknownEats(stream)),
    word(
      field(domain.vmid ?? 0, 15, 0) |
        field(vtcrOf(domain.geometry, features.coherent), 50, 32) |
        AARCH64 |
        PROTECTS_WALK |
        RECORDS_FAULTS,
      domain.vmid === null ? unknownField('S2VMID', 15, 0) : null,
    ),
    word(0n, unknownField('S2TTB', ...TABLE_BASE)),
  );
}

/** The walk's own parameters, as STE.VTCR and as VTCR of arm_64_lpae_alloc_pgtable_s2. */
function vtcrOf(geometry: ArmGeometry, coherent: boolean): bigint {
  const start = startLevelOf(geometry);
  const sl0 = ~(geometry.granuleShift === 12 ? start + 1 : start) & 3;
  return (
    field(64 - geometry.inputBits, 5, 0) |
    field(sl0, 7, 6) |
    walkAttributes(coherent, 8) |
    field(granuleField(geometry), 15, 14) |
    field(sizeField(geometry.outputBits), 18, 16)
  );
}

/** IRGN, ORGN and SH of table walks, from a bit on. */
export function walkAttributes(coherent: boolean, low: number): bigint {
  const [cache, share] = coherent ? [WRITE_BACK, INNER_SHAREABLE] : [0, 2];
  return field(cache, low + 1, low) | field(cache, low + 3, low + 2) | field(share, low + 5, low + 4);
}

/** TG0: 4 KiB is 0, 64 KiB 1, 16 KiB 2. */
export function granuleField({ granuleShift }: ArmGeometry): number {
  return { 12: 0, 14: 2, 16: 1 }[granuleShift] ?? 0;
}

/** PS or IPS. */
export function sizeField(outputBits: number): number {
  return [32, 36, 40, 42, 44, 48, 52].indexOf(outputBits);
}

/** Words 0 and 1 that user space gave for a nested HWPT. */
export interface GuestEntry {
  readonly first: bigint;
  readonly second: bigint;
}

/** The bytes of struct iommu_hwpt_arm_smmuv3. */
export function guestEntry(data: Uint8Array): GuestEntry {
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  return { first: view.getBigUint64(0, true), second: view.getBigUint64(8, true) };
}

/** What a guest's entry asks for: arm_smmu_make_nested_domain_ste. */
export function guestConfig({ first }: GuestEntry): 'abort' | 'bypass' | 'stage1' {
  if ((first & VALID) === 0n) return 'abort';
  const config = Number((first & CONFIG) >> 1n);
  return config === STAGE_1 ? 'stage1' : config === BYPASS ? 'bypass' : 'abort';
}

/**
 * arm_smmu_make_nested_domain_ste. EATS follows the guest's wish where the device has ATS; everything else of
 * its second word is taken over.
 */
export function nestedEntry(stream: SmmuStream, parent: Stage2, guest: GuestEntry): Word[] {
  const config = guestConfig(guest);
  if (config === 'abort') return abortEntry();
  if (config === 'bypass') return stage2Entry(stream, parent);
  const wantsAts = (guest.second & bits(29, 28)) !== 0n;
  const below = stage2Entry({ ...stream, ats: wantsAts ? stream.ats : false }, parent);
  const [, attributes, ...rest] = below as [Word, Word, ...Word[]];
  return [
    word((guest.first & ~CONFIG) | VALID | field(NESTED, 3, 1)),
    word(attributes.value | (guest.second & ~bits(29, 28)) | MERGES_EVENTS, ...attributes.unknown),
    ...rest,
  ];
}
