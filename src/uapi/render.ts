/**
 * Structs as people read them, in the manner of strace: names for flags and enums, hexadecimal for addresses
 * and lengths, decimal for ids; nothing for a size that is the usual one and for padding that is zero.
 */

import { type DecodedStruct, decodeStruct, type FieldValue, type RawPiece, selectedCase } from './codec.ts';
import { ENUM_TABLES, FLAG_TABLES, renderEnum, renderFlags } from './flags.ts';
import type { IoctlEntry } from './ioctl.ts';
import type { Field, Refers, StructLayout } from './layout.ts';

export interface RenderOptions {
  /**
   * Print output fields that are zero too. On by default for structs without input, such as event records.
   */
  readonly showOutputs?: boolean;
}

export type PlainValue =
  | number
  | string
  | readonly (number | string)[]
  | { readonly [key: string]: PlainValue };

/** Raw bytes beyond this many are cut in text; JSON has them all. */
const RAW_SHOWN_BYTES = 32;

const HEX_REFERS: ReadonlySet<Refers> = new Set(['iova', 'va', 'phys', 'length', 'offset', 'bits']);

interface Shown {
  readonly label: string;
  readonly field: Field;
  readonly value: FieldValue;
}

/** Lower-case hex without a prefix, as in captures. */
export function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

function renderNumber(field: Field, value: number | bigint): string {
  const isHex = field.refers ? HEX_REFERS.has(field.refers) : typeof value === 'bigint';
  return isHex && value > 0 ? `0x${value.toString(16)}` : String(value);
}

function renderValue(field: Field, value: FieldValue): string {
  if (value instanceof Uint8Array) return hexOf(value);
  if (typeof value === 'object')
    return `[${value.map((element) => renderNumber(field, element)).join(', ')}]`;
  if (field.flags && field.values) {
    const low = Number(value) & 0xffff;
    const high = Number(value) - low;
    const feature = renderEnum(ENUM_TABLES[field.values], low);
    return high === 0 ? feature : `${renderFlags(FLAG_TABLES[field.flags], high)}|${feature}`;
  }
  if (field.flags) return renderFlags(FLAG_TABLES[field.flags], value);
  if (field.values) return renderEnum(ENUM_TABLES[field.values], value);
  return renderNumber(field, value);
}

function isZero(value: FieldValue): boolean {
  if (typeof value === 'number' || typeof value === 'bigint') return Number(value) === 0;
  return [...value].every((element) => Number(element) === 0);
}

/**
 * All fields present, the union's in their place by offset. A union field with the name of another is
 * qualified.
 */
function shownFields(layout: StructLayout, decoded: DecodedStruct): Shown[] {
  const shown: Shown[] = [];
  const values: Readonly<Record<string, FieldValue | undefined>> = decoded.fields;
  for (const field of layout.fields) {
    const value = values[field.name];
    if (value !== undefined) shown.push({ label: field.name, field, value });
  }
  for (const field of selectedCase(layout, values)?.fields ?? []) {
    const value = decoded.member?.fields[field.name];
    const isTaken = layout.fields.some((other) => other.name === field.name);
    const label = isTaken ? `${decoded.member?.name}.${field.name}` : field.name;
    if (value !== undefined) shown.push({ label, field, value });
  }
  return shown;
}

function renderRaw(piece: RawPiece, layout: StructLayout): string {
  const name = piece.offset >= layout.sizeBytes ? 'tail' : 'raw';
  const cut = piece.bytes.length > RAW_SHOWN_BYTES ? '…' : '';
  return `${name}@${piece.offset}=${hexOf(piece.bytes.subarray(0, RAW_SHOWN_BYTES))}${cut}`;
}

/**
 * What the caller passed: `{flags=FIXED_IOVA|WRITEABLE, ioas_id=1, user_va=0x7f00, length=0x2000,
 * iova=0x1000000}`.
 */
