import type { DescriptorKind, IoctlCall } from './call.ts';
import { isDescriptorKind } from './fields.ts';
import { type Cursor, expectText, readBytes, readHex, readInteger } from './line-cursor.ts';
import { createReusedIoctl } from './reused-call.ts';

/**
 * Reads the line of an ioctl from its bytes, in the spelling that recorders use: by far the most lines of a
 * capture are that, and JSON.parse takes longer for one than all else that an import does with it. Whatever
 * is unusual about a line (a space, an escape, a key that is not of an ioctl, a buffer, a number that is not
 * plain, anything wrong) leaves it to the general reader, which says what it is.
 */
export interface IoctlLineReader {
  /** Where the next line begins; -1 when the line at `start` is left to the general reader. */
  read(bytes: Uint8Array, start: number): number;
  /** The call that was read last: it changes with the next one, and its bytes do too. */
  readonly call: IoctlCall;
}

const NEWLINE = 10;
const QUOTE = 34;
const COMMA = 44;
const COLON = 58;
const OPEN = 123;
const CLOSE = 125;

/** Longer structs are rare; their columns are not the hot ones of the store either. */
const STRUCT_BYTES_MAX = 256;
/** Hexadecimal digits of a number that a double holds for certain, and of a command word. */
const HEX_DIGITS_MAX = 13;
const CMD_DIGITS_MAX = 8;

/** Keys of an ioctl, each with a bit of its own; what is not here makes a line unusual. */
const KEYS = ['seq', 'pid', 'tid', 't_ns', 'dt_ns', 'op', 'fd', 'kind', 'cmd', 'argp', 'arg', 'out', 'same']
  .concat('mem', 'ret', 'errno')
  .map((name, index) => ({ name, bit: 1 << index, codes: Buffer.from(name) }));
const bitOf = (name: string): number => KEYS.find((key) => key.name === name)!.bit;

const SEQ = bitOf('seq');
const PID = bitOf('pid');
const TID = bitOf('tid');
const T_NS = bitOf('t_ns');
const DT_NS = bitOf('dt_ns');
const OP = bitOf('op');
const FD = bitOf('fd');
const KIND = bitOf('kind');
const CMD = bitOf('cmd');
const ARGP = bitOf('argp');
const ARG = bitOf('arg');
const OUT = bitOf('out');
const SAME = bitOf('same');
const MEM = bitOf('mem');
const RET = bitOf('ret');
const ERRNO = bitOf('errno');
const NEEDED = SEQ | PID | OP | FD | KIND | CMD | ARGP;
const REPLY = RET | ERRNO;

/** Keys by their first character and length: at most two share a place. */
const BY_SHAPE: readonly (readonly (typeof KEYS)[number][] | undefined)[] = KEYS.reduce<
  (typeof KEYS)[number][][]
>((shapes, key) => {
  const shape = shapeOf(key.codes[0]!, key.codes.length);
  shapes[shape] = [...(shapes[shape] ?? []), key];
  return shapes;
}, []);

function shapeOf(first: number, length: number): number {
  return (first & 31) * 8 + length;
}

const IOCTL = Buffer.from('"ioctl"');
const EMPTY_LIST = Buffer.from('[]');
const TRUE = Buffer.from('true');

/** A struct in memory that is used again: one view for each length. */
function createStruct() {
  const bytes = new Uint8Array(STRUCT_BYTES_MAX);
  const views: (Uint8Array | undefined)[] = [];
  return {
    bytes,
    view(length: number): Uint8Array {
      const known = views[length] ?? bytes.subarray(0, length);
      views[length] = known;
      return known;
    },
  };
}

/** Reads `"key":`; answers its bit, 0 for a key that is not of an ioctl. */
function readKey(cursor: Cursor): number {
  const { bytes } = cursor;
  const first = cursor.at + 1;
  if (bytes[cursor.at] !== QUOTE) return 0;
  let end = first;
  while (end < first + 6 && bytes[end] !== QUOTE) end += 1;
  if (bytes[end] !== QUOTE || bytes[end + 1] !== COLON) return 0;
  const length = end - first;
  cursor.at = end + 2;
  const shape = BY_SHAPE[shapeOf(bytes[first]!, length)];
  if (shape === undefined) return 0;
  for (const { bit, codes } of shape) {
    let same = 0;
    while (same < length && codes[same] === bytes[first + same]) same += 1;
    if (same === length) return bit;
  }
  return 0;
}

function isSameStruct(one: Uint8Array, other: Uint8Array, length: number): boolean {
  for (let index = 0; index < length; index++) if (one[index] !== other[index]) return false;
  return true;
}

