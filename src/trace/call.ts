/**
 * One recorded operation at the descriptor boundary: what was asked, and the reply if one was recorded.
 *
 * A Call holds recorded bytes and numbers only. Nothing in it is interpreted: decoding struct bytes is
 * `src/uapi`, deciding what the kernel answers is `src/model`. Addresses and other 64-bit values are bigints
 * here because this is an edge; the model turns them into page number and offset once.
 */

import type { PartialNote } from './partial.ts';

/** What a descriptor is. The same ioctl number means different things on different kinds. */
export type DescriptorKind =
  | 'iommufd' // /dev/iommu
  | 'container' // /dev/vfio/vfio
  | 'group' // /dev/vfio/N
  | 'device' // /dev/vfio/devices/vfioN, or VFIO_GROUP_GET_DEVICE_FD
  | 'access' // selftest access descriptor
  | 'fault' // IOMMU_FAULT_QUEUE_ALLOC
  | 'veventq' // IOMMU_VEVENTQ_ALLOC
  | 'memfd'
  | 'dmabuf'
  | 'kvm'
  | 'kvm-vfio'
  | '?';

export type JsonValue =
  | string
  | number
  | boolean
  | null
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue };

/** Bytes that the recorder left out; only their count and zlib CRC-32 are known. */
export interface SkippedBytes {
  readonly skip: number;
  readonly crc32: string;
}

/** Recorded bytes, or the note that they were left out. `{"zero":N}` in a capture becomes N zero bytes. */
export type ByteString = Uint8Array | SkippedBytes;

/** A user buffer that a struct points to. */
export interface MemoryBuffer {
  readonly addr: bigint;
  /** True length in bytes, also when `cut`. */
  readonly len: number;
  readonly dir: 'in' | 'out' | 'inout';
  readonly before: ByteString | null;
  /**
   * Null when it was not recorded (a stripped reply). Equal to `before` when the capture said `same:true`.
   */
  readonly after: ByteString | null;
  /** (Part of) the buffer could not be read. */
  readonly fault: boolean;
  /** Only the first 64 KiB were kept. */
  readonly cut: boolean;
  /** Keys of the buffer that this version does not know; kept so that writing gives them back. */
  readonly extra?: Readonly<Record<string, JsonValue>>;
}

/** Keys that every record shares. */
interface Recorded {
  /** Position of the record in its file: strictly ascending, may start anywhere and have gaps. */
  readonly seq: number;
  readonly pid: number;
  readonly tid: number | null;
  readonly tNs: number | null;
  /** Keys of the capture line that this version does not know; kept so that writing gives them back. */
  readonly extra: Readonly<Record<string, JsonValue>> | null;
  /** What was not recorded of it; absent when all was. */
  readonly partial?: PartialNote;
}

/**
 * A record that the kernel answered. When `replied` is false the reply was stripped: `ret` and `errno` are 0.
 */
interface Answered extends Recorded {
  readonly replied: boolean;
  /** Raw return value, -1 on error. */
  readonly ret: number;
  /** Positive error number, 0 on success. */
  readonly errno: number;
}

export interface OpenCall extends Answered {
  readonly op: 'open';
  readonly fd: number;
  readonly kind: DescriptorKind;
  readonly path: string;
  readonly flags: bigint;
}

export interface CloseCall extends Answered {
  readonly op: 'close';
  readonly fd: number;
  readonly kind: DescriptorKind;
}

/**
 * An ioctl. The store's reader reuses one IoctlCall and its buffers for consecutive rows: a visitor that
 * wants to keep one copies it.
 */
export interface IoctlCall extends Answered {
  readonly op: 'ioctl';
  readonly fd: number;
  readonly kind: DescriptorKind;
  /** The whole command word, e.g. 0x3b85. */
  readonly cmd: number;
  /** The argument as passed: a pointer, or a plain value for commands such as VFIO_SET_IOMMU. */
  readonly argp: bigint;
  /** The argument pointer was bad. */
  readonly argFault: boolean;
  /** Struct bytes before the call; null when none were recorded (argument not a pointer, or bad). */
  readonly arg: Uint8Array | null;
  /** Struct bytes after the call; null when not recorded. The same object as `arg` when nothing changed. */
  readonly out: Uint8Array | null;
  readonly mem: readonly MemoryBuffer[];
  /** A descriptor that the kernel installed without answering its number. */
  readonly newFd: number | null;
}

