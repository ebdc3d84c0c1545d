import { crc32 } from 'node:zlib';
import {
  isStructAsRecorded,
  type Kernel,
  predictedBuffers,
  predictedRead,
  predictedStruct,
  type Reply,
} from '../src/model/index.ts';
import {
  type ByteString,
  type Call,
  type IoctlCall,
  isSkipped,
  type JsonRecord,
  type JsonValue,
  type MemoryBuffer,
} from '../src/trace/index.ts';
import { errnoName, findIoctl, hexOf, structToJson } from '../src/uapi/index.ts';
import type { Divergence } from './divergence.ts';

/** How one recorded reply compares with the predicted one. */
export type Verdict =
  | 'matched'
  /** All that was predicted matches, and something could not be predicted. */
  | 'partial'
  | 'diverged';

const PREDICTED: ReadonlySet<string> = new Set([
  'ioctl',
  'read',
  'pread',
  'open',
  'close',
  'write',
  'pwrite',
  'poll',
  'call',
]);

/** Whether the model answers a call of this kind. mmap, fork and their like are inputs, taken as recorded. */
export function isPredicted({ op }: Call): boolean {
  return PREDICTED.has(op);
}

/**
 * Compares a call that was answered with the model's reply to it. Allocates nothing when a plain ioctl
 * matches.
 */
export function compareReply(kernel: Kernel, call: Call, reply: Reply): Verdict {
  if (!reply.modelled) return 'partial';
  switch (call.op) {
    case 'ioctl':
      // The number of a new descriptor is a guess.
      if (kernel.call.retIsDescriptor && call.errno === 0 && reply.errno === 0)
        return reply.ret === call.ret ? 'matched' : 'partial';
      if (!isSameResult(call, reply)) return 'diverged';
      return compareIoctl(kernel, call);
    case 'read': {
      if (reply.ret !== call.ret || reply.errno !== call.errno) return 'diverged';
      if (call.out === null || isSkipped(call.out)) return 'matched';
      return sameBytes(call.out, predictedRead(kernel)) ? 'matched' : 'diverged';
    }
    case 'pread':
      // What a device's memory holds is never known.
      if (reply.ret !== call.ret || reply.errno !== call.errno) return 'diverged';
      return call.ret > 0 ? 'partial' : 'matched';
    case 'open':
    case 'close':
    case 'write':
    case 'pwrite':
      return reply.ret === call.ret && reply.errno === call.errno ? 'matched' : 'diverged';
    case 'call':
      if (reply.ret !== call.ret || reply.errno !== call.errno) return 'diverged';
      return call.out === null || isSameJson(call.out, reply.out ?? NO_RESULTS) ? 'matched' : 'diverged';
    case 'poll': {
      const { ret, errno, revents } = call.fields;
      const isSame = Number(ret ?? 0) === reply.ret && Number(errno ?? 0) === reply.errno;
      return isSame && Number(revents ?? 0) === kernel.call.revents ? 'matched' : 'diverged';
    }
    default:
      // An input: there is nothing to predict.
      return 'matched';
  }
}

const NO_RESULTS = {};

/** Whether two JSON values are the same, whatever the order of their keys. */
function isSameJson(a: JsonValue, b: JsonValue): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  let keys = 0;
  for (const key in a) {
    keys += 1;
    if (!Object.hasOwn(b, key)) return false;
    if (!isSameJson((a as JsonRecord)[key]!, (b as JsonRecord)[key]!)) return false;
  }
  return keys === Object.keys(b).length;
}

/** A log may tell that a call failed, and not with which error. */
function isSameResult({ ret, errno, partial }: IoctlCall, reply: Reply): boolean {
  if (reply.ret !== ret) return false;
  return reply.errno === errno || (ret < 0 && partial !== undefined && partial.missing.includes('errno'));
}

function compareIoctl(kernel: Kernel, call: IoctlCall): Verdict {
  const { unknown } = kernel.call;
  if (call.arg !== null && call.out !== null && !isStructAsRecorded(kernel, call.arg, call.out)) {
    if (unknown.length === 0) return 'diverged';
    const out = predictedStruct(kernel, call);
    return out !== null && sameBytes(masked(kernel, call.out), masked(kernel, out)) ? 'partial' : 'diverged';
  }
  const verdict = call.mem.length === 0 ? 'matched' : compareBuffers(kernel, call);
  // A guess may prove right; a fact that nobody guessed was not predicted, even where it happens to be zero.
  return verdict === 'matched' && unknown.some(({ guess }) => guess === null) ? 'partial' : verdict;
}

/** Struct bytes without the fields that nobody can know. */
function masked(kernel: Kernel, bytes: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes);
  for (const { at, bytes: length } of kernel.call.unknown) copy.fill(0, at, at + length);
  return copy;
}

