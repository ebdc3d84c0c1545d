import { PAGE_BYTES, pageOf } from './address.ts';
import type { Kernel } from './kernel.ts';
import { type KnownBytes, loadBytes, storeBytes } from './user-bytes.ts';
import { findBuffer, type InputBuffer, writeUser } from './user-call.ts';
import { isAccessible, isReadOnly } from './user-memory.ts';

/** `copy_from_user` and `copy_to_user` of buffers that a struct points to. */

/** Bytes at a user address, or null when they can not be read (EFAULT). */
export function copyFromUser(
  kernel: Kernel,
  page: number,
  offset: number,
  length: number,
): KnownBytes | null {
  if (length === 0) return { length: 0, bytes: new Uint8Array(0), known: null };
  const buffer = findBuffer(kernel.call, page, offset, length);
  if (buffer === undefined || buffer.before === null) {
    if (buffer?.fault || !canTouch(kernel, page, offset, length, false)) return null;
    if (buffer?.skipped) return { length, bytes: new Uint8Array(length), known: new Uint8Array(length) };
    return loadBytes(kernel.memory, kernel.call.mm, page, offset, length);
  }
  const from = page * PAGE_BYTES + offset - Number(buffer.addr);
  const recorded = buffer.before.subarray(from, from + length);
  if (recorded.length === length) return { length, bytes: recorded, known: null };
  if (buffer.fault) return null;
  const bytes = new Uint8Array(length);
  const known = new Uint8Array(length);
  bytes.set(recorded);
  known.fill(1, 0, recorded.length);
  return { length, bytes, known };
}

/** Writes to a user address; false when it can not be written (EFAULT). */
export function copyToUser(kernel: Kernel, page: number, offset: number, data: KnownBytes): boolean {
  if (data.length === 0) return true;
  const buffer = findBuffer(kernel.call, page, offset, data.length);
  if (buffer?.fault && !wasReadable(buffer, page, offset, data.length)) return false;
  if (!canTouch(kernel, page, offset, data.length, true)) return false;
  writeUser(kernel.call, page, offset, data);
  storeBytes(kernel.memory, kernel.call.mm, page, offset, data);
  return true;
}

/**
 * Whether the answer can be written into the user's struct. The struct was read, so it is mapped; only a
 * record that says it is read-only counts. Calls that make an object ask before they make it: they undo it
 * otherwise.
 */
export function canRespond(kernel: Kernel): boolean {
  const { call, memory } = kernel;
  return !isReadOnly(memory, call.mm, pageOf(call.argument));
}

/** Whether bytes at a user address can be written. */
export function canWrite(kernel: Kernel, page: number, offset: number, length: number): boolean {
  return canTouch(kernel, page, offset, length, true);
}

/** A buffer is marked when a part of it faults; what the recorder read before that part is there. */
function wasReadable({ addr, before }: InputBuffer, page: number, offset: number, length: number): boolean {
  return before !== null && page * PAGE_BYTES + offset - Number(addr) + length <= before.length;
}

function canTouch(kernel: Kernel, page: number, offset: number, length: number, write: boolean): boolean {
  const lastPage = page + Math.floor((offset + length - 1) / PAGE_BYTES);
  return isAccessible(kernel.memory, kernel.call.mm, page, lastPage, write, false);
}
