import type { MemoryBuffer } from '../../call.ts';
import { intIn, wideIn } from './fields.ts';

/** A line that begins an event, cut into its fields. */
export interface Line {
  readonly type: string;
  readonly tid: number;
  readonly pid: number;
  readonly n: number;
  readonly ns: bigint;
  readonly fields: readonly string[];
  readonly text: string;
}

/** A call of several lines, while they come in. */
export interface AssembledCall {
  readonly type: 'enter' | 'write' | 'read';
  readonly tid: number;
  readonly pid: number;
  readonly n: number;
  readonly ns: bigint;
  readonly fd: number;
  readonly cmd: number;
  /** Address of the struct, or of the data of a read or write. */
  readonly addr: bigint;
  /** Bytes of the struct or of the data, as the line says; 0 when the page was not in memory. */
  readonly size: number;
  readonly before: Pieces;
  readonly after: Pieces;
  readonly buffers: Map<string, AssembledBuffer>;
  /** As the kernel returns it; null while it is not known. */
  ret: bigint | null;
}

interface AssembledBuffer {
  readonly addr: bigint;
  readonly length: number;
  readonly before: Pieces;
  readonly after: Pieces;
}

/** Bytes that come in pieces. */
interface Pieces {
  bytes: Uint8Array;
  /** How many of them are known, counted from the start. */
  known: number;
  /** A piece did not follow the one before: what lies between was lost. */
  gap: boolean;
}

/** The script's own limit of what it keeps of a struct or buffer. */
export const KEPT_BYTES = 512;
const BUFFERS_MAX = 16;

const noPieces = (): Pieces => ({ bytes: new Uint8Array(0), known: 0, gap: false });

/** Begins a call; null when the line is damaged. */
export function newCall(
  { type, tid, pid, n, ns, fields, text }: Line,
  bytes: Uint8Array,
): AssembledCall | null {
  const fd = intIn(fields[5]);
  const isIoctl = type === 'enter';
  const cmd = isIoctl ? intIn(fields[6]) : 0;
  const addr = wideIn(fields[isIoctl ? 7 : 6]);
  const size = intIn(fields[isIoctl ? 8 : 7]);
  if (fd === null || cmd === null || addr === null || size === null || size < 0) return null;
  if (cmd < 0 || cmd > 0xffff_ffff) return null;
  const ret = type === 'read' ? wideIn(fields[8]) : null;
  if (type === 'read' && ret === null) return null;
  const shared = { tid, pid, n, ns, fd, cmd, addr, buffers: new Map(), ret };
  const made: AssembledCall = {
    type: type as AssembledCall['type'],
    ...shared,
    size,
    before: noPieces(),
    after: noPieces(),
  };
  const name = isIoctl && size === 0 ? / 0 "(.*)"$/.exec(text)?.[1] : undefined;
  const known = name === undefined ? bytes : new Uint8Array(Buffer.from(`${name}\0`));
  addBytes(made, 'before', 0, known);
  return name === undefined ? made : { ...made, size: known.length };
}

/** Adds a piece of the struct or of the data; false when it can be none. */
export function addBytes(
  call: AssembledCall,
  when: 'before' | 'after',
  offset: number,
  bytes: Uint8Array,
): boolean {
  return addPiece(call[when], offset, bytes);
}

/** Adds a piece of a user buffer; false when it can be none. */
export function addBuffer(
  call: AssembledCall,
  when: 'before' | 'after',
  addr: bigint,
  length: number,
  offset: number,
  bytes: Uint8Array,
): boolean {
  const key = `${addr} ${length}`;
  const found = call.buffers.get(key);
  if (found === undefined && (call.buffers.size >= BUFFERS_MAX || length < 0 || addr < 0n)) return false;
  const buffer = found ?? { addr, length, before: noPieces(), after: noPieces() };
  call.buffers.set(key, buffer);
  return addPiece(buffer[when], offset, bytes);
}

function addPiece(pieces: Pieces, offset: number, bytes: Uint8Array): boolean {
  const end = offset + bytes.length;
  if (offset < 0 || end > 2 * KEPT_BYTES) return false;
  if (offset > pieces.known) pieces.gap = true;
  if (end > pieces.bytes.length) {
    const longer = new Uint8Array(end);
    longer.set(pieces.bytes);
    pieces.bytes = longer;
  }
  pieces.bytes.set(bytes, offset);
  if (end > pieces.known) pieces.known = end;
  return true;
}

/** Whether pieces hold all of so many bytes, or all that the script keeps of them. */
export function isWhole({ known, gap }: Pieces, size: number): boolean {
  return !gap && known >= Math.min(size, KEPT_BYTES);
}

/** The buffers of a call, as a capture has them; null when a part of one was lost. */
export function buffersOf(call: AssembledCall): readonly MemoryBuffer[] | null {
  const list: MemoryBuffer[] = [];
  for (const { addr, length, before, after } of call.buffers.values()) {
    const hasBefore = before.bytes.length > 0;
    const hasAfter = after.bytes.length > 0;
    if ((hasBefore && !isWhole(before, length)) || (hasAfter && !isWhole(after, length))) return null;
    const dir = hasBefore && hasAfter ? 'inout' : hasAfter ? 'out' : 'in';
    const same = hasBefore && hasAfter && Buffer.compare(before.bytes, after.bytes) === 0;
    list.push({
      addr: BigInt.asUintN(64, addr),
      len: length,
      dir,
      before: hasBefore ? before.bytes : null,
      after: same ? before.bytes : hasAfter ? after.bytes : null,
      fault: false,
      cut: length > KEPT_BYTES,
    });
  }
  return list;
}
