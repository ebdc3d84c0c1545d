/**
 * How syzkaller describes the arguments of a call, as far as its programs need it: fields in the order in
 * which a program writes them, with their width, so that bytes can be made of a program and a program of
 * bytes.
 *
 * Facts of syzkaller's sys/linux/dev_iommu.txt and dev_vfio.txt (2026-08) and docs/program_syntax.md.
 */

/** Resources: numbers that the kernel hands out, which later calls of a program name. */
export type SyzResource =
  | 'fd_iommufd'
  | 'fd_vfio'
  | 'fd_access'
  | 'ioas_handle'
  | 'device_handle'
  | 'hwpt_handle'
  | 'access_pages_handle'
  | 'selftest_device_handle';

/** What a pointer of a struct points to. */
export type SyzTarget =
  /** Bytes, which a program writes as a string or as ANY pieces. */
  | { readonly is: 'bytes' }
  /** Whole pages, which a program writes as a region and `nil`. */
  | { readonly is: 'pages' }
  /** Structs one after the other, in square brackets. */
  | { readonly is: 'array'; readonly of: readonly SyzField[] }
  | { readonly is: 'struct'; readonly of: readonly SyzField[] };

/** One field as a program writes it. */
export interface SyzField {
  readonly name: string;
  /** Bytes that it takes; fields stand one after the other without gaps in all these structs. */
  readonly bytes: 1 | 2 | 4 | 8;
  /**
   * `len` is a length that syzkaller computes, `const` a value that it never changes; both stand in a
   * program as plain numbers.
   */
  readonly role: 'int' | 'len' | 'const' | 'flags' | 'resource' | 'pointer';
  /** What a program leaves out at the end of a struct has this value. */
  readonly value: bigint;
  readonly resource: SyzResource | null;
  /** Who writes it: `out` fields define resources. */
  readonly dir: 'in' | 'out' | 'inout';
  readonly target: SyzTarget | null;
}

/** One described call of a program. */
export interface SyzCall {
  /** As a program names it, `ioctl$IOMMU_IOAS_MAP`. */
  readonly name: string;
  readonly cmd: number;
  /** Kind of the descriptor that it is made on. */
  readonly kind: 'iommufd' | 'container';
  /** What the third argument is: a pointer to a struct, a plain number, or not there. */
  readonly argument: 'struct' | 'value' | 'none';
  readonly fields: readonly SyzField[];
  /** Bytes that the struct is padded to, beyond its fields. */
  readonly sizeBytes: number;
}

type Width = SyzField['bytes'];

const field = (
  name: string,
  bytes: Width,
  role: SyzField['role'],
  more: Partial<SyzField> = {},
): SyzField => ({
  name,
  bytes,
  role,
  value: 0n,
  resource: null,
  dir: 'in',
  target: null,
  ...more,
});

export const int = (name: string, bytes: Width): SyzField => field(name, bytes, 'int');
export const intInOut = (name: string, bytes: Width): SyzField => field(name, bytes, 'int', { dir: 'inout' });
export const intOut = (name: string, bytes: Width): SyzField => field(name, bytes, 'int', { dir: 'out' });
export const len = (name: string, bytes: Width): SyzField => field(name, bytes, 'len');
export const flags = (name: string, bytes: Width): SyzField => field(name, bytes, 'flags');
export const constant = (name: string, bytes: Width, value: bigint | number = 0): SyzField =>
  field(name, bytes, 'const', { value: BigInt.asUintN(bytes * 8, BigInt(value)) });
export const handle = (name: string, resource: SyzResource): SyzField =>
  field(name, 4, 'resource', { resource });
export const handleOut = (name: string, resource: SyzResource): SyzField =>
  field(name, 4, 'resource', { resource, dir: 'out' });
export const pointer = (name: string, target: SyzTarget): SyzField => field(name, 8, 'pointer', { target });

export const BYTES: SyzTarget = { is: 'bytes' };
export const PAGES: SyzTarget = { is: 'pages' };
export const arrayOf = (...of: SyzField[]): SyzTarget => ({ is: 'array', of });
export const structOf = (...of: SyzField[]): SyzTarget => ({ is: 'struct', of });

/** Offset of each field from the start of its struct, in the order of the fields. */
export function offsetsIn(fields: readonly SyzField[]): readonly number[] {
  let at = 0;
  return fields.map(({ bytes }) => {
    const start = at;
    at += bytes;
    return start;
  });
}

/** Bytes that fields take together. */
export function bytesOf(fields: readonly SyzField[]): number {
  return fields.reduce((sum, { bytes }) => sum + bytes, 0);
}