export function renderStruct(layout: StructLayout, bytes: Uint8Array, options: RenderOptions = {}): string {
  const decoded: DecodedStruct = decodeStruct(layout, bytes);
  const showOutputs = options.showOutputs ?? layout.fields.every((field) => field.dir === 'out');
  const parts: string[] = [];
  for (const { label, field, value } of shownFields(layout, decoded)) {
    if (field.refers === 'size' && value === layout.sizeBytes) continue;
    if (field.reserved && isZero(value)) continue;
    if (field.dir === 'out' && !showOutputs && isZero(value)) continue;
    if (field.count === 'rest' && typeof value === 'object' && value.length === 0) continue;
    parts.push(`${label}=${renderValue(field, value)}`);
  }
  for (const piece of decoded.raw) parts.push(renderRaw(piece, layout));
  if (bytes.length < layout.minBytes) parts.push(`… (${bytes.length} of ${layout.minBytes} bytes)`);
  return `{${parts.join(', ')}}`;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

/**
 * What the kernel answered: the fields that changed, whatever their direction, and unless the call failed the
 * output fields that are not zero (a reused struct may hold the same answer already). `{}` when there is
 * nothing.
 */
export function renderReply(layout: StructLayout, arg: Uint8Array, out: Uint8Array, failed = false): string {
  const before: DecodedStruct = decodeStruct(layout, arg);
  const after: DecodedStruct = decodeStruct(layout, out);
  const old = new Map(
    shownFields(layout, before).map((shown) => [shown.label, renderValue(shown.field, shown.value)]),
  );
  const parts: string[] = [];
  for (const { label, field, value } of shownFields(layout, after)) {
    const text = renderValue(field, value);
    const isAnswer = field.dir === 'out' && !field.reserved && !failed && !isZero(value);
    if (isAnswer || old.get(label) !== text) parts.push(`${label}=${text}`);
  }
  for (const piece of after.raw) {
    const same = before.raw.some(
      (other) => other.offset === piece.offset && sameBytes(other.bytes, piece.bytes),
    );
    if (!same) parts.push(renderRaw(piece, layout));
  }
  return `{${parts.join(', ')}}`;
}

/**
 * The third argument of an ioctl, from its value and, when it is a pointer, the bytes there (null: not
 * readable).
 */
export function renderArgument(entry: IoctlEntry, argp: bigint, arg: Uint8Array | null): string {
  const pointer = argp === 0n ? 'NULL' : `0x${argp.toString(16)}`;
  // The kernel does not look at it: what was in the register means nothing.
  if (entry.argument === 'none') return '';
  if (entry.argument === 'value') return entry.values ? renderEnum(ENUM_TABLES[entry.values], argp) : pointer;
  if (arg === null) return pointer;
  if (entry.layout) return renderStruct(entry.layout, arg);
  const end = arg.indexOf(0);
  return JSON.stringify(Buffer.from(end < 0 ? arg : arg.subarray(0, end)).toString('latin1'));
}

function plainOf(value: FieldValue): PlainValue {
  if (value instanceof Uint8Array) return hexOf(value);
  if (typeof value === 'bigint') return `0x${value.toString(16)}`;
  if (typeof value === 'number') return value;
  return value.map((element) => (typeof element === 'bigint' ? `0x${element.toString(16)}` : element));
}

function plainFields(fields: Readonly<Record<string, FieldValue | undefined>>): Record<string, PlainValue> {
  const plain: Record<string, PlainValue> = {};
  for (const [name, value] of Object.entries(fields)) if (value !== undefined) plain[name] = plainOf(value);
  return plain;
}

/**
 * Plain JSON with every field: numbers, 64-bit values as 0x strings, bytes as hex. The selected union member
 * is an object under its kernel name; bytes that no field covers are under `raw`, by offset.
 */
export function structToJson(
  layout: StructLayout,
  bytes: Uint8Array,
): { readonly [key: string]: PlainValue } {
  const decoded: DecodedStruct = decodeStruct(layout, bytes);
  const plain = plainFields(decoded.fields);
  if (decoded.member) plain[decoded.member.name] = plainFields(decoded.member.fields);
  if (decoded.raw.length > 0) {
    plain['raw'] = Object.fromEntries(decoded.raw.map((piece) => [String(piece.offset), hexOf(piece.bytes)]));
  }
  return plain;
}
