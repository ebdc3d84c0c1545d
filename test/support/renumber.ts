import type { Call, Capture, JsonValue } from '../../src/trace/index.ts';
import {
  CMD,
  type DecodedStruct,
  decodeStruct,
  encodeStruct,
  type Field,
  findIoctl,
  selectedCase,
} from '../../src/uapi/index.ts';

/**
 * The same run of a program as another recording would have it: other pids, descriptors, record numbers and
 * times, and all memory somewhere else.
 */

const PIDS = 4000;
const FDS = 20;
/** What lies in one region is moved as one, by whole gigabytes: the kernel's own choices stay the same. */
const GIGABYTE = 0x40000000n;

function movedAddress(address: bigint): bigint {
  // What is no address of a user stays one.
  if (address < 0x100000000000n || address >= 0xfff000000000n) return address;
  return address + GIGABYTE * (address < 0x600000000000n ? 37n : 5n);
}

function movedFd(fd: number): number {
  // Numbers that can be none are what a fuzzer passes.
  return fd < 0 || fd > 0xffff ? fd : fd + FDS;
}

export function renumbered({ header, calls, ...rest }: Capture): Capture {
  return { ...rest, header, calls: calls.map(renumberCall) };
}

function renumberCall(call: Call): Call {
  const base = {
    seq: call.seq * 3 + 7,
    pid: call.pid + PIDS,
    tid: call.tid === null ? null : call.tid + PIDS,
    tNs: call.tNs === null ? null : call.tNs * 2,
  };
  switch (call.op) {
    case 'open':
      return { ...call, ...base, fd: movedFd(call.fd), ret: movedFd(call.ret) };
    case 'close':
      return { ...call, ...base, fd: movedFd(call.fd) };
    case 'ioctl': {
      const layout = findIoctl(call.kind, call.cmd)?.layout ?? null;
      const move = (bytes: Uint8Array | null): Uint8Array | null =>
        bytes === null || layout === null ? bytes : movedStruct(layout, bytes);
      const isNewDevice = call.kind === 'group' && call.cmd === CMD.VFIO_GROUP_GET_DEVICE_FD;
      return {
        ...call,
        ...base,
        fd: movedFd(call.fd),
        argp: call.arg === null ? call.argp : movedAddress(call.argp),
        arg: call.kind === 'kvm-vfio' ? movedPointer(call.arg!) : move(call.arg),
        out: call.kind === 'kvm-vfio' ? movedPointer(call.out as Uint8Array) : move(call.out),
        mem: call.mem.map((buffer) => ({
          ...buffer,
          addr: movedAddress(buffer.addr),
          ...(call.kind === 'kvm-vfio' ? { before: movedNumber(buffer.before as Uint8Array) } : {}),
        })),
        newFd: call.newFd === null ? null : movedFd(call.newFd),
        ret: isNewDevice ? movedFd(call.ret) : call.ret,
      };
    }
    case 'mmap':
      return {
        ...call,
        ...base,
        fd: movedFd(call.fd),
        addr: movedAddress(call.addr),
        mapped: call.mapped === null ? null : movedAddress(call.mapped),
      };
    case 'munmap':
      return { ...call, ...base, addr: movedAddress(call.addr) };
    case 'read':
    case 'pread':
    case 'write':
    case 'pwrite':
      return { ...call, ...base, fd: movedFd(call.fd), addr: movedAddress(call.addr) };
    case 'fork':
    case 'waitpid':
      return { ...call, ...base, child: call.child + PIDS, ret: call.ret > 0 ? call.ret + PIDS : call.ret };
    case 'note':
      return { ...call, ...base, fields: movedFields(call.fields) };
    default:
      return { ...call, ...base };
  }
}

/** A descriptor that lies in memory. */
function movedNumber(bytes: Uint8Array): Uint8Array {
  const moved = Buffer.from(bytes);
  moved.writeInt32LE(movedFd(moved.readInt32LE()));
  return Uint8Array.from(moved);
}

/** The address in a `struct kvm_device_attr`. */
function movedPointer(bytes: Uint8Array): Uint8Array {
  const moved = Buffer.from(bytes);
  moved.writeBigUInt64LE(movedAddress(moved.readBigUInt64LE(16)), 16);
  return Uint8Array.from(moved);
}

function movedFields(fields: Readonly<Record<string, JsonValue>>): Readonly<Record<string, JsonValue>> {
  const { va } = fields;
  return typeof va === 'string' ? { ...fields, va: `0x${movedAddress(BigInt(va)).toString(16)}` } : fields;
}

type Layout = Parameters<typeof decodeStruct>[0];

const IDS: ReadonlySet<string> = new Set([
  ...['ioas', 'device', 'hwpt', 'pt', 'fault', 'viommu', 'vdevice', 'veventq', 'hw-queue', 'object'],
]);

/** The same run in a context that had so many objects more before: every id is higher. */
export function withHigherIds({ header, calls, ...rest }: Capture, by: number): Capture {
  const moved = (layout: Layout, bytes: Uint8Array): Uint8Array => {
    const decoded: DecodedStruct = decodeStruct(layout, bytes);
    const move = (fields: readonly Field[], values: Record<string, unknown>): void => {
      for (const { name, refers } of fields) {
        const value = values[name];
        if (IDS.has(refers ?? '') && typeof value === 'number' && value !== 0) values[name] = value + by;
      }
    };
    move(layout.fields, decoded.fields as Record<string, unknown>);
    return encodeStruct(layout, decoded);
  };
  const change = (call: Call): Call => {
    const layout = call.op === 'ioctl' ? (findIoctl(call.kind, call.cmd)?.layout ?? null) : null;
    if (call.op !== 'ioctl' || layout === null || call.arg === null) return call;
    return { ...call, arg: moved(layout, call.arg), out: call.out === null ? null : moved(layout, call.out) };
  };
  return { ...rest, header, calls: calls.map(change) };
}

function movedStruct(layout: Layout, bytes: Uint8Array): Uint8Array {
  const decoded: DecodedStruct = decodeStruct(layout, bytes);
  const move = (fields: readonly Field[], values: Record<string, unknown>): void => {
    for (const { name, refers } of fields) {
      const value = values[name];
      if (refers === 'va' && typeof value === 'bigint') values[name] = movedAddress(value);
      if (refers === 'fd' && typeof value === 'number') values[name] = movedFd(value);
    }
  };
  move(layout.fields, decoded.fields as Record<string, unknown>);
  if (decoded.member !== null)
    move(
      selectedCase(layout, decoded.fields)?.fields ?? [],
      decoded.member.fields as Record<string, unknown>,
    );
  return encodeStruct(layout, decoded);
}
