import type { MemoryBuffer, NamedNumber } from '../../call.ts';
import { bytesOf, offsetsIn, type SyzCall, type SyzField, type SyzTarget } from '../../syzkaller/index.ts';
import type { SyzValue } from './parse.ts';

/** The third argument of an ioctl, made of what a program says. */
export interface BuiltArgument {
  readonly argp: bigint;
  /** Null when the program does not tell the struct. */
  readonly arg: Uint8Array | null;
  readonly mem: readonly MemoryBuffer[];
  readonly missing: readonly string[];
  readonly defines: readonly NamedNumber[];
  readonly uses: readonly NamedNumber[];
}

/** Addresses for what a program leaves to syzkaller (`AUTO`). */
export interface Addresses {
  take(bytes: number): bigint;
}

const ALIGN = 64n;

/** Hands out addresses one after the other, and begins again when they run out. */
export function createAddresses(start: bigint, end: bigint): Addresses {
  let next = start;
  return {
    take(bytes) {
      const room = ((BigInt(bytes) + ALIGN - 1n) / ALIGN) * ALIGN;
      if (next + room > end) next = start;
      const at = next;
      next += room;
      return at;
    },
  };
}

/** What is collected while bytes are written. */
interface Build {
  readonly addresses: Addresses;
  readonly scoped: (name: string) => string;
  readonly mem: MemoryBuffer[];
  readonly missing: string[];
  readonly defines: NamedNumber[];
  readonly uses: NamedNumber[];
}

const STRUCT_BYTES_MAX = 4096;
const NOTHING: SyzValue = { is: 'list', values: [] };
/** A pointer among pieces without types. */
const ANY_POINTER = { name: 'ANYPTR', target: { is: 'bytes' } } as const;
/** Widths of the pieces that a program writes when it ignores the types. */
const ANY_BYTES: Readonly<Record<string, number>> = {
  ANYRES8: 1,
  ANYRES16: 2,
  ANYRES32: 4,
  ANYRES64: 8,
  ANYPTR: 8,
  ANYPTR64: 8,
};

/** Builds the struct that a pointer points to. */
export function buildArgument(
  call: SyzCall | undefined,
  value: SyzValue | undefined,
  addresses: Addresses,
  scoped: (name: string) => string,
): BuiltArgument {
  const build: Build = { addresses, scoped, mem: [], missing: [], defines: [], uses: [] };
  if (value?.is === 'number' || value?.is === 'nil' || value === undefined) {
    // A pointer to nothing: the kernel reads what is there, and the program does not say what that is.
    const argp = value?.is === 'number' ? value.value : 0n;
    return { argp, arg: null, ...build, missing: argp === 0n ? [] : ['arg'] };
  }
  if (value.is !== 'pointer') return { argp: 0n, arg: null, ...build, missing: ['arg', 'argp'] };
  const arg = structBytes(build, call, value.to);
  const argp = value.addr ?? addresses.take(arg?.length ?? 0);
  if (value.addr === null) build.missing.push('argp');
  if (arg === null) build.missing.push('arg');
  return { argp, arg, ...build };
}

function structBytes(build: Build, call: SyzCall | undefined, to: SyzValue | null): Uint8Array | null {
  // A program leaves out what has its default value, all of a struct too.
  if (to === null) return call === undefined ? null : structBytes(build, call, { is: 'list', values: [] });
  if (to.is === 'bytes') return to.bytes.slice(0, STRUCT_BYTES_MAX);
  if (to.is !== 'list') return null;
  if (to.values.some((value) => value.is === 'union' && value.option.startsWith('ANY')))
    return anyBytes(build, to.values);
  if (call === undefined) return null;
  const bytes = new Uint8Array(Math.max(call.sizeBytes, bytesOf(call.fields)));
  writeFields(build, call.fields, to.values, bytes, 0);
  writeLengths(call, to.values, bytes);
  // A program may say that its struct is longer than its fields: the rest is zero.
  const size = new DataView(bytes.buffer).getUint32(0, true);
  if (size <= bytes.length || size > STRUCT_BYTES_MAX) return bytes;
  const longer = new Uint8Array(size);
  longer.set(bytes);
  return longer;
}

function writeFields(
  build: Build,
  fields: readonly SyzField[],
  values: readonly SyzValue[],
  bytes: Uint8Array,
  base: number,
): void {
  const offsets = offsetsIn(fields);
  for (const [index, field] of fields.entries()) {
    const at = base + offsets[index]!;
    const value = values[index];
    // A program leaves out what has its default value at the end.
    if (value === undefined) write(bytes, at, field.bytes, field.value);
    else writeValue(build, field, value, bytes, at);
  }
}

/** Lengths that a program leaves to syzkaller: of the struct, and of what its one pointer points to. */
function writeLengths({ fields, sizeBytes }: SyzCall, values: readonly SyzValue[], bytes: Uint8Array): void {
  const offsets = offsetsIn(fields);
  for (const [index, field] of fields.entries()) {
    if (field.role !== 'len' || values[index]?.is !== 'auto') continue;
    const pointer = fields.findIndex(({ role }) => role === 'pointer');
    const length = index === 0 ? sizeBytes : lengthOf(fields[pointer]?.target, values[pointer]);
    write(bytes, offsets[index]!, field.bytes, BigInt(length));
  }
}