export interface MmapCall extends Recorded {
  readonly op: 'mmap';
  /** -1 for anonymous memory. */
  readonly fd: number;
  readonly kind: DescriptorKind;
  readonly addr: bigint;
  readonly len: bigint;
  readonly prot: number;
  readonly flags: bigint;
  readonly off: bigint;
  /** The address that mmap returned (an input, never predicted); null when it failed or was not recorded. */
  readonly mapped: bigint | null;
  readonly errno: number;
}

export interface MunmapCall extends Answered {
  readonly op: 'munmap';
  readonly addr: bigint;
  readonly len: bigint;
}

export interface ReadCall extends Answered {
  readonly op: 'read' | 'pread';
  readonly fd: number;
  readonly kind: DescriptorKind;
  readonly addr: bigint;
  readonly len: number;
  /** File offset of pread; null for read. */
  readonly off: bigint | null;
  readonly out: ByteString | null;
}

export interface WriteCall extends Answered {
  readonly op: 'write' | 'pwrite';
  readonly fd: number;
  readonly kind: DescriptorKind;
  readonly addr: bigint;
  readonly len: number;
  readonly off: bigint | null;
  readonly arg: ByteString | null;
}

export interface ForkCall extends Answered {
  readonly op: 'fork';
  readonly child: number;
}

export interface WaitpidCall extends Answered {
  readonly op: 'waitpid';
  readonly child: number;
  readonly status: number;
}

/** A fact about the process, not a call: user memory, physical pages, a marker. */
export interface Note extends Recorded {
  readonly op: 'note';
  readonly kind: string;
  /** Every key of the line but op, kind, seq, pid, tid and t_ns, as recorded. */
  readonly fields: Readonly<Record<string, JsonValue>>;
}

/**
 * A known but rarely used record (poll, memfd_create, ftruncate, cap_set_proc, procstatus), kept as recorded.
 */
export interface OtherCall extends Recorded {
  readonly op: 'poll' | 'memfd_create' | 'ftruncate' | 'cap_set_proc' | 'procstatus';
  /** Every key of the line but op, seq, pid, tid and t_ns, as recorded. */
  readonly fields: Readonly<Record<string, JsonValue>>;
}

/**
 * An access of a device to memory: no call, but what a bus analyser, an emulated IOMMU or a test program saw.
 */
export interface DmaAccess extends Recorded {
  readonly op: 'dma';
  /** Address (`0000:01:00.0`) or path of the device. */
  readonly device: string;
  /** 0: a request without PASID. */
  readonly pasid: number;
  readonly iova: bigint;
  /** Bytes from there on; at least 1. */
  readonly len: number;
  readonly access: 'r' | 'w' | 'x';
  /** What became of it, where that was seen: answered from a cache, by a walk, or refused. */
  readonly result: 'hit' | 'miss' | 'fault' | null;
  /** Physical address that the first byte went to, where that was seen. */
  readonly physical: bigint | null;
}

/**
 * A call of a generation of the API that has no binary layout, or of a function inside the kernel: arguments
 * and results by name, as docs/capture-format-calls.md lists them.
 */
export interface ApiCall extends Answered {
  readonly op: 'call';
  /** Generation of the API: `proposal-2021-05`, `ioasid-v4` … */
  readonly generation: string;
  /** The call's own name: `IOASID_ALLOC`, `ioasid_get`. */
  readonly name: string;
  /** -1 for a function of the kernel and for an event of the hardware. */
  readonly fd: number;
  readonly args: Readonly<Record<string, JsonValue>>;
  /** Results beside the return value; null when the reply was stripped or has none. */
  readonly out: Readonly<Record<string, JsonValue>> | null;
}

export type Call =
  | OpenCall
  | CloseCall
  | IoctlCall
  | MmapCall
  | MunmapCall
  | ReadCall
  | WriteCall
  | ForkCall
  | WaitpidCall
  | Note
  | OtherCall
  | DmaAccess
  | ApiCall;

export type CallOp = Call['op'];
