import { type IoctlCall, isSkipped, type MemoryBuffer } from '../trace/index.ts';
import { PAGE_BYTES } from './address.ts';
import type { Kernel } from './kernel.ts';
import type { UserCall, UserWrite } from './user-call.ts';

/**
 * The parts of a reply that are made only when somebody looks: struct bytes and memory after the last call.
 */

/** The user's struct after the last ioctl. */
export function predictedStruct(kernel: Kernel, record: IoctlCall): Uint8Array | null {
  return record.arg === null ? null : structAfter(kernel.call, record.arg);
}

function structAfter(call: UserCall, arg: Uint8Array): Uint8Array {
  const out = Uint8Array.from(arg);
  for (const { at, bytes } of call.structWrites) writeInside(out, at, bytes);
  if (call.respondEnd > call.respondFrom) {
    writeInside(out, call.respondFrom, call.struct.subarray(call.respondFrom, call.respondEnd));
  }
  return out;
}

function writeInside(out: Uint8Array, at: number, bytes: Uint8Array): void {
  if (at < out.length) out.set(bytes.subarray(0, out.length - at), at);
}

/** Whether the struct after the last ioctl equals recorded bytes; allocates nothing for the hot calls. */
export function isStructAsRecorded(kernel: Kernel, arg: Uint8Array, out: Uint8Array): boolean {
  const { call } = kernel;
  if (out.length !== arg.length) return false;
  if (call.structWrites.length > 0) return Buffer.compare(structAfter(call, arg), out) === 0;
  const { respondFrom, respondEnd, struct } = call;
  const end = Math.min(respondEnd, out.length);
  for (let at = 0; at < respondFrom && at < out.length; at += 1) if (out[at] !== arg[at]) return false;
  for (let at = respondFrom; at < end; at += 1) if (out[at] !== struct[at]) return false;
  if (out === arg) return true;
  for (let at = end; at < out.length; at += 1) if (out[at] !== arg[at]) return false;
  return true;
}

/** A user buffer after the last call. */
export interface PredictedBuffer {
  readonly addr: bigint;
  /** Null when nothing recorded tells all of it. */
  readonly after: Uint8Array | null;
}

/** What each recorded buffer of the last ioctl holds after it. */
export function predictedBuffers(kernel: Kernel, record: IoctlCall): PredictedBuffer[] {
  const { call } = kernel;
  return record.mem.map((buffer) => {
    const after = afterWrites(buffer, call.writes);
    // A buffer may be recorded at such a length that it reaches over the struct itself.
    if (after !== null) respondInto(after, Number(record.argp - buffer.addr), call);
    return { addr: buffer.addr, after };
  });
}

/**
 * What the kernel copies back into the struct, as far as it lies in a buffer; `at` is where the struct begins
 * there.
 */
function respondInto(buffer: Uint8Array, at: number, { respondFrom, respondEnd, struct }: UserCall): void {
  const first = Math.max(respondFrom, -at);
  const end = Math.min(respondEnd, buffer.length - at);
  for (let offset = first; offset < end; offset += 1) buffer[at + offset] = struct[offset]!;
}

function afterWrites(buffer: MemoryBuffer, writes: readonly UserWrite[]): Uint8Array | null {
  const { before } = buffer;
  if (before === null && writes.length === 0) return null;
  const length = before !== null && !isSkipped(before) ? before.length : buffer.len;
  const bytes = new Uint8Array(length);
  const known = new Uint8Array(length);
  if (before !== null && !isSkipped(before)) {
    bytes.set(before);
    known.fill(1);
  }
  for (const { page, offset, data } of writes) {
    const distance = Number(BigInt(page) * BigInt(PAGE_BYTES) + BigInt(offset) - buffer.addr);
    for (let at = Math.max(0, -distance); at < data.length && distance + at < length; at += 1) {
      bytes[distance + at] = data.bytes[at]!;
      known[distance + at] = data.known === null ? 1 : data.known[at]!;
    }
  }
  return known.includes(0) ? null : bytes;
}

/** Bytes that the last read put into its buffer. */
export function predictedRead(kernel: Kernel): Uint8Array {
  return kernel.call.writes[0]?.data.bytes ?? new Uint8Array(0);
}
