import type { RecordedCall } from './call-order.ts';
import { SECTION_WHAT } from './channel-layout.ts';
import {
  addressOf,
  afterSection,
  argNumberOf,
  argOf,
  contentHex,
  enteredNsOf,
  errnoOf,
  findSection,
  gotBytes,
  hasFlag,
  isSameContent,
  isZero,
  kindOf,
  lengthOf,
  type RawRecord,
  retOf,
  textOf,
  tidOf,
} from './raw-record.ts';

/**
 * A call as the keys of a capture line behind `seq`, without braces: `"pid":1,…`; null for one that is none
 * there. By far the most are ioctls, so text is put together here instead of objects.
 */
export function lineOf({ request, answer }: RecordedCall): string | null {
  const keys = keysOf(request, answer);
  if (keys === null) return null;
  const enteredNs = enteredNsOf(request);
  const lasted = answer === null ? '' : `,"dt_ns":${answer.tNs - enteredNs}`;
  const reply = answer === null ? '' : `,"ret":${retOf(answer)},"errno":${errnoOf(answer)}`;
  const { pid, op } = request;
  return `"pid":${pid},"tid":${tidOf(request)},"t_ns":${enteredNs}${lasted},"op":"${op}",${keys}${reply}`;
}

function keysOf(request: RawRecord, answer: RawRecord | null): string | null {
  const { op } = request;
  const descriptor = `"fd":${request.fd},"kind":"${kindOf(request)}"`;
  switch (op) {
    case 'ioctl':
      return `${descriptor},${ioctlKeys(request, answer)}`;
    case 'open': {
      const via = argNumberOf(request, 1) === 1 ? ',"via":"received"' : '';
      return `${descriptor},"path":${JSON.stringify(textOf(request))},"flags":"${argOf(request, 0)}"${via}`;
    }
    case 'close':
    case 'dup':
      return descriptor;
    case 'read':
    case 'pread':
    case 'write':
    case 'pwrite':
      return `${descriptor},${transferKeys(request)}`;
    case 'memfd_create':
      return `${descriptor},"name":${JSON.stringify(textOf(request))},"flags":"${argOf(request, 0)}"`;
    case 'ftruncate':
      return `${descriptor},"len":${argNumberOf(request, 0)}`;
    case 'poll':
      return `${descriptor},${pollKeys(request)}`;
    case 'waitpid':
      return `"child":${answer === null ? 0 : retOf(answer)},"status":${argNumberOf(request, 0)}`;
    default:
      return null;
  }
}

function ioctlKeys(request: RawRecord, answer: RawRecord | null): string {
  let text = `"cmd":"${argOf(request, 0)}","argp":"${argOf(request, 1)}"`;
  const before = findSection(request, SECTION_WHAT.struct);
  if (before >= 0) {
    const after = answer === null ? -1 : findSection(answer, SECTION_WHAT.struct);
    text += `,"arg":"${contentHex(request.bytes, before)}"`;
    if (answer !== null && after >= 0) {
      const isSame = isSameContent(request.bytes, before, answer.bytes, after);
      text += isSame ? ',"same":true' : `,"out":"${contentHex(answer.bytes, after)}"`;
    }
    const isFault =
      hasFlag(request.bytes, before, 'fault') || (after >= 0 && hasFlag(answer!.bytes, after, 'fault'));
    if (isFault) text += ',"argfault":true';
  }
  text += `,"mem":[${buffersOf(request, answer)}]`;
  // A descriptor that the kernel installed without telling it.
  if (answer !== null && answer.fd >= 0) text += `,"newfd":${answer.fd}`;
  return text;
}

function buffersOf(request: RawRecord, answer: RawRecord | null): string {
  let before = findSection(request, SECTION_WHAT.mem);
  if (before < 0) return '';
  let after = answer === null ? -1 : findSection(answer, SECTION_WHAT.mem);
  let text = '';
  while (before >= 0) {
    if (text !== '') text += ',';
    text += bufferText(request.bytes, before, answer, after);
    before = findSection(request, SECTION_WHAT.mem, afterSection(request.bytes, before));
    if (answer !== null && after >= 0) {
      after = findSection(answer, SECTION_WHAT.mem, afterSection(answer.bytes, after));
    }
  }
  return text;
}

function bufferText(bytes: Buffer, before: number, answer: RawRecord | null, after: number): string {
  const isIn = hasFlag(bytes, before, 'in');
  const dir = isIn ? (hasFlag(bytes, before, 'out') ? 'inout' : 'in') : 'out';
  let text = `{"addr":"${addressOf(bytes, before)}","len":${lengthOf(bytes, before)},"dir":"${dir}"`;
  text += `,"before":${bytesText(bytes, before)}`;
  let isFault = hasFlag(bytes, before, 'fault');
  if (answer !== null && after >= 0) {
    const isSame = isSameContent(bytes, before, answer.bytes, after);
    text += isSame ? ',"same":true' : `,"after":${bytesText(answer.bytes, after)}`;
    isFault ||= hasFlag(answer.bytes, after, 'fault');
  }
  if (isFault) text += ',"fault":true';
  if (hasFlag(bytes, before, 'cut')) text += ',"cut":true';
  return `${text}}`;
}

/** From this many zero bytes on they are counted instead of written. */
const ZEROS_MIN = 256;

function bytesText(bytes: Buffer, section: number): string {
  const got = gotBytes(bytes, section);
  return got >= ZEROS_MIN && isZero(bytes, section) ? `{"zero":${got}}` : `"${contentHex(bytes, section)}"`;
}

function transferKeys(request: RawRecord): string {
  const { op, bytes } = request;
  const section = findSection(request, SECTION_WHAT.data);
  const offset = op === 'pread' || op === 'pwrite' ? `,"off":"${argOf(request, 2)}"` : '';
  const data = section < 0 ? '""' : bytesText(bytes, section);
  const key = op === 'read' || op === 'pread' ? 'out' : 'arg';
  return `"addr":"${argOf(request, 0)}","len":${argNumberOf(request, 1)}${offset},"${key}":${data}`;
}

function pollKeys(request: RawRecord): string {
  const [events, timeout, revents] = [0, 1, 2].map((index) => argNumberOf(request, index));
  return `"events":${events},"revents":${revents},"timeout":${timeout}`;
}
