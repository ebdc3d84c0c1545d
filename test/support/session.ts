import {
  chooseProfile,
  createKernel,
  execute,
  type Kernel,
  learnReply,
  predictedBuffers,
  predictedRead,
  predictedStruct,
} from '../../src/model/index.ts';
import type { Call, IoctlCall, JsonValue, MemoryBuffer } from '../../src/trace/index.ts';
import { EMPTY_HEADER } from '../../src/trace/index.ts';
import {
  buildStruct,
  CMD,
  type FieldValue,
  IOMMU_TEST_CMD,
  type IOMMU_TEST_OP,
} from '../../src/uapi/index.ts';
import type { Recording } from './stored.ts';

/** Where `Session.ioctl` says that the struct is. */
const ARGP = 0x7ffc00001000n;

export type TestOp = (typeof IOMMU_TEST_OP)[keyof typeof IOMMU_TEST_OP];

/** What a call answered, and the struct after it. */
export interface Answered {
  readonly ret: number;
  readonly errno: number;
  readonly reason: string | null;
  readonly out: Uint8Array;
}

/** Processes that call the model; each call is recorded with the model's own answer. */
export interface Session {
  readonly kernel: Kernel;
  readonly calls: Call[];
  /** Opens /dev/iommu under that descriptor number. */
  open(fd: number, pid?: number): void;
  close(fd: number, kind?: IoctlCall['kind'], pid?: number): void;
  ioctl(
    fd: number,
    cmd: number,
    arg: Uint8Array,
    mem?: readonly MemoryBuffer[],
    pid?: number,
    kind?: IoctlCall['kind'],
  ): Answered;
  /** An IOMMU_TEST_CMD. */
  selftest(fd: number, op: TestOp, id: number, member?: Readonly<Record<string, FieldValue>>): Answered;
  mmap(address: bigint, lengthBytes: bigint, prot?: number): void;
  munmap(address: bigint, lengthBytes: bigint): void;
  note(kind: string, fields: Readonly<Record<string, JsonValue>>): void;
  /** All calls so far, as a capture of Linux 6.12. */
  recording(): Recording;
}

export const PID = 1000;

export function kernelOf612(): Kernel {
  return createKernel(chooseProfile('6.12', 4096).profile);
}

export function headerOf612(): Recording['header'] {
  return { ...EMPTY_HEADER, kernel: '6.12.117' };
}

export function u32At(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true);
}

export function u64At(bytes: Uint8Array, at: number): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(at, true);
}

/** A user buffer that holds `before`. */
export function buffer(addr: bigint, before: Uint8Array, dir: MemoryBuffer['dir'] = 'in'): MemoryBuffer {
  return { addr, len: before.length, dir, before, after: before, fault: false, cut: false };
}

export function startSession(kernel: Kernel = kernelOf612()): Session {
  const calls: Call[] = [];
  const base = (pid: number) => ({ seq: calls.length, pid, tid: null, tNs: null, extra: null });
  const yes = { replied: true, ret: 0, errno: 0 } as const;
  const record = (call: Call): void => {
    execute(kernel, call);
    calls.push(call);
  };
  const ioctl: Session['ioctl'] = (fd, cmd, arg, mem = [], pid = PID, kind = 'iommufd') => {
    const asked = {
      fd,
      kind,
      cmd,
      argp: ARGP,
      argFault: false,
      arg,
      out: null,
      mem,
      newFd: null,
    } as const;
    const request: IoctlCall = { op: 'ioctl', ...base(pid), ...yes, ...asked };
    const { ret, errno, reason } = execute(kernel, request);
    const out = predictedStruct(kernel, request) ?? arg;
    const after = predictedBuffers(kernel, request).map((buffer) => buffer.after);
    const answered = mem.map((buffer, index) => ({ ...buffer, after: after[index] ?? null }));
    const recorded = { ...request, ret, errno, out, mem: answered };
    // What a replay will learn of this answer.
    if (kernel.call.rests.length > 0) learnReply(kernel, recorded);
    calls.push(recorded);
    return { ret, errno, reason: reason?.id ?? null, out };
  };
  return {
    kernel,
    calls,
    ioctl,
    open(fd, pid = PID) {
      record({
        op: 'open',
        ...base(pid),
        ...yes,
        ret: fd,
        fd,
        kind: 'iommufd',
        path: '/dev/iommu',
        flags: 2n,
      });
    },
    close(fd, kind = 'iommufd', pid = PID) {
      record({ op: 'close', ...base(pid), ...yes, fd, kind });
    },
    selftest(fd, op, id, member = {}) {
      return ioctl(fd, CMD.IOMMU_TEST_CMD, buildStruct(IOMMU_TEST_CMD, { op, id }, { member }));
    },
    mmap(addr, len, prot = 3) {
      const where = {
        fd: -1,
        kind: '?',
        addr,
        len,
        prot,
        flags: 0x32n,
        off: 0n,
        mapped: addr,
        errno: 0,
      } as const;
      record({ op: 'mmap', ...base(PID), ...where });
    },
    munmap(addr, len) {
      record({ op: 'munmap', ...base(PID), ...yes, addr, len });
    },
    note(kind, fields) {
      record({ op: 'note', ...base(PID), kind, fields });
    },
    recording: () => ({ header: headerOf612(), calls }),
  };
}

/** Reads `len` bytes of a fault queue and records what came. */
export function readFaults({ kernel, calls }: Session, fd: number, len: number): Uint8Array {
  const call = { op: 'read', seq: calls.length, pid: PID, tid: null, tNs: null, extra: null } as const;
  const asked = { ...call, fd, kind: 'fault', addr: ARGP, len, off: null, out: null } as const;
  const { ret, errno } = execute(kernel, { ...asked, replied: true, ret: 0, errno: 0 });
  const out = Uint8Array.from(predictedRead(kernel));
  calls.push({ ...asked, replied: true, ret, errno, out });
  return out;
}
