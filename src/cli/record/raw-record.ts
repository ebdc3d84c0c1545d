import { KINDS, OPS, RECORD, SECTION, SECTION_FLAG, SECTION_WHAT } from './channel-layout.ts';

/**
 * One record of a channel, in the bytes that hold it. What every record needs is read at once, all else by
 * the functions below when it is written: a busy program makes a million of them a second.
 */
export interface RawRecord {
  /** Holds this record at `at`, and others. */
  readonly bytes: Buffer;
  readonly at: number;
  readonly type: number;
  readonly op: (typeof OPS)[number];
  readonly pid: number;
  /** Process that the channel belongs to; a child of vfork writes into its parent's. */
  readonly owner: number;
  /** Nanoseconds of CLOCK_MONOTONIC: when it was written. */
  readonly tNs: number;
  /** Position of the request in its channel. */
  readonly call: number;
  readonly fd: number;
}

/** The record at an offset of bytes that nobody writes to any more. */
export function readRecord(bytes: Buffer, at: number, owner: number): RawRecord {
  return {
    bytes,
    at,
    type: bytes.readUInt16LE(at + RECORD.type),
    op: OPS[bytes.readUInt16LE(at + RECORD.op)] ?? '',
    pid: bytes.readUInt32LE(at + RECORD.pid),
    owner,
    tNs: numberAt(bytes, at + RECORD.time),
    call: numberAt(bytes, at + RECORD.call),
    fd: bytes.readInt32LE(at + RECORD.fd),
  };
}

/** Says that a process is gone; no process writes that by itself. */
export function goneRecord(pid: number, tNs: number): RawRecord {
  return {
    bytes: Buffer.alloc(RECORD.size),
    at: 0,
    type: 0,
    op: 'gone',
    pid,
    owner: pid,
    tNs,
    call: 0,
    fd: -1,
  };
}

export const tidOf = ({ bytes, at }: RawRecord): number => bytes.readUInt32LE(at + RECORD.tid);
export const errnoOf = ({ bytes, at }: RawRecord): number => bytes.readUInt32LE(at + RECORD.error);
export const retOf = ({ bytes, at }: RawRecord): number => numberAt(bytes, at + RECORD.ret);
/** The return value of a call that answers an address. */
export const retHexOf = ({ bytes, at }: RawRecord): string => hexAt(bytes, at + RECORD.ret);
export const enteredNsOf = ({ bytes, at }: RawRecord): number => numberAt(bytes, at + RECORD.entered);
export const kindOf = ({ bytes, at }: RawRecord): string =>
  KINDS[bytes.readUInt32LE(at + RECORD.kind)] ?? '?';
/** One of the four arguments, as hex digits with `0x`. */
export const argOf = ({ bytes, at }: RawRecord, index: number): string =>
  hexAt(bytes, at + RECORD.args + 8 * index);
/** The same as a number; exact below 2^53. */
export const argNumberOf = ({ bytes, at }: RawRecord, index: number): number =>
  numberAt(bytes, at + RECORD.args + 8 * index);

/** A 64-bit number as the capture format writes it. */
function hexAt(bytes: Buffer, at: number): string {
  const high = bytes.readUInt32LE(at + 4);
  const low = bytes.readUInt32LE(at);
  return high === 0 ? `0x${low.toString(16)}` : `0x${high.toString(16)}${low.toString(16).padStart(8, '0')}`;
}

function numberAt(bytes: Buffer, at: number): number {
  return bytes.readInt32LE(at + 4) * 2 ** 32 + bytes.readUInt32LE(at);
}

/** Offset of the first section of a kind, from an offset on; -1 when there is none. */
export function findSection({ bytes, at }: RawRecord, what: number, from = at + RECORD.size): number {
  const end = at + bytes.readUInt32LE(at + RECORD.bytes);
  for (let next = from; next + SECTION.size <= end; next = afterSection(bytes, next)) {
    const found = bytes.readUInt32LE(next + SECTION.what);
    if (found === what) return next;
    if (found === 0) break;
  }
  return -1;
}

/** Offset behind a section. */
export function afterSection(bytes: Buffer, section: number): number {
  return section + SECTION.size + bytes.readUInt32LE(section + SECTION.room);
}

/** All sections of a kind. */
export function sectionsOf(record: RawRecord, what: number): readonly number[] {
  const found: number[] = [];
  for (let at = findSection(record, what); at >= 0; ) {
    found.push(at);
    at = findSection(record, what, afterSection(record.bytes, at));
  }
  return found;
}

/** Bytes of the content that are good. */
export const gotBytes = (bytes: Buffer, section: number): number => bytes.readUInt32LE(section + SECTION.got);
/** Hex digits of the content. */
export function contentHex(bytes: Buffer, section: number): string {
  const from = section + SECTION.size;
  return bytes.toString('hex', from, from + gotBytes(bytes, section));
}
/** The content as text. */
export function contentText(bytes: Buffer, section: number): string {
  const from = section + SECTION.size;
  return bytes.toString('utf8', from, from + gotBytes(bytes, section));
}
/** Address, as hex digits with `0x`; of a descriptor its number. */
export const addressOf = (bytes: Buffer, section: number): string => hexAt(bytes, section + SECTION.addr);
/** True length of what was to be read. */
export const lengthOf = (bytes: Buffer, section: number): number => numberAt(bytes, section + SECTION.len);

/** Whether a section has a flag. */
export function hasFlag(bytes: Buffer, section: number, flag: keyof typeof SECTION_FLAG): boolean {
  return (bytes.readUInt32LE(section + SECTION.flags) & SECTION_FLAG[flag]) !== 0;
}

/** Whether two sections hold the same bytes. */
export function isSameContent(one: Buffer, first: number, other: Buffer, second: number): boolean {
  const length = gotBytes(one, first);
  if (length !== gotBytes(other, second)) return false;
  const from = first + SECTION.size;
  const start = second + SECTION.size;
  return one.compare(other, start, start + length, from, from + length) === 0;
}

/** Whether the content is nothing but zeros. */
export function isZero(bytes: Buffer, section: number): boolean {
  const from = section + SECTION.size;
  for (let at = from; at < from + gotBytes(bytes, section); at += 1) if (bytes[at] !== 0) return false;
  return true;
}

/** Text of a record: a path or a name. */
export function textOf(record: RawRecord): string {
  const section = findSection(record, SECTION_WHAT.text);
  return section < 0 ? '' : contentText(record.bytes, section);
}

/** A descriptor that a record lists. */
export interface ListedDescriptor {
  readonly fd: number;
  readonly kind: string;
  readonly flags: string;
  readonly path: string;
  readonly closesOnExec: boolean;
}

/** The descriptors that a record lists. */
export function descriptorsOf(record: RawRecord): readonly ListedDescriptor[] {
  const { bytes } = record;
  return sectionsOf(record, SECTION_WHAT.descriptor).map((section) => ({
    fd: bytes.readUInt32LE(section + SECTION.addr),
    kind: KINDS[bytes.readUInt32LE(section + SECTION.len)] ?? '?',
    flags: `0x${bytes.readUInt32LE(section + SECTION.len + 4).toString(16)}`,
    path: contentText(bytes, section),
    closesOnExec: hasFlag(bytes, section, 'closesOnExec'),
  }));
}
