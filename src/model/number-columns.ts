import { deflateRawSync, inflateRawSync } from 'node:zlib';

/**
 * Columns of numbers and texts as bytes, for what is read back by this program on this machine: each column
 * takes as few bytes a number as its widest one needs, counted from its smallest. What is left of a column
 * then is dense: only texts are packed further.
 */

export interface ColumnWriter {
  text(text: string): void;
  /** The first `count` of `values`: integers, of at most 53 bits. */
  numbers(values: ArrayLike<number>, count: number): void;
  bytes(): Uint8Array;
}

/** Reads the columns in the order in which they were written. */
export interface ColumnReader {
  text(): string;
  /** Fills `into` from its beginning; what lies behind the column stays. */
  numbers(into: NumberColumn): void;
}

export type NumberColumn = Float64Array | Int32Array | Uint32Array | Uint16Array | Uint8Array;

/** Every part begins at a multiple of so many bytes: a column is read in place. */
const ALIGNED = 8;
/**
 * Width of a number in bytes, how many there are, and the smallest (of a text, its length): two 32-bit words
 * and a double.
 */
const PREFIX_BYTES = 16;

/** States are long texts that say much the same of many objects: more effort gains little. */
const PACKING = { level: 1 };

const aligned = (length: number): number => (length + ALIGNED - 1) & -ALIGNED;

export function createColumnWriter(): ColumnWriter {
  const parts: Uint8Array[] = [];
  let total = 0;
  const add = (width: number, count: number, least: number, content: Uint8Array): void => {
    const prefix = new DataView(new ArrayBuffer(PREFIX_BYTES));
    prefix.setUint32(0, width, true);
    prefix.setUint32(4, count, true);
    prefix.setFloat64(8, least, true);
    parts.push(new Uint8Array(prefix.buffer), content);
    total += PREFIX_BYTES + aligned(content.length);
  };
  return {
    text(text) {
      const whole = Buffer.from(text);
      const content = deflateRawSync(whole, PACKING);
      add(1, content.length, whole.length, content);
    },
    numbers(values, count) {
      let least = count === 0 ? 0 : values[0]!;
      let most = least;
      for (let at = 1; at < count; at += 1) {
        const value = values[at]!;
        if (value < least) least = value;
        else if (value > most) most = value;
      }
      const width = widthOf(most - least);
      const column = columnOf(width, new ArrayBuffer(width * count), 0, count);
      if (column !== null) for (let at = 0; at < count; at += 1) column[at] = values[at]! - least;
      add(width, count, least, column === null ? new Uint8Array(0) : new Uint8Array(column.buffer));
    },
    bytes() {
      const bytes = new Uint8Array(total);
      let at = 0;
      for (const part of parts) {
        bytes.set(part, at);
        at += aligned(part.length);
      }
      return bytes;
    },
  };
}

/** @param bytes What a writer gave; copied when it does not begin at a multiple of 8 in its buffer. */
export function createColumnReader(bytes: Uint8Array): ColumnReader {
  const own = bytes.byteOffset % ALIGNED === 0 ? bytes : Uint8Array.from(bytes);
  const view = new DataView(own.buffer, own.byteOffset, own.length);
  let next = 0;
  const take = (): readonly [width: number, count: number, least: number, at: number] => {
    const [width, count] = [view.getUint32(next, true), view.getUint32(next + 4, true)];
    const at = next + PREFIX_BYTES;
    const least = view.getFloat64(next + 8, true);
    next = at + aligned(width * count);
    return [width, count, least, at];
  };
  return {
    text() {
      const [, length, whole, at] = take();
      const content = Buffer.from(own.buffer, own.byteOffset + at, length);
      // With room for all of it in one piece nothing is copied together.
      return inflateRawSync(content, { chunkSize: Math.max(64, whole + 1) }).toString();
    },
    numbers(into) {
      const [width, count, least, at] = take();
      const column = columnOf(width, own.buffer, own.byteOffset + at, count);
      if (column === null) into.fill(least, 0, count);
      else for (let row = 0; row < count; row += 1) into[row] = column[row]! + least;
    },
  };
}

function widthOf(spread: number): number {
  if (spread === 0) return 0;
  if (spread < 2 ** 8) return 1;
  if (spread < 2 ** 16) return 2;
  return spread < 2 ** 32 ? 4 : 8;
}

/** Null for a column of one and the same number. */
function columnOf(width: number, buffer: ArrayBufferLike, at: number, count: number): NumberColumn | null {
  switch (width) {
    case 0:
      return null;
    case 1:
      return new Uint8Array(buffer, at, count);
    case 2:
      return new Uint16Array(buffer, at, count);
    case 4:
      return new Uint32Array(buffer, at, count);
    default:
      return new Float64Array(buffer, at, count);
  }
}
