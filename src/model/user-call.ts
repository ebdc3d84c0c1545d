import { PAGE_BYTES, readOffset, readPage, writeWide } from './address.ts';
import type { KnownBytes } from './user-bytes.ts';

/**
 * One ioctl as the kernel sees it: its copy of the user's struct, and what it writes back. There is one
 * UserCall per kernel, reused for every call, so that the hot paths allocate nothing.
 */
export interface UserCall {
  pid: number;
  /** Address space of the caller. */
  mm: number;
  /** The `size` (or argsz) field: bytes the user's struct has. */
  userSize: number;
  /** The kernel's copy of the struct, zero-filled to its full size. Handlers read and write it in place. */
  readonly struct: Uint8Array;
  readonly view: DataView;
  /** Recorded struct bytes before the call; what the user's memory holds at the argument pointer. */
  arg: Uint8Array;
  /**
   * The struct is longer than what the recorder kept of it, and the bytes it left out decide the answer.
   * They are taken to be `tail`: a size of over a page is hardly ever meant, and what lies behind is not
   * zero.
   */
  tailUnrecorded: boolean;
  /** What the bytes left out are taken to be by the next call that has any: set again after each. */
  tail: UnrecordedTail;
  /** The plain value of a command that takes no pointer (VFIO_SET_IOMMU). */
  argument: bigint;
  /**
   * Bytes respondFrom..respondEnd (exclusive) of `struct` are copied back to the same place of the user's
   * struct.
   */
  respondFrom: number;
  respondEnd: number;
  /** Writes to the user's struct beyond that: VFIO capability chains. Empty for the hot calls. */
  readonly structWrites: StructWrite[];
  /** Return value when the call succeeds. */
  ret: number;
  /** The return value is the number of a new descriptor: a guess. */
  retIsDescriptor: boolean;
  /** Events that the last poll found ready. */
  revents: number;
  /** Other writes to user memory, in order. Empty for the hot calls. */
  readonly writes: UserWrite[];
  /** Reply fields that nothing recorded tells: the number of a new descriptor, a fact of the hardware. */
  readonly unknown: UnknownField[];
  /** Facts of hardware that nobody knows and that the answer rests on: each is taken to be false. */
  readonly rests: OpenFact[];
  /** Recorded buffers that the struct points to. */
  buffers: readonly InputBuffer[];
}

/** Struct bytes that a recorder left out: one is set, all are zero, or they can not be read. */
export type UnrecordedTail = 'set' | 'zero' | 'unreadable';

/** A fact of an IOMMU (by name) or of a device (by address). */
export interface OpenFact {
  readonly owner: string;
  readonly fact: string;
}

/** Bytes of the user's struct that the reply fills with what the model can not know. */
export interface UnknownField {
  readonly name: string;
  /** Offset in the user's struct. */
  readonly at: number;
  /** Length of the field. */
  readonly bytes: number;
  /** Descriptor number guessed, 4 bytes; null when it is a fact of the hardware, which nobody can guess. */
  readonly guess: number | null;
}

export interface StructWrite {
  readonly at: number;
  readonly bytes: Uint8Array;
}

export interface UserWrite {
  readonly page: number;
  readonly offset: number;
  readonly data: KnownBytes;
}

/** What the record tells about a user buffer before the call. */
export interface InputBuffer {
  readonly addr: bigint;
  readonly len: number;
  readonly before: Uint8Array | null;
  /**
   * The recorder left its bytes out: nobody knows what a copy reads, whatever was known of this memory
   * before.
   */
  readonly skipped: boolean;
  readonly fault: boolean;
}

const STRUCT_BYTES = 256;
const NO_BYTES = new Uint8Array(0);

export function createUserCall(): UserCall {
  const struct = new Uint8Array(STRUCT_BYTES);
  return {
    pid: 0,
    mm: 0,
    userSize: 0,
    struct,
    view: new DataView(struct.buffer),
    arg: NO_BYTES,
    tailUnrecorded: false,
    tail: 'set',
    argument: 0n,
    respondFrom: 0,
    respondEnd: 0,
    structWrites: [],
    ret: 0,
    retIsDescriptor: false,
    revents: 0,
    writes: [],
    unknown: [],
    rests: [],
    buffers: [],
  };
}

/** Copies the user's struct in, as `copy_struct_from_user` and `copy_from_user` do; the rest is zeroed. */
export function copyStructIn(call: UserCall, bytes: number): void {
  const { struct, arg } = call;
  if (arg.length > bytes) struct.set(arg.subarray(0, bytes));
  else struct.set(arg);
  const copied = Math.min(arg.length, bytes);
  if (copied < bytes) struct.fill(0, copied, bytes);
}

/** `iommufd_ucmd_respond`: writes back as much of the struct as both sides have. */
export function respond(call: UserCall, kernelBytes: number): void {
  call.respondFrom = 0;
  call.respondEnd = Math.min(call.userSize, kernelBytes);
}

export function u32(call: UserCall, at: number): number {
  return call.view.getUint32(at, true);
}

export function u16(call: UserCall, at: number): number {
  return call.view.getUint16(at, true);
}

export function setU32(call: UserCall, at: number, value: number): void {
  call.view.setUint32(at, value, true);
}

/** Page number of the u64 field at `at`. */
export function fieldPage(call: UserCall, at: number): number {
  return readPage(call.view, at);
}

/** Offset in the page of the u64 field at `at`. */
export function fieldOffset(call: UserCall, at: number): number {
  return readOffset(call.view, at);
}

export function setU64(call: UserCall, at: number, page: number, offset: number): void {
  writeWide(call.view, at, page, offset);
}

/** Copies one field back, as OPTION does. */
export function respondField(call: UserCall, at: number, bytes: number): void {
  call.respondFrom = at;
  call.respondEnd = at + bytes;
}

/** `copy_to_user` of bytes the caller has checked to be writable. */
export function writeUser(call: UserCall, page: number, offset: number, data: KnownBytes): void {
  call.writes.push({ page, offset, data });
}

/** The recorded buffer that holds all of [address, address + length), or undefined. */
export function findBuffer(
  call: UserCall,
  page: number,
  offset: number,
  length: number,
): InputBuffer | undefined {
  if (call.buffers.length === 0) return undefined;
  const address = BigInt(page) * BigInt(PAGE_BYTES) + BigInt(offset);
  return call.buffers.find((b) => b.addr <= address && address + BigInt(length) <= b.addr + BigInt(b.len));
}
