import { crc32 } from 'node:zlib';
import { type ByteString, isSkipped, type MemoryBuffer } from '../../src/trace/index.ts';
import { hexOf } from '../../src/uapi/index.ts';

/** Values of calls as texts that are compared. */

/** Longer bytes are told by their length and checksum. */
const BYTES_SHOWN = 48;

export function bytesText(bytes: ByteString | null): string {
  if (bytes === null) return 'unknown';
  if (isSkipped(bytes)) return `${bytes.skip} bytes, crc32 ${bytes.crc32}`;
  if (bytes.length <= BYTES_SHOWN) return hexOf(bytes);
  return `${bytes.length} bytes, crc32 ${crc32(bytes).toString(16).padStart(8, '0')}`;
}

export function bufferText({ dir, before, after, fault, cut }: MemoryBuffer): string {
  const marks = `${fault ? ', faults' : ''}${cut ? ', cut' : ''}`;
  const given = dir === 'out' ? '' : bytesText(before);
  const got = dir === 'in' ? '' : ` -> ${bytesText(after)}`;
  return `${given}${got}${marks}`;
}

export function valueText(value: unknown): string {
  if (value instanceof Uint8Array) return bytesText(value);
  if (Array.isArray(value)) return value.map(valueText).join(', ');
  if (typeof value === 'bigint') return `0x${value.toString(16)}`;
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