/** Makes a reader with memory of its own. */
export function createIoctlLineReader(): IoctlLineReader {
  const cursor: Cursor = { bytes: new Uint8Array(0), at: 0, isUnusual: false };
  const arg = createStruct();
  const out = createStruct();
  let argLength = 0;
  let outLength = 0;
  let argpNumber = 0;
  let tid = 0;
  let tNs = 0;
  let dtNs = 0;
  let ret = 0;
  let errno = 0;
  const call = createReusedIoctl();

  const readKind = (): DescriptorKind => {
    const { bytes, at } = cursor;
    let end = at + 1;
    // The kind is most often that of the call before.
    while (end - at - 1 < call.kind.length && bytes[end] === call.kind.charCodeAt(end - at - 1)) end += 1;
    if (bytes[at] === QUOTE && end - at - 1 === call.kind.length && bytes[end] === QUOTE) {
      cursor.at = end + 1;
      return call.kind;
    }
    while (end < at + 16 && bytes[end] !== QUOTE) end += 1;
    cursor.at = end + 1;
    const kind = String.fromCharCode(...bytes.subarray(at + 1, end));
    if (bytes[at] !== QUOTE || bytes[end] !== QUOTE || !isDescriptorKind(kind)) cursor.isUnusual = true;
    return kind as DescriptorKind;
  };

  const readArgp = (): void => {
    const value = readHex(cursor, HEX_DIGITS_MAX);
    // A program often uses the same place of its stack again: a bigint costs more than to see that.
    if (value === argpNumber || cursor.isUnusual) return;
    argpNumber = value;
    call.argp = BigInt(value);
  };

  const readValue = (key: number): void => {
    switch (key) {
      case SEQ:
        call.seq = readInteger(cursor);
        return;
      case PID:
        call.pid = readInteger(cursor);
        return;
      case TID:
        tid = readInteger(cursor);
        return;
      case T_NS:
        tNs = readInteger(cursor);
        return;
      case DT_NS:
        dtNs = readInteger(cursor);
        return;
      case OP:
        expectText(cursor, IOCTL);
        return;
      case FD:
        call.fd = readInteger(cursor);
        return;
      case KIND:
        call.kind = readKind();
        return;
      case CMD:
        call.cmd = readHex(cursor, CMD_DIGITS_MAX);
        return;
      case ARGP:
        readArgp();
        return;
      case ARG:
        argLength = readBytes(cursor, arg.bytes);
        return;
      case OUT:
        outLength = readBytes(cursor, out.bytes);
        return;
      case SAME:
        expectText(cursor, TRUE);
        return;
      case MEM:
        expectText(cursor, EMPTY_LIST);
        return;
      case RET:
        ret = readInteger(cursor);
        return;
      case ERRNO:
        errno = readInteger(cursor);
        return;
      default:
        cursor.isUnusual = true;
    }
  };

  /** Reads the object; answers the keys that it has, 0 when it is unusual. */
  const readKeys = (): number => {
    const { bytes } = cursor;
    if (bytes[cursor.at] !== OPEN) return 0;
    let keys = 0;
    do {
      cursor.at += 1;
      const key = readKey(cursor);
      if ((keys & key) !== 0) return 0;
      keys |= key;
      readValue(key);
      if (cursor.isUnusual) return 0;
    } while (bytes[cursor.at] === COMMA);
    if (bytes[cursor.at] !== CLOSE) return 0;
    cursor.at += 1;
    return keys;
  };

  const isWhole = (keys: number): boolean =>
    (keys & NEEDED) === NEEDED &&
    ((keys & REPLY) === 0 || (keys & REPLY) === REPLY) &&
    ((keys & (OUT | SAME)) === 0 || ((keys & ARG) !== 0 && (keys & (OUT | SAME)) !== (OUT | SAME)));

  const fill = (keys: number): void => {
    call.tid = (keys & TID) !== 0 ? tid : null;
    call.tNs = (keys & T_NS) !== 0 ? tNs : null;
    call.extra = (keys & DT_NS) !== 0 ? { dt_ns: dtNs } : null;
    call.replied = (keys & RET) !== 0;
    call.ret = call.replied ? ret : 0;
    call.errno = call.replied ? errno : 0;
    const before = (keys & ARG) !== 0 ? arg.view(argLength) : null;
    const isSame =
      (keys & SAME) !== 0 || (outLength === argLength && isSameStruct(arg.bytes, out.bytes, argLength));
    call.arg = before;
    call.out = (keys & (OUT | SAME)) === 0 ? null : isSame ? before : out.view(outLength);
  };

  return {
    call,
    read(bytes, start) {
      cursor.bytes = bytes;
      cursor.at = start;
      cursor.isUnusual = false;
      const keys = readKeys();
      const { at } = cursor;
      if (keys === 0 || !isWhole(keys) || call.seq < 0 || (at < bytes.length && bytes[at] !== NEWLINE))
        return -1;
      fill(keys);
      return at + 1;
    },
  };
}
