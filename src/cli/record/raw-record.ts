import { KINDS, OPS, RECORD, SECTION, SECTION_FLAG, SECTION_WHAT } from './channel-layout.ts';

/** One section of a record: bytes that belong to it. */
export interface RawSection {
  readonly what: number;
  readonly flags: number;
  /** Address, or the number of a descriptor, as hex digits with `0x`. */
  readonly addr: string;
  /** True length; of a descriptor its kind. */
  readonly len: number;
  readonly flagsAbove: number;
  readonly bytes: Buffer;
}

/** One record of a channel, with its bytes copied. */
export interface RawRecord {
  readonly type: number;
  readonly op: (typeof OPS)[number];
  readonly pid: number;
  readonly tid: number;
  readonly errno: number;
  /** Nanoseconds of CLOCK_MONOTONIC. */
  readonly tNs: number;
  readonly enteredNs: number;
  /** Position of the request in its channel. */
  readonly call: number;
  /** Return value, as a number: addresses are in `retHex`. */
  readonly ret: number;
  readonly retHex: string;
  readonly fd: number;
  readonly kind: (typeof KINDS)[number];
  /** Arguments as hex digits with `0x`. */
  readonly args: readonly [string, string, string, string];
  readonly sections: readonly RawSection[];
}

/** A 64-bit number as the capture format writes it. */
export function hexAt(bytes: Buffer, at: number): string {
  const high = bytes.readUInt32LE(at + 4);
  const low = bytes.readUInt32LE(at);
  return high === 0 ? `0x${low.toString(16)}` : `0x${high.toString(16)}${low.toString(16).padStart(8, '0')}`;
}

/** Reads the record at an offset; its bytes are copied, since the buffer is used again. */
export function readRecord(bytes: Buffer, at: number): RawRecord {
  const end = at + bytes.readUInt32LE(at + RECORD.bytes);
  const sections: RawSection[] = [];
  for (let next = at + RECORD.size; next + SECTION.size <= end; ) {
    const what = bytes.readUInt32LE(next + SECTION.what);
    if (what === 0) break;
    const from = next + SECTION.size;
    const got = bytes.readUInt32LE(next + SECTION.got);
    sections.push({
      what,
      flags: bytes.readUInt32LE(next + SECTION.flags),
      addr: hexAt(bytes, next + SECTION.addr),
      len: countOf(bytes, next + SECTION.len, what),
      flagsAbove: bytes.readUInt32LE(next + SECTION.len + 4),
      bytes: Buffer.from(bytes.subarray(from, from + got)),
    });
    next = from + bytes.readUInt32LE(next + SECTION.room);
  }
  return {
    type: bytes.readUInt16LE(at + RECORD.type),
    op: OPS[bytes.readUInt16LE(at + RECORD.op)] ?? '',
    pid: bytes.readUInt32LE(at + RECORD.pid),
    tid: bytes.readUInt32LE(at + RECORD.tid),
    errno: bytes.readUInt32LE(at + RECORD.error),
    tNs: signedCount(bytes, at + RECORD.time),
    enteredNs: signedCount(bytes, at + RECORD.entered),
    call: signedCount(bytes, at + RECORD.call),
    ret: signedCount(bytes, at + RECORD.ret),
    retHex: hexAt(bytes, at + RECORD.ret),
    fd: bytes.readInt32LE(at + RECORD.fd),
    kind: KINDS[bytes.readUInt32LE(at + RECORD.kind)] ?? '?',
    args: [
      hexAt(bytes, at + RECORD.args),
      hexAt(bytes, at + RECORD.args + 8),
      hexAt(bytes, at + RECORD.args + 16),
      hexAt(bytes, at + RECORD.args + 24),
    ],
    sections,
  };
}

function countOf(bytes: Buffer, at: number, what: number): number {
  if (what === SECTION_WHAT.descriptor) return bytes.readUInt32LE(at);
  return bytes.readUInt32LE(at + 4) * 2 ** 32 + bytes.readUInt32LE(at);
}

function signedCount(bytes: Buffer, at: number): number {
  return bytes.readInt32LE(at + 4) * 2 ** 32 + bytes.readUInt32LE(at);
}

/** Text of a record: a path or a name. */
export function textOf({ sections }: RawRecord): string {
  return sections.find(({ what }) => what === SECTION_WHAT.text)?.bytes.toString('utf8') ?? '';
}

/** Whether a section has a flag. */
export function hasFlag({ flags }: RawSection, flag: keyof typeof SECTION_FLAG): boolean {
  return (flags & SECTION_FLAG[flag]) !== 0;
}
