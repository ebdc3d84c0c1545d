/**
 * The one codec for all struct layouts: bytes to field values and back, without losing a byte.
 */

import {
  ELEMENT_BYTES,
  type Field,
  type FieldKind,
  fieldBytes,
  type StructLayout,
  type UnionCase,
} from './layout.ts';

type ValueOfKind<K extends FieldKind> = K extends 'u64'
  ? bigint
  : K extends 'u64[]'
    ? readonly bigint[]
    : K extends 'u32[]' | 's32[]'
      ? readonly number[]
      : K extends 'bytes'
        ? Uint8Array
        : number;

export type FieldValue = number | bigint | readonly number[] | readonly bigint[] | Uint8Array;

/** Field values of a layout; a field that the bytes do not hold in full is missing. */
export type FieldValues<L extends { readonly fields: readonly Field[] }> = {
  readonly [F in L['fields'][number] as F['name']]?: ValueOfKind<F['kind']>;
};

/** Bytes that no field covers: gaps, a tail, part of a field, the union of an unknown operation. */
export interface RawPiece {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

export interface DecodedStruct<L extends StructLayout = StructLayout> {
  readonly lengthBytes: number;
  readonly fields: FieldValues<L>;
  /**
   * The union member that the selector names; null without a union, or when the selector is unknown or
   * missing.
   */
  readonly member: { readonly name: string; readonly fields: Readonly<Record<string, FieldValue>> } | null;
  /** Ascending; only the bytes that are not zero, in runs between the fields. */
  readonly raw: readonly RawPiece[];
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function readField(bytes: Uint8Array, field: Field, at: number): FieldValue {
  const view = viewOf(bytes);
  const total = fieldBytes(field, at, bytes.length);
  const count = total / ELEMENT_BYTES[field.kind];
  switch (field.kind) {
    case 'u8':
      return view.getUint8(at);
    case 'u16':
      return view.getUint16(at, true);
    case 'u32':
      return view.getUint32(at, true);
    case 's32':
      return view.getInt32(at, true);
    case 'u64':
      return view.getBigUint64(at, true);
    case 'bytes':
      return bytes.slice(at, at + total);
    case 'u32[]':
      return Array.from({ length: count }, (_, index) => view.getUint32(at + 4 * index, true));
    case 's32[]':
      return Array.from({ length: count }, (_, index) => view.getInt32(at + 4 * index, true));
    case 'u64[]':
      return Array.from({ length: count }, (_, index) => view.getBigUint64(at + 8 * index, true));
  }
}

function writeField(bytes: Uint8Array, field: Field, at: number, value: FieldValue): void {
  const view = viewOf(bytes);
  if (value instanceof Uint8Array) {
    bytes.set(value, at);
    return;
  }
  const elements: readonly (number | bigint)[] = typeof value === 'object' ? value : [value];
  const elementBytes = ELEMENT_BYTES[field.kind];
  elements.forEach((element, index) => {
    const where = at + index * elementBytes;
    if (elementBytes === 8) view.setBigUint64(where, BigInt.asUintN(64, BigInt(element)), true);
    else if (elementBytes === 4) view.setUint32(where, Number(element) >>> 0, true);
    else if (elementBytes === 2) view.setUint16(where, Number(element), true);
    else view.setUint8(where, Number(element));
  });
}

/** The union member that these field values select. */
export function selectedCase(
  layout: StructLayout,
  fields: Readonly<Record<string, FieldValue | undefined>>,
): UnionCase | undefined {
  if (!layout.union) return undefined;
  const selector = fields[layout.union.selector];
  if (typeof selector !== 'number') return undefined;
  return layout.union.cases[(selector & (layout.union.mask ?? 0xffffffff)) >>> 0];
}

/** What lies between the covered ranges, without the runs that are all zero. */
function rawPieces(bytes: Uint8Array, covered: readonly (readonly [number, number])[]): RawPiece[] {
  const pieces: RawPiece[] = [];
  let from = 0;
  for (const [start, end] of [...covered, [bytes.length, bytes.length] as const]) {
    const piece = bytes.slice(from, start);
    if (piece.some((byte) => byte !== 0)) pieces.push({ offset: from, bytes: piece });
    from = Math.max(from, end);
  }
  return pieces;
}

/** Reads any byte string as the struct, however short or long; nothing is lost, see `encodeStruct`. */
export function decodeStruct<L extends StructLayout>(layout: L, bytes: Uint8Array): DecodedStruct<L> {
  const covered: [number, number][] = [];
  const read = (fields: readonly Field[], base: number): Record<string, FieldValue> => {
    const values: Record<string, FieldValue> = {};
    for (const field of fields) {
      const at = base + field.offset;
      const end = at + fieldBytes(field, at, bytes.length);
      if (end > bytes.length) continue;
      values[field.name] = readField(bytes, field, at);
      covered.push([at, end]);
    }
    return values;
  };
  const fields = read(layout.fields, 0);
  const selected = selectedCase(layout, fields);
  const member =
    selected && layout.union
      ? { name: selected.name, fields: read(selected.fields, layout.union.offset) }
      : null;
  covered.sort((a, b) => a[0] - b[0]);
  return {
    lengthBytes: bytes.length,
    fields: fields as FieldValues<L>,
    member,
    raw: rawPieces(bytes, covered),
  };
}

/** The exact inverse of `decodeStruct`. */
export function encodeStruct<L extends StructLayout>(layout: L, decoded: DecodedStruct<L>): Uint8Array {
  const bytes = new Uint8Array(decoded.lengthBytes);
  const write = (
    fields: readonly Field[],
    base: number,
    values: Readonly<Record<string, FieldValue>>,
  ): void => {
    for (const field of fields) {
      const value = values[field.name];
      if (value !== undefined) writeField(bytes, field, base + field.offset, value);
    }
  };
  const fields = decoded.fields as Readonly<Record<string, FieldValue>>;
  write(layout.fields, 0, fields);
  const selected = selectedCase(layout, fields);
  if (selected && layout.union && decoded.member)
    write(selected.fields, layout.union.offset, decoded.member.fields);
  for (const piece of decoded.raw) bytes.set(piece.bytes, piece.offset);
  return bytes;
}

/**
 * Bytes of a struct with these fields and zeros elsewhere. `size` or `argsz` is filled in unless given.
 * `lengthBytes` makes an older or longer version of the struct; fields must fit.
 */
export function buildStruct<const L extends StructLayout>(
  layout: L,
  fields: FieldValues<L>,
  options: { readonly lengthBytes?: number; readonly member?: Readonly<Record<string, FieldValue>> } = {},
): Uint8Array {
  const lengthBytes = options.lengthBytes ?? layout.sizeBytes;
  const sizeField = layout.fields.find((field) => field.refers === 'size');
  const withSize = sizeField ? { [sizeField.name]: lengthBytes, ...fields } : fields;
  const member = options.member ? { name: '', fields: options.member } : null;
  return encodeStruct<StructLayout>(layout, { lengthBytes, fields: withSize, member, raw: [] });
}
