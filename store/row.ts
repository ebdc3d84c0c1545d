/** A row of `call` as an array, in the order of `ROW_COLUMNS`. Integers of 2^53 and above are bigints. */
export type Row = (number | bigint | string | null)[];

/** Columns that a replay reads: the first `HOT_COLUMN_COUNT` of a row. */
export const HOT_COLUMNS = 'seq, what, pid, fd, cmd, rc, len, w0, w1, w2, w3, w4, ow, ov, more';

/** All columns of `call` but `trace`, the number of which is the store's own. */
export const ROW_COLUMNS = `${HOT_COLUMNS}, argp, meta`;

/** Where a column stands in a row. */
export const SEQ = 0;
export const WHAT = 1;
export const PID = 2;
export const FD = 3;
export const CMD = 4;
export const RC = 5;
export const LEN = 6;
export const W0 = 7;
export const OW = 12;
export const OV = 13;
export const MORE = 14;
export const ARGP = 15;
export const META = 16;
export const COLUMN_COUNT = 17;

/** 64-bit words that the columns hold. */
export const WORD_COUNT = 5;

/** Longest struct that the columns hold. */
export const HOT_BYTES_MAX = WORD_COUNT * 8;

/** `ow` of a row whose struct after the call was not recorded. */
export const NO_OUT = -1;

/** First integer that a double does not hold exactly: SQLite hands such a value over rounded. */
export const INEXACT_FIRST = 2 ** 53;

/** Says whether a row read with doubles holds a rounded value and has to be read again. */
export function hasRoundedValue(row: Row): boolean {
  for (let index = 0; index < row.length; index++) {
    const value = row[index];
    if (typeof value === 'number' && (value >= INEXACT_FIRST || value <= -INEXACT_FIRST)) return true;
  }
  return false;
}

const TWO_32 = 4294967296;

/** Writes a signed 64-bit column value as eight little-endian bytes. */
export function writeWord(view: DataView, offset: number, value: number | bigint): void {
  if (typeof value === 'bigint') {
    view.setBigInt64(offset, value, true);
    return;
  }
  view.setInt32(offset, value | 0, true);
  view.setInt32(offset + 4, Math.floor(value / TWO_32) | 0, true);
}

/** Reads eight little-endian bytes as a column value: a number where a double is exact, else a bigint. */
export function readWord(view: DataView, offset: number): number | bigint {
  const high = view.getInt32(offset + 4, true);
  // Within these bounds |value| < 2^53.
  if (high >= -0x20_0000 && high < 0x20_0000) return high * TWO_32 + view.getUint32(offset, true);
  return view.getBigInt64(offset, true);
}

/** A 64-bit value as a column value. */
export function columnOf(value: bigint): number | bigint {
  const signed = BigInt.asIntN(64, value);
  return signed > -BigInt(INEXACT_FIRST) && signed < BigInt(INEXACT_FIRST) ? Number(signed) : signed;
}

/** A column value as the unsigned 64-bit value that it stands for. */
export function u64OfColumn(value: number | bigint | string | null | undefined): bigint {
  return typeof value === 'number' || typeof value === 'bigint' ? BigInt.asUintN(64, BigInt(value)) : 0n;
}
