import { NIBBLES, NOT_HEX } from './bytes.ts';

const QUOTE = 34;
const MINUS = 45;
const ZERO = 48;
const LETTER_X = 120;

/** Digits of a number that a double holds for certain. */
const DECIMALS_MAX = 15;

/** Where the reading of a line stands, and what went wrong with it, if anything did. */
export interface Cursor {
  bytes: Uint8Array;
  at: number;
  isUnusual: boolean;
}

/** Reads plain digits; what follows them is not looked at. */
export function readInteger(cursor: Cursor): number {
  const { bytes } = cursor;
  let { at } = cursor;
  const isNegative = bytes[at] === MINUS;
  if (isNegative) at += 1;
  const first = at;
  let value = 0;
  for (;;) {
    const digit = bytes[at]! - ZERO;
    if (!(digit >= 0 && digit <= 9)) break;
    value = value * 10 + digit;
    at += 1;
  }
  const digits = at - first;
  // JSON has no leading zeros, and -0 is not the number that it looks like.
  const hasZero = bytes[first] === ZERO && (digits > 1 || isNegative);
  if (digits === 0 || digits > DECIMALS_MAX || hasZero) cursor.isUnusual = true;
  cursor.at = at;
  return isNegative ? -value : value;
}

/** Reads `"0x…"`. */
export function readHex(cursor: Cursor, digitsMax: number): number {
  const { bytes } = cursor;
  let { at } = cursor;
  if (bytes[at] !== QUOTE || bytes[at + 1] !== ZERO || bytes[at + 2] !== LETTER_X) cursor.isUnusual = true;
  at += 3;
  const first = at;
  let value = 0;
  for (;;) {
    const digit = NIBBLES[bytes[at]!] ?? NOT_HEX;
    if (digit === NOT_HEX) break;
    value = value * 16 + digit;
    at += 1;
  }
  const digits = at - first;
  if (digits === 0 || digits > digitsMax || bytes[at] !== QUOTE) cursor.isUnusual = true;
  cursor.at = at + 1;
  return value;
}

/** Reads a string of hex digits into `target`; answers how many bytes they are. */
export function readBytes(cursor: Cursor, target: Uint8Array): number {
  const { bytes } = cursor;
  let { at } = cursor;
  if (bytes[at] !== QUOTE) cursor.isUnusual = true;
  at += 1;
  let length = 0;
  for (; length < target.length; length++) {
    const high = NIBBLES[bytes[at]!] ?? NOT_HEX;
    const low = NIBBLES[bytes[at + 1]!] ?? NOT_HEX;
    if (high === NOT_HEX || low === NOT_HEX) break;
    target[length] = (high << 4) | low;
    at += 2;
  }
  if (bytes[at] !== QUOTE) cursor.isUnusual = true;
  cursor.at = at + 1;
  return length;
}

/** Passes over a text that can only be this one. */
export function expectText(cursor: Cursor, text: Uint8Array): void {
  for (let index = 0; index < text.length; index++) {
    if (cursor.bytes[cursor.at + index] !== text[index]) cursor.isUnusual = true;
  }
  cursor.at += text.length;
}
