import { type Cursor, expectText, readInteger } from '../../line-cursor.ts';
import { ADDRESS, IOVA, LENGTH, mapCall, NOT_THERE, RANGE, unmapCall } from './map-events.ts';
import { MEMORY_MISSING, type QemuSession, resultOf, SUCCESS } from './session.ts';

/**
 * Reads most lines of a log from their bytes: those of events that are no call, which are only counted, and
 * the maps and unmaps of an IOAS in their usual text. What is left comes as text.
 */
export interface UsualLines {
  /** Where the next line begins; -1 for a line that is wanted as text. Then nothing was done. */
  read(bytes: Uint8Array, start: number): number;
}

/** What the lines of a log do, beside the calls. */
export interface LineEvents {
  readonly session: QemuSession;
  /** Thread and time in front of an event; `isCall`: those of the calls that follow. */
  at(thread: number, second: number, micros: number, isCall: boolean): void;
  /** Whether lines of that event are only counted, under its name. */
  isCounted(name: string): boolean;
  /** Whether it is one of the listener's. */
  isListener(name: string): boolean;
  count(name: string): void;
  /** Counts a line of the listener, where the backend's events tell its calls; false where they do not. */
  countTold(name: string): boolean;
  /** Before the call of an event is handed over. */
  before(name: string): void;
}

type What = 'count' | 'listener' | 'map' | 'unmap' | 'unmap of nothing' | 'text';

interface EventName {
  readonly name: string;
  readonly codes: Uint8Array;
  readonly what: What;
}

const NEWLINE = 10;
const RETURN = 13;
const SPACE = 32;
const ZERO = 48;
const LETTER_A = 97;
const LETTER_F = 102;

const text = (words: string): Uint8Array => Buffer.from(words);
const AT_SIGN = text('@');
const DOT = text('.');
const COLON = text(':');
const NONEXISTENT = text(' Unmap nonexistent mapping:');
const IOMMUFD = text(' iommufd=');
const IOAS = text(' ioas=');
const IOVA_IS = text(' iova=0x');
const SIZE_IS = text(' size=0x');
const ADDR_IS = text(' addr=0x');
const READONLY = text(' readonly=');
const RESULT = text(' (');
const CLOSE = text(')');

/** Digits of a thread and of a second. */
const PREFIX_DIGITS_MAX = 12;
const MICROS_DIGITS = 6;
/** Names that are remembered: a damaged log may hold any number of them. */
const NAMES_MAX = 1000;
const NAME_CHARS_MAX = 80;
const HEX_DIGITS_MAX = 16;

/** Reads hex digits in lower case into two words of `RANGE`. */
function readWide(cursor: Cursor, at: number): void {
  const { bytes } = cursor;
  let place = cursor.at;
  let low = 0;
  let high = 0;
  for (; ; place += 1) {
    const code = bytes[place]!;
    const digit =
      code >= LETTER_A && code <= LETTER_F ? code - LETTER_A + 10 : code >= ZERO ? code - ZERO : 16;
    if (!(digit < 16) || (code > ZERO + 9 && code < LETTER_A)) break;
    high = ((high << 4) | (low >>> 28)) >>> 0;
    low = ((low << 4) | digit) >>> 0;
  }
  const digits = place - cursor.at;
  if (digits === 0 || digits > HEX_DIGITS_MAX) cursor.isUnusual = true;
  RANGE[at] = low;
  RANGE[at + 1] = high;
  cursor.at = place;
}

function isName(code: number): boolean {
  return (code >= LETTER_A && code <= LETTER_A + 25) || (code >= ZERO && code <= ZERO + 9) || code === 95;
}

function whatOf(name: string, { isCounted, isListener }: LineEvents): What {
  if (name === 'iommufd_backend_map_dma') return 'map';
  if (name === 'iommufd_backend_unmap_dma') return 'unmap';
  if (name === 'iommufd_backend_unmap_dma_non_exist') return 'unmap of nothing';
  return isCounted(name) ? 'count' : isListener(name) ? 'listener' : 'text';
}

