import type { MemoryBuffer, NamedNumber } from '../../call.ts';
import { bytesOf, offsetsIn, type SyzCall, type SyzField } from '../../syzkaller/index.ts';
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
  if (to === null) return null;
  if (to.is === 'bytes') return to.bytes.slice(0, STRUCT_BYTES_MAX);
  if (to.is !== 'list') return null;
  if (to.values.some((value) => value.is === 'union' && value.option.startsWith('ANY')))
    return anyBytes(build, to.values);
  if (call === undefined) return null;
  const bytes = new Uint8Array(Math.max(call.sizeBytes, bytesOf(call.fields)));
  writeFields(build, call.fields, to.values, bytes, 0);
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
    default:
      build.missing.push(`arg.${field.name}`);
  }
}

/** Address of a buffer, whose content becomes what the call reads there. */
function pointedTo(build: Build, field: SyzField, value: SyzValue & { is: 'pointer' }): bigint {
  const content = contentOf(build, field, value.to);
  const addr = value.addr ?? build.addresses.take(content?.length ?? 0);
  if (value.addr === null) build.missing.push(`arg.${field.name}`);
  if (content !== null && content.length > 0) {
    const shared = { addr, len: content.length, before: content, after: null, fault: false, cut: false };
    build.mem.push({ ...shared, dir: 'in' });
  }
  return addr;
}

function contentOf(build: Build, { target }: SyzField, to: SyzValue | null): Uint8Array | null {
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
  else if (value.is === 'pointer') write(bytes, 0, width, value.addr ?? 0n);
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
