import type { Call, IoctlCall } from '../../src/trace/index.ts';
import type { Store } from '../../store/index.ts';

/** A native MAP (even numbers) or UNMAP (odd numbers), as hot as rows get. */
export function hotCall(seq: number): IoctlCall {
  const isMap = seq % 2 === 0;
  const arg = new Uint8Array(isMap ? 40 : 24);
  const view = new DataView(arg.buffer);
  const iova = 0x1_0000_0000n + BigInt(seq >> 1) * 0x3000n;
  view.setUint32(0, arg.length, true);
  if (isMap) {
    view.setUint32(4, 6, true);
    view.setUint32(8, 1, true);
    view.setBigUint64(16, 0x7f00_0000_0000n + iova, true);
    view.setBigUint64(24, 0x2000n, true);
  } else {
    view.setUint32(4, 1, true);
    view.setBigUint64(8, iova, true);
    view.setBigUint64(16, 0x2000n, true);
  }
  const out = arg.slice();
  if (isMap) new DataView(out.buffer).setBigUint64(32, iova, true);
  const isRefused = seq % 10 === 9;
  return {
    op: 'ioctl',
    seq,
    pid: 4711,
    tid: null,
    tNs: null,
    extra: null,
    replied: true,
    ret: isRefused ? -1 : 0,
    errno: isRefused ? 2 : 0,
    fd: 3,
    kind: 'iommufd',
    cmd: isMap ? 0x3b85 : 0x3b86,
    argp: 0x7ffe_07f0_4a50n,
    argFault: false,
    arg,
    out: isMap ? out : arg,
    mem: [],
    newFd: null,
  };
}

/** Consecutive hot calls. */
export function hotCalls(count: number, firstSeq = 0): readonly IoctlCall[] {
  return Array.from({ length: count }, (_, index) => hotCall(firstSeq + index));
}

/**
 * What a reader of replays sees of calls: without thread, time, unknown keys, and without the address of a
 * struct unless it lies in memory that the trace maps read-only, or in a buffer that it points to.
 */
export function asReplayed(calls: readonly Call[]): Call[] {
  const readOnly: [bigint, bigint][] = [];
  return calls.map((call) => {
    const plain = { ...call, tid: null, tNs: null, extra: null };
    if (plain.op === 'mmap' && plain.mapped !== null && (plain.prot & 2) === 0) {
      readOnly.push([plain.mapped, plain.mapped + plain.len]);
    }
    if (plain.op !== 'ioctl' || plain.arg === null) return plain;
    const { arg, argp, mem } = plain;
    const isInBuffer = mem.some(({ addr, len }) => {
      return addr < argp + BigInt(arg.length) && argp < addr + BigInt(len);
    });
    const keeps = isInBuffer || readOnly.some(([start, end]) => argp >= start && argp < end);
    return keeps ? plain : { ...plain, argp: 0n };
  });
}

/** Reads all calls the way a replay does, copying the object that is reused. */
export function readReplayed(store: Store, traceId: number, pageRows?: number): readonly Call[] {
  const calls: Call[] = [];
  store.readCalls(traceId, pageRows === undefined ? {} : { pageRows }, (call) => {
    if (call.op !== 'ioctl') calls.push(call);
    else calls.push({ ...call, arg: call.arg?.slice() ?? null, out: call.out?.slice() ?? null });
  });
  return calls;
}
