/**
 * Struct layouts of the user API: what a table of fields looks like, and byte offsets by field name.
 *
 * Everything else (decoding and encoding in codec.ts, rendering in render.ts) comes from these tables.
 * All structs are little-endian, as on every machine that we model.
 */

import type { EnumTableName, FlagTableName } from './flags.ts';

/** `[]` kinds and `bytes` have a `count` of elements, or 'rest': as many whole elements as the bytes hold. */
export type FieldKind = 'u8' | 'u16' | 'u32' | 's32' | 'u64' | 'bytes' | 'u32[]' | 's32[]' | 'u64[]';

/** What a field names or measures. Decides how it is printed, and lets tools follow ids and addresses. */
export type Refers =
  | 'size' // byte count of this very struct: `size` or `argsz`
  | 'ioas'
  | 'device'
  | 'hwpt'
  | 'pt' // an IOAS or a HWPT
  | 'fault'
  | 'viommu'
  | 'vdevice'
  | 'veventq'
  | 'hw-queue'
  | 'object' // any iommufd object
  | 'selftest-device'
  | 'access-pages'
  | 'pasid'
  | 'fd'
  | 'iova'
  | 'va'
  | 'phys'
  | 'length' // bytes
  | 'offset' // bytes into a file or region
  | 'count'
  | 'bits'; // a bit mask without names, such as page sizes

export interface Field {
  readonly name: string;
  /** Bytes from the start of the struct; in a union case, from the start of the union. */
  readonly offset: number;
  readonly kind: FieldKind;
  readonly count?: number | 'rest';
  /** Who writes it: the caller, the kernel, or both. */
  readonly dir: 'in' | 'out' | 'inout';
  readonly flags?: FlagTableName;
  /** With `flags` on the same field the value is in the low 16 bits and the flags are above. */
  readonly values?: EnumTableName;
  readonly refers?: Refers;
  /** Padding with a name. Most of it must be zero. */
  readonly reserved?: true;
}

export interface UnionCase {
  readonly name: string;
  readonly fields: readonly Field[];
}

export interface UnionLayout {
  /** Name of the field that selects the case. */
  readonly selector: string;
  /** Bits of the selector that count; all by default. */
  readonly mask?: number;
  readonly offset: number;
  readonly cases: Readonly<Record<number, UnionCase>>;
}

/** sizeof of a struct from a release on. */
export interface StructSize {
  readonly since: string;
  readonly bytes: number;
  /** Smallest size that is accepted from then on, where that grew too. */
  readonly minBytes?: number;
}

export interface StructLayout {
  readonly name: string;
  /** sizeof of the newest version known, without a flexible array. */
  readonly sizeBytes: number;
  /** Smallest size that any kernel accepts. */
  readonly minBytes: number;
  /** How the struct grew, oldest first; only where it did. */
  readonly sizes?: readonly StructSize[];
  /** Data may follow the struct: a flexible array, or a union that starts at its end. */
  readonly flexible?: true;
  readonly fields: readonly Field[];
  readonly union?: UnionLayout;
}

/** Bytes of one element of each kind. */
export const ELEMENT_BYTES: Readonly<Record<FieldKind, number>> = {
  u8: 1,
  u16: 2,
  u32: 4,
  s32: 4,
  u64: 8,
  bytes: 1,
  'u32[]': 4,
  's32[]': 4,
  'u64[]': 8,
};

/** Bytes that the field takes in a struct of `lengthBytes` bytes; the length matters for 'rest' only. */
export function fieldBytes(field: Field, at: number, lengthBytes: number): number {
  const element = ELEMENT_BYTES[field.kind];
  if (field.count !== 'rest') return element * (field.count ?? 1);
  return Math.max(0, Math.floor((lengthBytes - at) / element)) * element;
}

type NamedOffset = { readonly name: string; readonly offset: number };
/** Field name to literal offset. */
export type OffsetsOf<L extends { readonly fields: readonly NamedOffset[] }> = {
  readonly [F in L['fields'][number] as F['name']]: F['offset'];
};

/** Byte offset of each field by its name, for code that reads in place with a DataView: `MAP.iova === 32`. */
export function offsetsOf<const L extends { readonly fields: readonly NamedOffset[] }>(
  layout: L,
): OffsetsOf<L> {
  return Object.fromEntries(layout.fields.map((field) => [field.name, field.offset])) as OffsetsOf<L>;
}

type CasesOf<L> = L extends { readonly union: { readonly cases: infer Cases } } ? Cases : never;
type CaseFields<Case> = Case extends { readonly fields: readonly (infer F)[] } ? F : never;
type CaseOffsets<Case> = {
  readonly [F in CaseFields<Case> as F extends NamedOffset ? F['name'] : never]: number;
};

/** As `offsetsOf`, for the union member of one selector value; counted from the start of the struct. */
export function unionOffsetsOf<const L extends StructLayout, S extends keyof CasesOf<L> & number>(
  layout: L,
  selector: S,
): CaseOffsets<CasesOf<L>[S]> {
  const fields = layout.union?.cases[selector]?.fields ?? [];
  const base = layout.union?.offset ?? 0;
  return Object.fromEntries(fields.map((field) => [field.name, base + field.offset])) as CaseOffsets<
    CasesOf<L>[S]
  >;
}

/** Throws when a table is wrong; that is our bug, found when the module loads. */
function checkFields(name: string, fields: readonly Field[], room: number, flexible: boolean): void {
  let end = 0;
  const seen = new Set<string>();
  for (const field of fields) {
    const fail = (why: string): never => {
      throw new Error(`layout ${name}.${field.name}: ${why}`);
    };
    if (seen.has(field.name)) fail('name is there twice');
    seen.add(field.name);
    if (field.offset < end) fail(`offset ${field.offset} overlaps the field before, which ends at ${end}`);
    if (field.offset % ELEMENT_BYTES[field.kind] !== 0) fail('offset is not aligned');
    if (field.count === 'rest' && (!flexible || field !== fields.at(-1)))
      fail('only the last field may be open');
    end = field.offset + fieldBytes(field, 0, 0);
    if (end > room && !flexible) fail(`ends at ${end}, struct has ${room}`);
  }
}

/** Checks a layout and gives it back with its literal types, so that `offsetsOf` knows its fields. */
export function defineLayout<const L extends StructLayout>(layout: L): L {
  const flexible = layout.flexible ?? false;
  checkFields(layout.name, layout.fields, layout.sizeBytes, flexible);
  if (layout.minBytes > layout.sizeBytes) throw new Error(`layout ${layout.name}: minBytes above sizeBytes`);
  const union = layout.union;
  if (union) {
    if (!layout.fields.some((field) => field.name === union.selector)) {
      throw new Error(`layout ${layout.name}: no selector ${union.selector}`);
    }
    for (const member of Object.values(union.cases)) {
      checkFields(`${layout.name}.${member.name}`, member.fields, layout.sizeBytes - union.offset, flexible);
    }
  }
  return layout;
}
