import type { RecordedCall } from './call-order.ts';
import { SECTION_WHAT } from './channel-layout.ts';
import { hasFlag, type RawRecord, type RawSection, textOf } from './raw-record.ts';

/**
 * A call as the keys of a capture line behind `seq`, without braces: `"pid":1,…`. By far the most are ioctls,
 * so text is put together here instead of objects.
 */
export function lineOf(call: RecordedCall): string | null {
  const { request, answer } = call;
  const keys = keysOf(request, answer);
  if (keys === null) return null;
  const { pid, tid, op } = request;
  const enteredNs = request.enteredNs;
  const lasted = answer === null ? '' : `,"dt_ns":${answer.tNs - enteredNs}`;
  return `"pid":${pid},"tid":${tid},"t_ns":${enteredNs}${lasted},"op":"${op}",${keys}`;
}

function keysOf(request: RawRecord, answer: RawRecord | null): string | null {
  const { op, fd, kind, args } = request;
  const reply = replyOf(answer);
  const descriptor = `"fd":${fd},"kind":"${kind}"`;
  switch (op) {
    case 'ioctl':
      return `${descriptor},${ioctlKeys(request, answer)}${reply}`;
    case 'open': {
      const via = args[1] === '0x1' ? ',"via":"received"' : '';
      return `${descriptor},"path":${JSON.stringify(textOf(request))},"flags":"${args[0]}"${via}${reply}`;
    }
    case 'close':
      return `${descriptor}${reply}`;
    case 'read':
    case 'pread':
    case 'write':
    case 'pwrite':
      return `${descriptor},${transferKeys(request)}${reply}`;
    case 'dup':
      return `${descriptor}${reply}`;
    case 'munmap':
      return `"addr":"${args[0]}","len":${Number(args[1])}${reply}`;
    case 'memfd_create':
      return `${descriptor},"name":${JSON.stringify(textOf(request))},"flags":"${args[0]}"${reply}`;
    case 'ftruncate':
      return `${descriptor},"len":${Number(args[0])}${reply}`;
    case 'poll':
      return `${descriptor},"events":${Number(args[0])},"revents":${Number(args[2])},"timeout":${signed(args[1])}${reply}`;
    case 'waitpid':
      return `"child":${answer?.ret ?? 0},"status":${Number(args[0])}${reply}`;
    default:
      return null;
  }
}

/** As the capture format has it: a failed call returns -1. */
function replyOf(answer: RawRecord | null): string {
  return answer === null ? '' : `,"ret":${answer.ret},"errno":${answer.errno}`;
}

function signed(hex: string): number {
  return Number(BigInt.asIntN(64, BigInt(hex)));
}

const sectionOf = (record: RawRecord | null, what: number): RawSection | undefined =>
  record?.sections.find((section) => section.what === what);

function ioctlKeys(request: RawRecord, answer: RawRecord | null): string {
  const { args } = request;
  let text = `"cmd":"${args[0]}","argp":"${args[1]}"`;
  const before = sectionOf(request, SECTION_WHAT.struct);
  const after = sectionOf(answer, SECTION_WHAT.struct);
  if (before !== undefined) {
    text += `,"arg":"${before.bytes.toString('hex')}"`;
    if (after !== undefined) {
      text += after.bytes.equals(before.bytes) ? ',"same":true' : `,"out":"${after.bytes.toString('hex')}"`;
    }
    if (hasFlag(before, 'fault') || (after !== undefined && hasFlag(after, 'fault'))) {
      text += ',"argfault":true';
    }
  }
  text += `,"mem":[${buffersOf(request, answer)}]`;
  if (answer !== null && answer.fd >= 0) text += `,"newfd":${answer.fd}`;
  return text;
}

function buffersOf(request: RawRecord, answer: RawRecord | null): string {
  const buffers = request.sections.filter(({ what }) => what === SECTION_WHAT.mem);
  if (buffers.length === 0) return '';
  const afters = answer?.sections.filter(({ what }) => what === SECTION_WHAT.mem) ?? [];
  return buffers.map((before, index) => bufferText(before, afters[index])).join(',');
}

function bufferText(before: RawSection, after: RawSection | undefined): string {
  const dir = hasFlag(before, 'in') ? (hasFlag(before, 'out') ? 'inout' : 'in') : 'out';
  let text = `{"addr":"${before.addr}","len":${before.len},"dir":"${dir}","before":${bytesText(before.bytes)}`;
  if (after !== undefined) {
    text += after.bytes.equals(before.bytes) ? ',"same":true' : `,"after":${bytesText(after.bytes)}`;
  }
  if (hasFlag(before, 'fault') || (after !== undefined && hasFlag(after, 'fault'))) text += ',"fault":true';
  if (hasFlag(before, 'cut')) text += ',"cut":true';
  return `${text}}`;
}

/** From this many zero bytes on they are counted instead of written. */
const ZEROS_MIN = 256;

function bytesText(bytes: Buffer): string {
  const isLong = bytes.length >= ZEROS_MIN;
  if (isLong && bytes.every((byte) => byte === 0)) return `{"zero":${bytes.length}}`;
  return `"${bytes.toString('hex')}"`;
}

function transferKeys(request: RawRecord): string {
  const { op, args } = request;
  const data = sectionOf(request, SECTION_WHAT.data);
  const isPositioned = op === 'pread' || op === 'pwrite';
  const isRead = op === 'read' || op === 'pread';
  const offset = isPositioned ? `,"off":"${args[2]}"` : '';
  const bytes = data === undefined ? '""' : bytesText(data.bytes);
  return `"addr":"${args[0]}","len":${Number(args[1])}${offset},"${isRead ? 'out' : 'arg'}":${bytes}`;
}
