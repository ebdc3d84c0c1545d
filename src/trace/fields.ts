import { smallHexNumber } from './bytes.ts';
import type { DescriptorKind, JsonValue } from './call.ts';
import { InexactNumberError, RecordError } from './errors.ts';

/** One line of a capture after JSON.parse: nothing is known of it but that it is an object. */
export type JsonRecord = Readonly<Record<string, JsonValue>>;

/** Keys that are kept beside the typed ones; built lazily, null while there are none. */
export type Extra = Record<string, JsonValue> | null;

const DESCRIPTOR_KINDS: ReadonlySet<string> = new Set<DescriptorKind>([
  'iommufd',
  'container',
  'group',
  'device',
  'access',
  'fault',
  'veventq',
  'memfd',
  'dmabuf',
  'kvm',
  'kvm-vfio',
  '?',
]);

/** 2^64 - 1; also what mmap returns on failure. */
export const U64_LAST = 0xffff_ffff_ffff_ffffn;

/** Says whether this version has a name for the descriptor kind. */
export function isDescriptorKind(kind: string): kind is DescriptorKind {
  return DESCRIPTOR_KINDS.has(kind);
}

function missing(key: string): RecordError {
  return new RecordError(`"${key}" is missing`);
}

/** Reads an integer between -2^53 and 2^53. @throws RecordError */
export function intOf(record: JsonRecord, key: string): number {
  const value = record[key];
  if (typeof value === 'number') {
    if (Number.isSafeInteger(value)) return value;
    if (Number.isInteger(value) || !Number.isFinite(value)) throw new InexactNumberError();
  }
  if (value === undefined) throw missing(key);
  throw new RecordError(`"${key}" must be an integer`);
}

/** Reads an integer that may be left out or null. @throws RecordError */
export function optionalIntOf(record: JsonRecord, key: string): number | null {
  const value = record[key];
  return value === undefined || value === null ? null : intOf(record, key);
}

/** Reads a 64-bit value: a hex string, or an integer below 2^53. @throws RecordError */
export function u64Of(record: JsonRecord, key: string): bigint {
  const value = record[key];
  if (typeof value === 'string') {
    // Most are addresses below 2^52: this way is several times faster than BigInt(text).
    const small = smallHexNumber(value);
    if (small >= 0) return BigInt(small);
    if (/^0x[0-9a-f]{1,16}$/i.test(value)) return BigInt(value);
  }
  if (typeof value === 'number') {
    if (Number.isInteger(value) && !Number.isSafeInteger(value)) throw new InexactNumberError();
    if (Number.isInteger(value) && value >= 0) return BigInt(value);
  }
  if (value === undefined) throw missing(key);
  throw new RecordError(`"${key}" must be a hex string of at most 64 bits`);
}

/** Reads text. @throws RecordError */
export function textOf(record: JsonRecord, key: string): string {
  const value = record[key];
  if (typeof value === 'string') return value;
  if (value === undefined) throw missing(key);
  throw new RecordError(`"${key}" must be a string`);
}

/** Reads a flag that may be left out. @throws RecordError */
export function flagOf(record: JsonRecord, key: string): boolean {
  const value = record[key];
  if (value === undefined || value === null) return false;
  if (typeof value === 'boolean') return value;
  throw new RecordError(`"${key}" must be true or false`);
}

/** A 64-bit value as a capture writes it. */
export function hexOf(value: bigint): string {
  return `0x${BigInt.asUintN(64, value).toString(16)}`;
}

/** Adds one key to what is kept. */
export function keep(extra: Extra, key: string, value: JsonValue): Record<string, JsonValue> {
  // Object.fromEntries defines an own key even when it is named __proto__; an assignment would not.
  return Object.fromEntries([...Object.entries(extra ?? {}), [key, value]]);
}

/** Collects the keys that are not in `known`. @throws InexactNumberError */
export function extraOf(record: JsonRecord, known: ReadonlySet<string>): Extra {
  let extra: Extra = null;
  for (const key in record) {
    if (known.has(key)) continue;
    const value = record[key]!;
    requireExact(value);
    extra = keep(extra, key, value);
  }
  return extra;
}

/** Refuses numbers that JSON.parse could not hold exactly. @throws InexactNumberError */
export function requireExact(value: JsonValue): void {
  if (typeof value === 'number') {
    if (!Number.isFinite(value) || (Number.isInteger(value) && !Number.isSafeInteger(value))) {
      throw new InexactNumberError();
    }
    return;
  }
  if (typeof value !== 'object' || value === null) return;
  for (const part of Object.values(value)) requireExact(part as JsonValue);
}

/**
 * Reads a length that is a number here although the C type is 64 bits wide. One that a double cannot hold is
 * rounded and its exact value kept in `extra`, so that writing gives it back. @throws RecordError
 */
export function lengthOf(record: JsonRecord, key: string, extra: Extra): [number, Extra] {
  const value = record[key];
  if (Number.isSafeInteger(value) && (value as number) >= 0) return [value as number, extra];
  const exact = u64Of(record, key);
  const length = Number(exact);
  return Number.isSafeInteger(length) ? [length, extra] : [length, keep(extra, key, hexOf(exact))];
}

/**
 * Reads the descriptor kind; one without a name here becomes `?` and its own name is kept. @throws
 * RecordError
 */
export function kindOf(record: JsonRecord, extra: Extra): [DescriptorKind, Extra] {
  const kind = textOf(record, 'kind');
  return isDescriptorKind(kind) ? [kind, extra] : ['?', keep(extra, 'kind', kind)];
}

/** Time in nanoseconds and thread, where known. @throws RecordError */
export function threadOf(record: JsonRecord, extra: Extra): [number | null, number | null, Extra] {
  const tid = optionalIntOf(record, 'tid');
  const time = record['t_ns'];
  if (time === undefined || time === null) return [tid, null, extra];
  if (Number.isSafeInteger(time)) return [tid, time as number, extra];
  const exact = u64Of(record, 't_ns');
  if (exact <= BigInt(Number.MAX_SAFE_INTEGER)) return [tid, Number(exact), extra];
  return [tid, null, keep(extra, 't_ns', hexOf(exact))];
}