/** In bytes, and of an array in elements. */
function lengthOf(target: SyzField['target'] | undefined, value: SyzValue | undefined): bigint | number {
  if (value?.is !== 'pointer') return 0;
  if (value.size !== null) return value.size;
  if (target?.is === 'struct') return bytesOf(target.of);
  if (value.to?.is === 'bytes') return value.to.bytes.length;
  return value.to?.is === 'list' ? value.to.values.length : 0;
}

function writeValue(build: Build, field: SyzField, value: SyzValue, bytes: Uint8Array, at: number): void {
  switch (value.is) {
    case 'number':
      write(bytes, at, field.bytes, value.value);
      return;
    case 'defines':
      build.defines.push({ name: build.scoped(value.name), in: 'arg', at, bytes: field.bytes });
      writeValue(build, field, value.value, bytes, at);
      return;
    case 'result':
      build.uses.push({ name: build.scoped(value.name), in: 'arg', at, bytes: field.bytes });
      if (value.divide !== 0n || value.add !== 0n) build.missing.push(`arg.${field.name}`);
      return;
    case 'pointer':
      write(bytes, at, 8, pointedTo(build, field, value));
      return;
    case 'nil':
      return;
    case 'auto':
      write(bytes, at, field.bytes, field.value);
      return;
    default:
      build.missing.push(`arg.${field.name}`);
  }
}

/** Address of a buffer, whose content becomes what the call reads there. */
function pointedTo(
  build: Build,
  field: Pick<SyzField, 'name' | 'target'>,
  value: SyzValue & { is: 'pointer' },
): bigint {
  const content = contentOf(build, field.target, value.to);
  const addr = value.addr ?? build.addresses.take(content?.length ?? 0);
  if (value.addr === null) build.missing.push(`arg.${field.name}`);
  if (content !== null && content.length > 0) {
    const shared = { addr, len: content.length, before: content, after: null, fault: false, cut: false };
    build.mem.push({ ...shared, dir: 'in' });
  }
  return addr;
}

function contentOf(build: Build, target: SyzTarget | null, to: SyzValue | null): Uint8Array | null {
  // Of a struct all of which has its default value nothing is written.
  if (to === null && target?.is === 'struct') return contentOf(build, target, NOTHING);
  if (to === null) return null;
  if (to.is === 'bytes') return to.bytes;
  if (to.is !== 'list') return null;
  if (to.values.some((value) => value.is === 'union' && value.option.startsWith('ANY')))
    return anyBytes({ ...build, defines: [], uses: [] }, to.values);
  if (target === null || target.is === 'bytes' || target.is === 'pages') return null;
  const rows = target.is === 'array' ? to.values : [to];
  const rowBytes = bytesOf(target.of);
  const bytes = new Uint8Array(rows.length * rowBytes);
  for (const [index, row] of rows.entries()) {
    // Names inside of a buffer are not followed: the buffer's bytes are what the program says.
    const inner: Build = { ...build, defines: [], uses: [] };
    if (row.is === 'list') writeFields(inner, target.of, row.values, bytes, index * rowBytes);
    if (inner.uses.length > 0) build.missing.push('mem');
  }
  return bytes;
}

/** Bytes of a value that a program writes without its type. */
export function untypedBytes(value: SyzValue | null): Uint8Array | null {
  const nowhere = { addresses: createAddresses(0n, 0n), scoped: (name: string) => name };
  const build: Build = { ...nowhere, mem: [], missing: [], defines: [], uses: [] };
  return value?.is === 'bytes' ? value.bytes : value?.is === 'list' ? anyBytes(build, value.values) : null;
}

/** Pieces without types: blobs, and results of so many bytes. */
function anyBytes(build: Build, values: readonly SyzValue[]): Uint8Array | null {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for (const value of values) {
    if (value.is !== 'union') return null;
    const piece = anyPiece(build, value, length);
    if (piece === null || length + piece.length > STRUCT_BYTES_MAX) return null;
    pieces.push(piece);
    length += piece.length;
  }
  return new Uint8Array(Buffer.concat(pieces));
}

function anyPiece(
  build: Build,
  { option, value }: SyzValue & { is: 'union' },
  at: number,
): Uint8Array | null {
  if (option === 'ANYBLOB') return value?.is === 'bytes' ? value.bytes : null;
  const width = ANY_BYTES[option];
  if (width === undefined) return null;
  const bytes = new Uint8Array(width);
  if (value === null) return bytes;
  if (value.is === 'number') write(bytes, 0, width, value.value);
  else if (value.is === 'pointer') write(bytes, 0, width, pointedTo(build, ANY_POINTER, value));
  else if (value.is === 'result')
    build.uses.push({ name: build.scoped(value.name), in: 'arg', at, bytes: width });
  else if (value.is === 'defines') {
    build.defines.push({ name: build.scoped(value.name), in: 'arg', at, bytes: width });
    if (value.value.is === 'number') write(bytes, 0, width, value.value.value);
  } else return null;
  return bytes;
}

function write(bytes: Uint8Array, at: number, width: number, value: bigint): void {
  for (let index = 0; index < width; index += 1)
    bytes[at + index] = Number((value >> BigInt(8 * index)) & 0xffn);
}
