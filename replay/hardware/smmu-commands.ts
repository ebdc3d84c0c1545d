import type { SmmuFeatures } from './smmu-features.ts';
import { field, unknownField, word, ZERO } from './smmu-words.ts';
import type { Word } from './table-format.ts';

/** Commands that the kernel puts in an SMMU's command queue (arm-smmu-v3.h), two words each. */

export interface SmmuCommand {
  readonly name: string;
  readonly words: readonly [Word, Word];
}

/** An ASID or VMID; null when it can not be known which ids the kernel itself holds. */
export type TagId = number | null;

export const OPCODE = {
  PREFETCH_CONFIG: 0x01,
  CFGI_STE: 0x03,
  CFGI_CD: 0x05,
  CFGI_CD_ALL: 0x06,
  TLBI_NH_ALL: 0x10,
  TLBI_NH_ASID: 0x11,
  TLBI_NH_VA: 0x12,
  TLBI_NH_VAA: 0x13,
  TLBI_S12_VMALL: 0x28,
  TLBI_S2_IPA: 0x2a,
  TLBI_NSNH_ALL: 0x30,
  ATC_INV: 0x40,
  SYNC: 0x46,
} as const;

export type CommandName = keyof typeof OPCODE;

const NAMES = new Map<number, CommandName>(
  Object.entries(OPCODE).map(([name, code]) => [code, name as CommandName]),
);

export function commandName(opcode: number): string {
  return NAMES.get(opcode) ?? `0x${opcode.toString(16)}`;
}

/** A command whose words are wholly known. */
export function command(name: CommandName, first: bigint, second = 0n): SmmuCommand {
  return { name, words: [word(BigInt(OPCODE[name]) | first), word(second)] };
}

/** Words that another made, such as a guest. */
export function commandOf(first: bigint, second: bigint): SmmuCommand {
  return { name: commandName(Number(first & 0xffn)), words: [word(first), word(second)] };
}

const stream = (id: number): bigint => field(id, 63, 32);

/** The driver expects a new entry to be used soon. */
export function prefetchConfig(streamId: number): SmmuCommand {
  return command('PREFETCH_CONFIG', stream(streamId));
}

export function invalidateStreamEntry(streamId: number): SmmuCommand {
  return command('CFGI_STE', stream(streamId), 1n);
}

export function invalidateContext(streamId: number, substream: number): SmmuCommand {
  return command('CFGI_CD', stream(streamId) | field(substream, 31, 12), 1n);
}

/** SYNC that signals with an event (CS 2), inner shareable, write-back: what a machine without MSIs does. */
const SYNC_FIELDS = field(2, 13, 12) | field(3, 23, 22) | field(0xf, 27, 24);

export function sync(): SmmuCommand {
  return command('SYNC', SYNC_FIELDS);
}

/** A TLBI by its tag: arm_smmu_make_cmd_tlbi. */
export function invalidateTag(name: CommandName, tag: TlbTag): SmmuCommand {
  const [first, second] = tagWords(name, tag, 0n);
  return { name, words: [first, second] };
}

export interface TlbTag {
  /** Stage 1 has an ASID (its VMID is 0), stage 2 a VMID. */
  readonly stage: 1 | 2;
  readonly id: TagId;
}

function tagWords(name: CommandName, { stage, id }: TlbTag, more: bigint): [Word, Word] {
  const [high, low] = stage === 1 ? [63, 48] : [47, 32];
  const unknown = id === null ? unknownField(stage === 1 ? 'ASID' : 'VMID', high, low) : null;
  return [word(BigInt(OPCODE[name]) | more | field(id ?? 0, high, low), unknown), ZERO];
}

/** Bytes to invalidate; `granuleShift` is the size of the leaves that went. */
export interface TlbRange {
  readonly iova: number;
  readonly bytes: number;
  readonly granuleShift: number;
  /** log2 of the domain's smallest page. */
  readonly pageShift: number;
  /** Only leaves changed: walk caches may keep what they have of tables. */
  readonly leaf: boolean;
}

