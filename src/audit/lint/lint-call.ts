import type { Kernel, Reason } from '../../model/index.ts';
import type { Call } from '../../trace/index.ts';

/**
 * The call that a replay is at, decoded once for all rules. One object that is filled again for the next
 * call: a rule takes out what it wants to keep.
 */
export interface LintCall {
  /** The record; may be an object that is used again. */
  record: Call;
  seq: number;
  /** Calls up to and with this one; notes are none. */
  nth: number;
  pid: number;
  /** Command word of an ioctl; 0 for everything else. */
  cmd: number;
  /** Struct bytes as the caller gave them; empty when there are none. */
  arg: Uint8Array;
  /** What the model answers; the recorded answer for a call that is not modelled. Set before `after`. */
  errno: number;
  reason: Reason | null;
  /** Areas that appeared and went during the call. */
  mapped: number;
  unmapped: number;
  /** The call is over, and what is told is caused by the exit of a process. */
  isOver: boolean;
}

const NO_BYTES = new Uint8Array(0);

export function createLintCall(): LintCall {
  return {
    record: { op: 'note', seq: -1, pid: 0, tid: null, tNs: null, extra: null, kind: 'none', fields: {} },
    seq: -1,
    nth: 0,
    pid: 0,
    cmd: 0,
    arg: NO_BYTES,
    errno: 0,
    reason: null,
    mapped: 0,
    unmapped: 0,
    isOver: false,
  };
}

/** Turns to the next call. Allocates nothing. */
export function beginCall(call: LintCall, record: Call): void {
  const isIoctl = record.op === 'ioctl';
  call.record = record;
  call.seq = record.seq;
  if (record.op !== 'note') call.nth += 1;
  call.pid = record.pid;
  call.cmd = isIoctl ? record.cmd : 0;
  call.arg = isIoctl ? (record.arg ?? NO_BYTES) : NO_BYTES;
  call.errno = 0;
  call.reason = null;
  call.mapped = 0;
  call.unmapped = 0;
  call.isOver = false;
}

/** Takes over the answer. */
export function endCall(call: LintCall, { reply }: Kernel): void {
  const { record } = call;
  call.reason = reply.modelled ? reply.reason : null;
  call.errno = reply.modelled ? reply.errno : 'errno' in record ? record.errno : 0;
}

/** A field of the struct as the caller gave it; 0 beyond its end, as the kernel fills it up. */
export function argU32(call: LintCall, at: number): number {
  const { arg } = call;
  if (at + 4 > arg.length) return 0;
  return (arg[at]! | (arg[at + 1]! << 8) | (arg[at + 2]! << 16) | (arg[at + 3]! << 24)) >>> 0;
}

/** Page number (of 4096 bytes) of a u64 field. */
export function argPage(call: LintCall, at: number): number {
  return argU32(call, at + 4) * 0x100000 + (argU32(call, at) >>> 12);
}

/** Offset in the page of a u64 field. */
export function argOffset(call: LintCall, at: number): number {
  return argU32(call, at) & 0xfff;
}

export function argU64(call: LintCall, at: number): bigint {
  return (BigInt(argU32(call, at + 4)) << 32n) | BigInt(argU32(call, at));
}

/** Context of the descriptor that the call is made on; 0 when none is known. */
export function contextOf({ state }: Kernel, { record }: LintCall): number {
  if (!('fd' in record)) return 0;
  const file = state.files[state.processes[record.pid]?.descriptors[record.fd] ?? 0];
  if (file === undefined) return 0;
  return file.kind === 'device' ? (state.vfio.devices[file.object]?.context ?? 0) : file.context;
}
