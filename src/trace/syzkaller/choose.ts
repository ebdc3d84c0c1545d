import { SYZ_CALLS } from './calls.ts';
import { offsetsIn, type SyzCall, type SyzField } from './types.ts';

const BY_NAME: ReadonlyMap<string, SyzCall> = new Map(SYZ_CALLS.map((call) => [call.name, call]));

/** A described call by the name that programs use; undefined when it is not one of iommufd or VFIO. */
export function findSyzCall(name: string): SyzCall | undefined {
  return BY_NAME.get(name);
}

/** Every described call of a command on a kind of descriptor, the preferred one first. */
export function syzCallsOf(kind: string, cmd: number): readonly SyzCall[] {
  return SYZ_CALLS.filter((call) => call.kind === kind && call.cmd === cmd);
}

/** Little-endian number of up to 8 bytes; null when the bytes do not hold all of it. */
export function readNumber(bytes: Uint8Array, at: number, width: number): bigint | null {
  if (at + width > bytes.length) return null;
  let value = 0n;
  for (let index = width - 1; index >= 0; index -= 1) value = (value << 8n) | BigInt(bytes[at + index]!);
  return value;
}

/**
 * Whether a struct can be written as this call: it has all the fields, and what syzkaller holds constant has
 * that value. A program that changes a constant is not one that syzkaller would read back as it was written.
 */
function fits(call: SyzCall, bytes: Uint8Array): boolean {
  const offsets = offsetsIn(call.fields);
  return call.fields.every((field, index) => {
    const value = readNumber(bytes, offsets[index]!, field.bytes);
    if (value === null) return false;
    return field.role !== 'const' || value === field.value;
  });
}

/** Numbers of objects that a program knows by what they are. */
export interface KnownHandles {
  /** What the object with that id is; null when the program did not make it. */
  resourceOf(id: number): SyzField['resource'];
}

/**
 * The described call that a struct is written as; undefined when syzkaller has none. Of several that fit, the
 * one whose resources are of the kind that the program made them as.
 */
export function chooseSyzCall(
  kind: string,
  cmd: number,
  bytes: Uint8Array | null,
  known: KnownHandles | null = null,
): SyzCall | undefined {
  const calls = syzCallsOf(kind, cmd);
  if (bytes === null) return calls.find(({ argument }) => argument !== 'struct');
  const fitting = calls.filter((call) => call.argument === 'struct' && fits(call, bytes));
  return fitting.find((call) => namesKnown(call, bytes, known)) ?? fitting[0];
}

function namesKnown(call: SyzCall, bytes: Uint8Array, known: KnownHandles | null): boolean {
  if (known === null) return true;
  const offsets = offsetsIn(call.fields);
  return call.fields.every((field, index) => {
    if (field.role !== 'resource' || field.dir === 'out') return true;
    const id = readNumber(bytes, offsets[index]!, field.bytes);
    return id === null || known.resourceOf(Number(id)) === field.resource;
  });
}