/**
 * arm_smmu_inv_to_cmdq_batch: the commands for one range, without the SYNC after them. An SMMU that can not
 * take ranges gets one for each leaf, or one for everything when that would be too many.
 */
export function invalidateRange(features: SmmuFeatures, tag: TlbTag, range: TlbRange): SmmuCommand[] {
  const name: CommandName = tag.stage === 1 ? 'TLBI_NH_VA' : 'TLBI_S2_IPA';
  if (features.invalidatesRanges) return rangeCommands(name, tag, range);
  const most = 2 ** (range.granuleShift - 3);
  const granule = 2 ** range.granuleShift;
  if (range.bytes >= most * granule)
    return [invalidateTag(tag.stage === 1 ? 'TLBI_NH_ASID' : 'TLBI_S12_VMALL', tag)];
  const commands: SmmuCommand[] = [];
  for (let iova = range.iova; iova < range.iova + range.bytes; iova += granule) {
    const [first] = tagWords(name, tag, 0n);
    commands.push({ name, words: [first, word(addressOf(iova) | (range.leaf ? 1n : 0n))] });
  }
  return commands;
}

const MOST_CHUNKS = 32;

/**
 * arm_smmu_cmdq_batch_add_range: each command covers NUM + 1 chunks of 2^SCALE pages, NUM having five bits;
 * the lowest bits of the page count come first.
 */
function rangeCommands(name: CommandName, tag: TlbTag, range: TlbRange): SmmuCommand[] {
  const { pageShift, granuleShift, leaf } = range;
  const level = leaf ? 4 - Math.floor((granuleShift - 3) / (pageShift - 3)) : 0;
  const fields = field(leaf ? 1 : 0, 0, 0) | field(level, 9, 8) | field((pageShift - 10) / 2, 11, 10);
  let pages = Math.floor(range.bytes / 2 ** pageShift);
  // A command with both fields zero is not used for tables, because of errata.
  if (!leaf && pages % MOST_CHUNKS === 1) pages += 1;
  const end = range.iova + range.bytes;
  const commands: SmmuCommand[] = [];
  for (let iova = range.iova; iova < end; ) {
    const scale = trailingZeros(pages);
    const chunks = Math.floor(pages / 2 ** scale) % MOST_CHUNKS;
    const [first] = tagWords(name, tag, field(chunks - 1, 16, 12) | field(scale % 32, 25, 20));
    commands.push({ name, words: [first, word(addressOf(iova) | fields)] });
    pages -= chunks * 2 ** scale;
    iova += chunks * 2 ** (scale + pageShift);
  }
  return commands;
}

function trailingZeros(number: number): number {
  let zeros = 0;
  for (let left = number; left > 0 && left % 2 === 0; left /= 2) zeros += 1;
  return zeros;
}

/** Bits 63:12 of an address. */
function addressOf(iova: number): bigint {
  return BigInt(iova) & ~0xfffn;
}

/** Everything that a device caches. */
const WHOLE_ATC = 52;

/** The command names a substream. */
const SUBSTREAM_VALID = 1n << 11n;

/** arm_smmu_make_cmd_atc_inv_all: of one PASID, or with 0 of the device. */
export function invalidateDevice(streamId: number, pasid = 0): SmmuCommand {
  const substream = pasid === 0 ? 0n : field(pasid, 31, 12) | SUBSTREAM_VALID;
  return command('ATC_INV', stream(streamId) | substream, BigInt(WHOLE_ATC));
}

/** arm_smmu_atc_inv_to_cmd: the smallest aligned power of two of pages that holds the range. */
export function invalidateDeviceRange(streamId: number, iova: number, bytes: number): SmmuCommand {
  const first = Math.floor(iova / 4096);
  const last = Math.floor((iova + bytes - 1) / 4096);
  let span = 0;
  while (Math.floor(first / 2 ** span) !== Math.floor(last / 2 ** span)) span += 1;
  const start = first - (first % 2 ** span);
  return command('ATC_INV', stream(streamId), addressOf(start * 4096) | field(span, 5, 0));
}
