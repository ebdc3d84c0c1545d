import { COLUMN_COUNT, type Row, writeWord } from './row.ts';

/**
 * A row as bytes: what the hash chain covers. Each column is a tag, and behind it an integer of eight bytes
 * or a text with its length in four.
 */
export const TAG_NULL = 0;
export const TAG_INTEGER = 1;
export const TAG_TEXT = 2;
/** A value of a type that no column has: somebody changed it by hand. */
export const TAG_OTHER = 3;

/** Room for a row without text: for each column a tag and eight bytes. */
export const ROW_BYTES_MAX = COLUMN_COUNT * 9;

/** Bytes that the check of one row takes: its CRC-32. It finds a row; the SHA-256 of the link proves it. */
export const CHECK_BYTES = 4;

/**
 * Calls as rows, ready to be stored: the bytes that the hash chain covers, and from which the columns are
 * read. Made on any thread, and moved to the one that has the database.
 */
export interface RowBlock {
  /** The rows behind each other. */
  readonly bytes: Uint8Array;
  /** Where each row ends in `bytes`. */
  readonly ends: Uint32Array;
  readonly seqs: Float64Array;
  /** CRC-32 of each row. */
  readonly checks: Uint8Array;
}

const TWO_32 = 4294967296;

/** Reads a row back into `values`, from `at` on. @throws RangeError when the bytes end too early. */
export function readRowBytes(view: DataView, bytes: Buffer, offset: number, values: Row, at: number): void {
  let place = offset;
  for (let column = at; column < at + COLUMN_COUNT; column++) {
    const tag = bytes[place]!;
    place += 1;
    if (tag === TAG_NULL) {
      values[column] = null;
    } else if (tag === TAG_INTEGER) {
      const high = view.getInt32(place + 4, true);
      values[column] =
        high >= -0x20_0000 && high < 0x20_0000
          ? high * TWO_32 + view.getUint32(place, true)
          : view.getBigInt64(place, true);
      place += 8;
    } else {
      const end = place + 4 + view.getUint32(place, true);
      values[column] = bytes.toString('utf8', place + 4, end);
      place = end;
    }
  }
}

/** Bytes that a row takes at most, so that a buffer can be made long enough before it is written. */
export function rowBytesMax(row: Row): number {
  let bytes = ROW_BYTES_MAX;
  for (let column = 0; column < COLUMN_COUNT; column++) {
    const value = row[column];
    // UTF-8 needs at most three bytes for a UTF-16 unit.
    if (typeof value === 'string') bytes += value.length * 3;
  }
  return bytes;
}

/** Writes a row whose values are integers, texts or null; answers where it ends. */
export function writeRowBytes(view: DataView, bytes: Buffer, offset: number, row: Row): number {
  let place = offset;
  for (let column = 0; column < COLUMN_COUNT; column++) {
    const value = row[column]!;
    if (value === null) {
      bytes[place++] = TAG_NULL;
    } else if (typeof value === 'string') {
      bytes[place] = TAG_TEXT;
      const length = writeText(bytes, place + 5, value);
      view.setUint32(place + 1, length, true);
      place += 5 + length;
    } else {
      bytes[place] = TAG_INTEGER;
      writeWord(view, place + 1, value);
      place += 9;
    }
  }
  return place;
}

/** Texts of up to so many characters are copied faster here than by the call into C++. */
const SHORT_CHARS = 200;

/** Writes a text as UTF-8; answers its bytes. */
function writeText(bytes: Buffer, offset: number, text: string): number {
  if (text.length > SHORT_CHARS) return bytes.write(text, offset);
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code >= 128) return bytes.write(text, offset);
    bytes[offset + index] = code;
  }
  return text.length;
}
