/** The layout of a channel, as recorder/preload/channel.h has it. */

/** "IOASIS1" in the first bytes of a channel. */
export const CHANNEL_MAGIC = 'IOASIS1\0';
export const FORMAT_VERSION = 1;
export const HEADER_BYTES = 4096;
export const RECORD_ALIGN = 16;

/** Offsets in the header. */
export const HEADER = { version: 8, pid: 12, dataBytes: 16, parentPid: 32, head: 64, tail: 128 } as const;
/** Tail, the same inverted, heartbeat, stop: written at once. */
export const TAIL_BYTES = 32;

/** Offsets in a record, and its bytes before the sections. */
export const RECORD = {
  ...{ tag: 0, bytes: 4, type: 8, op: 10, pid: 12, tid: 16, error: 20, time: 24, call: 32, ret: 40 },
  ...{ fd: 48, kind: 52, args: 56, entered: 88, size: 96 },
} as const;
/** Offsets in a section, and its bytes before the content. */
export const SECTION = { what: 0, room: 4, got: 8, flags: 12, addr: 16, len: 24, size: 32 } as const;

export const RECORD_TYPE = { enter: 1, exit: 2, whole: 3 } as const;
export const SECTION_WHAT = { struct: 1, mem: 2, text: 3, data: 4, descriptor: 5, maps: 6 } as const;
export const SECTION_FLAG = { in: 1, out: 2, cut: 4, fault: 8, closesOnExec: 16 } as const;

/** Operations by number. */
export const OPS = [
  ...['', 'attach', 'open', 'close', 'ioctl', 'mmap', 'munmap', 'mremap', 'mprotect', 'read', 'pread'],
  ...['write', 'pwrite', 'dup', 'fork', 'waitpid', 'exec', 'limits', 'poll', 'memfd_create', 'ftruncate'],
  'maps',
  // Not of a channel: its process is gone.
  'gone',
] as const;

/** Kinds of descriptors by number, as the capture format names them. */
export const KINDS = [
  ...['?', 'iommufd', 'container', 'group', 'device', 'access', 'fault', 'veventq', 'dmabuf', 'memfd'],
] as const;

/** The word that makes a record at this position complete. */
export function tagOf(position: number): number {
  const index = Math.floor(position / RECORD_ALIGN) % 2 ** 32;
  return ((Math.imul(index, 2654435761) ^ 0x10a515ed) | 1) >>> 0;
}

/** An unsigned 64-bit number that is known to be below 2^53. */
export function readCount(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * 2 ** 32;
}
