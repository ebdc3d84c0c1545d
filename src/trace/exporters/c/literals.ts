import { createHash } from 'node:crypto';
import { encodeHex } from '../../bytes.ts';
import type { WriteText } from '../source.ts';

/** Longer byte strings stand once in front of the functions, whatever calls use them. */
const INLINE_BYTES_MAX = 96;
const BYTES_A_LINE = 24;

/** Writes byte strings as C, each distinct long one once. */
export interface Literals {
  /** An expression of type `const uint8_t *` (or array) with these bytes. */
  bytes(bytes: Uint8Array): string;
}

/** `write` gets the definitions of long byte strings as they come up. */
export function createLiterals(write: WriteText): Literals {
  const names = new Map<string, string>();
  return {
    bytes(bytes) {
      if (bytes.length <= INLINE_BYTES_MAX)
        return `(const uint8_t[${Math.max(1, bytes.length)}])${listOf(bytes)}`;
      const key = createHash('sha256').update(bytes).digest('hex');
      const known = names.get(key);
      if (known !== undefined) return known;
      const name = `bytes_${names.size}`;
      names.set(key, name);
      write(`static const uint8_t ${name}[${bytes.length}] = ${listOf(bytes, '')};\n`);
      return name;
    },
  };
}

/** `{ 0x28, 0, 0, 0, 7 }`: zeros at the end are left to the compiler. */
export function listOf(bytes: Uint8Array, indent = '\t\t'): string {
  let length = bytes.length;
  while (length > 0 && bytes[length - 1] === 0) length -= 1;
  if (length === 0) return '{ 0 }';
  const numbers = Array.from(bytes.subarray(0, length), (byte) =>
    byte < 10 ? `${byte}` : `0x${byte.toString(16)}`,
  );
  if (numbers.length <= BYTES_A_LINE) return `{ ${numbers.join(', ')} }`;
  const lines: string[] = [];
  for (let at = 0; at < numbers.length; at += BYTES_A_LINE)
    lines.push(`${indent}\t${numbers.slice(at, at + BYTES_A_LINE).join(', ')},`);
  return `{\n${lines.join('\n')}\n${indent}}`;
}

/** A C string literal of any text. */
export function quote(text: string): string {
  const escaped = Array.from(new TextEncoder().encode(text), (byte) => {
    const char = String.fromCharCode(byte);
    if (char === '"' || char === '\\' || char === '?') return `\\${char}`;
    return byte >= 0x20 && byte < 0x7f ? char : `\\${byte.toString(8).padStart(3, '0')}`;
  });
  return `"${escaped.join('')}"`;
}

/** Text that can stand in a C comment. */
export function commentOf(text: string): string {
  const plain = text
    .replace(/[^\x20-\x7e]/g, '?')
    .replaceAll('*/', '* /')
    .replaceAll('/*', '/ *');
  return `/* ${plain.length > 400 ? `${plain.slice(0, 400)} ...` : plain} */`;
}

/** Bytes of a string that a program passes, with its terminator where it was recorded. */
export function textOfBytes(bytes: Uint8Array): string {
  return encodeHex(bytes);
}