/** Starts without names. */
export function createUsualLines(events: LineEvents): UsualLines {
  const cursor: Cursor = { bytes: new Uint8Array(0), at: 0, isUnusual: false };
  const names = new Map<number, EventName>();
  let thread = 0;
  let second = 0;
  let micros = 0;
  let fd = 0;
  let ioas = 0;
  let readonly = 0;
  let ret = 0;

  /** Reads thread and time, if they are there; answers whether they are. */
  const readPrefix = (): boolean => {
    const start = cursor.at;
    thread = readInteger(cursor);
    expectText(cursor, AT_SIGN);
    second = readInteger(cursor);
    const isLong = cursor.at - start > 2 * PREFIX_DIGITS_MAX;
    expectText(cursor, DOT);
    const first = cursor.at;
    micros = 0;
    for (; cursor.at < first + MICROS_DIGITS; cursor.at += 1) {
      const digit = cursor.bytes[cursor.at]! - ZERO;
      if (!(digit >= 0 && digit <= 9)) cursor.isUnusual = true;
      micros = micros * 10 + digit;
    }
    expectText(cursor, COLON);
    return !cursor.isUnusual && !isLong && thread >= 0 && second >= 0;
  };

  const isSame = ({ codes }: EventName, start: number, length: number): boolean => {
    if (codes.length !== length) return false;
    for (let index = 0; index < length; index++) {
      if (codes[index] !== cursor.bytes[start + index]) return false;
    }
    return true;
  };

  /** The event at the cursor, which goes behind it; null for a name that is not remembered. */
  const readName = (): EventName | null => {
    const { bytes, at: start } = cursor;
    let end = start;
    let hash = 0;
    for (; isName(bytes[end]!); end++) hash = (Math.imul(hash, 31) + bytes[end]!) | 0;
    const length = end - start;
    cursor.at = end;
    if (length === 0 || length > NAME_CHARS_MAX) return null;
    const known = names.get(hash);
    if (known !== undefined) return isSame(known, start, length) ? known : null;
    if (names.size === NAMES_MAX) return null;
    const name = String.fromCharCode(...bytes.subarray(start, end));
    const codes = bytes.slice(start, end);
    const made = { name, codes, what: whatOf(name, events) };
    names.set(hash, made);
    return made;
  };

  const lineEnd = (): number => {
    const newline = Uint8Array.prototype.indexOf.call(cursor.bytes, NEWLINE, cursor.at);
    return newline === -1 ? cursor.bytes.length : newline + 1;
  };

  /** Reads what stands behind the name of a map or unmap; false when it is written otherwise. */
  const readCall = (what: What): boolean => {
    if (cursor.bytes[cursor.at] !== SPACE) return false;
    // Format strings begin with a space, or do not.
    if (cursor.bytes[cursor.at + 1] === SPACE) cursor.at += 1;
    if (what === 'unmap of nothing') expectText(cursor, NONEXISTENT);
    expectText(cursor, IOMMUFD);
    fd = readInteger(cursor);
    expectText(cursor, IOAS);
    ioas = readInteger(cursor);
    expectText(cursor, IOVA_IS);
    readWide(cursor, IOVA);
    expectText(cursor, SIZE_IS);
    readWide(cursor, LENGTH);
    readonly = 0;
    if (what === 'map') {
      expectText(cursor, ADDR_IS);
      readWide(cursor, ADDRESS);
      expectText(cursor, READONLY);
      readonly = readInteger(cursor);
    }
    expectText(cursor, RESULT);
    ret = readInteger(cursor);
    expectText(cursor, CLOSE);
    const isEnd = cursor.at === cursor.bytes.length || cursor.bytes[cursor.at] === NEWLINE;
    cursor.at += 1;
    const isSmall = ioas <= 0xffff_ffff && readonly <= 1 && Math.abs(ret) <= 0x7fff_ffff;
    return isEnd && isSmall && fd >= 0 && ioas >= 0 && readonly >= 0 && !cursor.isUnusual;
  };

  const handOver = ({ name, what }: EventName): void => {
    events.at(thread, second, micros, true);
    events.before(name);
    const result = ret === 0 ? SUCCESS : resultOf(ret);
    if (what === 'map') mapCall(events.session, fd, ioas, readonly === 1, result, MEMORY_MISSING);
    else unmapCall(events.session, fd, ioas, what === 'unmap' ? result : NOT_THERE);
  };

  /** Counts a line; false when that is not all that there is to it. */
  const count = ({ name, what }: EventName): boolean => {
    const next = cursor.bytes[cursor.at];
    if (next !== SPACE && next !== NEWLINE && next !== RETURN) return false;
    events.at(thread, second, micros, what === 'listener');
    if (what === 'listener') return events.countTold(name);
    events.count(name);
    return true;
  };

  return {
    read(bytes, start) {
      cursor.bytes = bytes;
      cursor.at = start;
      cursor.isUnusual = false;
      if (!readPrefix()) return -1;
      const event = readName();
      if (event === null || event.what === 'text') return -1;
      if (event.what === 'count' || event.what === 'listener') return count(event) ? lineEnd() : -1;
      if (!readCall(event.what)) return -1;
      handOver(event);
      return cursor.at;
    },
  };
}
