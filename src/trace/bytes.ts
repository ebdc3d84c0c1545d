import type { ByteString, SkippedBytes } from './call.ts';
import { RecordError } from './errors.ts';

/** Largest `{"zero":N}` accepted. Recorders cut buffers at 64 KiB; a wild N must not exhaust memory. */
const ZERO_BYTES_MAX = 64 * 1024 * 1024;

/** Shorter runs of zeros are written as hex: the object form would not be smaller. */
const ZERO_BYTES_MIN = 16;

/**
 * Up to this many bytes V8 keeps a typed array on its own heap, and decoding here beats the call into C++.
 */
const SMALL_BYTES_MAX = 64;

export const NOT_HEX = 255;

/** Value of a hex digit by its character code below 256; `NOT_HEX` for others. */
export const NIBBLES = buildNibbles();

function buildNibbles(): Uint8Array {
  const nibbles = new Uint8Array(256).fill(NOT_HEX);
  for (let value = 0; value < 16; value++) {
    const digit = value.toString(16);
    nibbles[digit.charCodeAt(0)] = value;
    nibbles[digit.toUpperCase().charCodeAt(0)] = value;
  }
  return nibbles;
}

function nibbleAt(hex: string, index: number): number {
  const code = hex.charCodeAt(index);
  return code < 256 ? NIBBLES[code]! : NOT_HEX;
}

/**
 * Decodes hex digits of either case.
 * @throws RecordError naming `key` when the text is not an even number of hex digits.
 */
export function decodeHex(key: string, hex: string): Uint8Array {
  const lengthBytes = hex.length >> 1;
  if (hex.length & 1) throw new RecordError(`"${key}" must be an even number of hex digits`);
  if (lengthBytes > SMALL_BYTES_MAX) {
    const decoded = Buffer.from(hex, 'hex');
    // Buffer stops silently at the first character that is not a hex digit.
    if (decoded.length !== lengthBytes) throw new RecordError(`"${key}" must hold hex digits only`);
    return new Uint8Array(decoded.buffer, decoded.byteOffset, lengthBytes);
  }
  const bytes = new Uint8Array(lengthBytes);
  for (let index = 0; index < lengthBytes; index++) {
    const high = nibbleAt(hex, index * 2);
    const low = nibbleAt(hex, index * 2 + 1);
    if (high === NOT_HEX || low === NOT_HEX) throw new RecordError(`"${key}" must hold hex digits only`);
    bytes[index] = (high << 4) | low;
  }
  return bytes;
}

/** Reads `0x` and 1 to 13 hex digits as a number, which is exact; -1 for any other text. */
export function smallHexNumber(text: string): number {
  if (text.length < 3 || text.length > 15 || text.charCodeAt(0) !== 48 || text.charCodeAt(1) !== 120)
    return -1;
  let value = 0;
  for (let index = 2; index < text.length; index++) {
    const digit = nibbleAt(text, index);
    if (digit === NOT_HEX) return -1;
    value = value * 16 + digit;
  }
  return value;
}

/** Encodes bytes as lower-case hex digits. */
export function encodeHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
}

/** Tells recorded bytes from the note that they were left out. */
export function isSkipped(bytes: ByteString): bytes is SkippedBytes {
  return !(bytes instanceof Uint8Array);
}

/**
 * Decodes a byte string of a capture: hex, `{"zero":N}` or `{"skip":N,"crc32":"…"}`.
 * @throws RecordError naming `key`.
 */
export function decodeByteString(key: string, value: unknown): ByteString {
  if (typeof value === 'string') return decodeHex(key, value);
  if (typeof value === 'object' && value !== null) {
    const { zero, skip, crc32 } = value as { zero?: unknown; skip?: unknown; crc32?: unknown };
    if (isByteCount(zero)) {
      if (zero > ZERO_BYTES_MAX)
        throw new RecordError(`"${key}" must not hold more than ${ZERO_BYTES_MAX} zero bytes`);
      return new Uint8Array(zero);
    }
    if (isByteCount(skip) && typeof crc32 === 'string') return { skip, crc32 };
  }
  throw new RecordError(`"${key}" must be hex digits, {"zero":N} or {"skip":N,"crc32":"…"}`);
}

/** Encodes recorded bytes as they stand in a capture; long runs of nothing but zeros become `{"zero":N}`. */
export function encodeByteString(
  bytes: ByteString,
): string | { zero: number } | { skip: number; crc32: string } {
  if (isSkipped(bytes)) return { skip: bytes.skip, crc32: bytes.crc32 };
  if (bytes.length >= ZERO_BYTES_MIN && bytes.every((byte) => byte === 0)) return { zero: bytes.length };
  return encodeHex(bytes);
}

/** Same bytes, or the same note about left-out bytes. */
export function isSameBytes(one: ByteString, other: ByteString): boolean {
  if (one === other) return true;
  if (isSkipped(one) || isSkipped(other)) {
    return isSkipped(one) && isSkipped(other) && one.skip === other.skip && one.crc32 === other.crc32;
  }
  if (one.length !== other.length) return false;
  for (let index = 0; index < one.length; index++) if (one[index] !== other[index]) return false;
  return true;
}

function isByteCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