function compareBuffers(kernel: Kernel, call: IoctlCall): Verdict {
  let verdict: Verdict = 'matched';
  for (const [index, { after }] of predictedBuffers(kernel, call).entries()) {
    const buffer = call.mem[index]!;
    const recorded = buffer.after;
    if (recorded === null || buffer.fault || isLeftAlone(kernel, buffer)) continue;
    if (after === null) verdict = 'partial';
    else if (!isRecorded(recorded, after)) return 'diverged';
  }
  return verdict;
}

/** The recorder left the bytes out and saw no change in them, and the model writes nothing anywhere. */
function isLeftAlone(kernel: Kernel, { before, after }: MemoryBuffer): boolean {
  return after !== null && isSkipped(after) && before === after && kernel.call.writes.length === 0;
}

/** Whether the bytes are the recorded ones, or have the checksum of those that the recorder left out. */
function isRecorded(recorded: ByteString, bytes: Uint8Array): boolean {
  if (!isSkipped(recorded)) return sameBytes(recorded, bytes);
  return bytes.length === recorded.skip && crc32(bytes).toString(16).padStart(8, '0') === recorded.crc32;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0;
}

/** What differs between a reply and its prediction, in words. */
export function describeDivergence(kernel: Kernel, call: Call, reply: Reply): Divergence {
  const name = callName(call, kernel.profile.name);
  const { reason } = reply;
  const why = { reason: reason?.id ?? null, source: reason?.source ?? null, says: reason?.says ?? null };
  const { field, recorded, predicted } = firstDifference(kernel, call, reply);
  return { seq: call.seq, call: name, field, recorded, predicted, ...why };
}

/** Name of the ioctl, or of the operation, on that kernel. */
export function callName(call: Call, kernel = ''): string {
  if (call.op === 'call') return call.name;
  if (call.op !== 'ioctl') return call.op;
  return findIoctl(call.kind, call.cmd, kernel)?.name ?? `0x${call.cmd.toString(16)}`;
}

interface Difference {
  readonly field: string;
  readonly recorded: string;
  readonly predicted: string;
}

function firstDifference(kernel: Kernel, call: Call, reply: Reply): Difference {
  if ('errno' in call && 'ret' in call && (call.errno !== reply.errno || call.ret !== reply.ret)) {
    const field = call.errno !== reply.errno ? 'errno' : 'ret';
    return { field, recorded: result(call.ret, call.errno), predicted: result(reply.ret, reply.errno) };
  }
  if (call.op === 'read' && call.out !== null && !isSkipped(call.out)) {
    return { field: 'out', recorded: hexOf(call.out), predicted: hexOf(predictedRead(kernel)) };
  }
  if (call.op === 'poll') {
    const { ret, revents } = call.fields;
    const recorded = `${ret ?? 0}, events ${revents ?? 0}`;
    return { field: 'revents', recorded, predicted: `${reply.ret}, events ${kernel.call.revents}` };
  }
  if (call.op === 'call')
    return { field: 'out', recorded: JSON.stringify(call.out), predicted: JSON.stringify(reply.out ?? {}) };
  if (call.op !== 'ioctl') throw new Error(`a ${call.op} does not differ`);
  const out = predictedStruct(kernel, call);
  if (out !== null && call.out !== null) {
    const recorded = masked(kernel, call.out);
    const predicted = masked(kernel, out);
    if (!sameBytes(recorded, predicted)) return structDifference(kernel, call, recorded, predicted);
  }
  return bufferDifference(kernel, call);
}

function result(ret: number, errno: number): string {
  return errno === 0 ? String(ret) : errnoName(errno);
}

function structDifference(
  kernel: Kernel,
  call: IoctlCall,
  recorded: Uint8Array,
  predicted: Uint8Array,
): Difference {
  const layout = findIoctl(call.kind, call.cmd, kernel.profile.name)?.layout ?? null;
  if (layout !== null) {
    const before = structToJson(layout, recorded) as Record<string, unknown>;
    const after = structToJson(layout, predicted) as Record<string, unknown>;
    for (const field of Object.keys(before)) {
      const a = JSON.stringify(before[field]);
      const b = JSON.stringify(after[field]);
      if (a !== b) return { field, recorded: plain(a), predicted: plain(b) };
    }
  }
  return { field: 'out', recorded: hexOf(recorded), predicted: hexOf(predicted) };
}

function plain(json: string | undefined): string {
  return json === undefined ? 'nothing' : json.replace(/^"(.*)"$/, '$1');
}

function bufferDifference(kernel: Kernel, call: IoctlCall): Difference {
  for (const [index, { after }] of predictedBuffers(kernel, call).entries()) {
    const recorded = call.mem[index]!.after;
    if (recorded === null || after === null || isRecorded(recorded, after)) continue;
    const shown = isSkipped(recorded) ? `crc32 ${recorded.crc32}` : hexOf(recorded);
    return { field: `mem[${index}]`, recorded: shown, predicted: hexOf(after) };
  }
  throw new Error(`call ${call.seq} diverges in nothing`);
}
