import { objectKey } from '../../src/model/index.ts';
import type { IoctlCall } from '../../src/trace/index.ts';
import { CMD, decodeStruct, type Field, findIoctl, selectedCase } from '../../src/uapi/index.ts';
import { objectsNamed } from '../named-objects.ts';
import { roleOfUserPage, roleText } from '../timeline/index.ts';
import { chosenText, forgetChosen, noteChosen } from './automatic-iovas.ts';
import { bufferText, bytesText, valueText } from './field-text.ts';
import type { MeaningField } from './meaning.ts';
import { descriptorField, type MeaningReader, plain } from './meaning-reader.ts';

/** Structs by what they say: ids as objects, addresses as roles, and nothing of what is there by chance. */

/** The fields of an ioctl's struct, before and after the call, and the buffers that it points to. */
export function structFields(reader: MeaningReader, call: IoctlCall): MeaningField[] {
  const entry = findIoctl(call.kind, call.cmd);
  // Whatever a register holds is passed where there is no argument.
  if (entry?.argument === 'none') return [];
  if (call.arg === null) return [plain('argument', entry?.layout ? 'bad' : valueText(call.argp))];
  if (entry?.argument === 'string') return [plain('argument', stringText(call.arg))];
  const layout = entry?.layout;
  if (!layout) return [plain('struct', bytesText(call.arg)), plain('answer bytes', bytesText(call.out))];
  const given = contextOf(reader, call);
  const fields = sideFields(reader, call, layout, call.arg, given, 'arg');
  if (call.errno === 0 && call.out !== null)
    fields.push(...sideFields(reader, call, layout, call.out, given, 'out'));
  for (const [index, buffer] of call.mem.entries()) fields.push(plain(`buffer ${index}`, bufferText(buffer)));
  return fields;
}

/** Up to its end: what lies behind it is nobody's business. */
function stringText(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString('latin1');
}

/**
 * Whether the kernel reads bytes that no field covers. In a struct of VFIO that it fills in it writes
 * there: the caller's bytes are whatever was in that memory before.
 */
function readsTail({ kind }: IoctlCall, { fields }: Layout): boolean {
  return kind === 'iommufd' || !fields.some(({ dir }) => dir === 'out');
}

function writtenBytes(before: Uint8Array, after: Uint8Array, from: number, to: number): Uint8Array {
  return after.subarray(from, to).map((byte, at) => (byte === before[from + at] ? 0 : byte));
}

/** The context that ids of the call belong to; 0 when none. */
function contextOf({ kernel: { state } }: MeaningReader, { pid, fd }: IoctlCall): number {
  const file = state.files[state.processes[pid]?.descriptors[fd] ?? 0];
  if (file === undefined) return 0;
  return file.kind === 'device' ? (state.vfio.devices[file.object]?.context ?? 0) : file.context;
}

type Layout = NonNullable<NonNullable<ReturnType<typeof findIoctl>>['layout']>;

function sideFields(
  reader: MeaningReader,
  call: IoctlCall,
  layout: Layout,
  bytes: Uint8Array,
  context: number,
  side: 'arg' | 'out',
): MeaningField[] {
  const decoded = decodeStruct(layout, bytes);
  const values: Readonly<Record<string, unknown>> = decoded.fields;
  const objects = new Map(objectsNamed(call, side).map(({ field, id }) => [field, id]));
  const isAsked = ({ dir }: Field): boolean => (side === 'arg' ? dir !== 'out' : dir !== 'in');
  const one = (field: Field, value: unknown): MeaningField[] => {
    if (value === undefined || !isAsked(field)) return [];
    const name = side === 'arg' ? field.name : `answer.${field.name}`;
    const id = objects.get(field.name);
    if (id !== undefined && typeof value === 'number') return [objectField(reader, context, name, id, side)];
    if (field.refers === 'fd' && typeof value === 'number') return [fdField(reader, call, name, value, side)];
    if (field.refers === 'va' && typeof value === 'bigint')
      return addressField(reader, call, name, value, values);
    if (field.refers === 'iova' && typeof value === 'bigint')
      return iovaField(reader, call, values, ioasOf(reader, context, values), name, field, value);
    return [plain(name, valueText(value))];
  };
  const member = selectedCase(layout, decoded.fields)?.fields ?? [];
  return [
    ...layout.fields.flatMap((field) => one(field, values[field.name])),
    ...member.flatMap((field) =>
      one(field, (decoded.member?.fields as Record<string, unknown>)?.[field.name]),
    ),
    ...(side === 'arg' && readsTail(call, layout)
      ? decoded.raw.map((piece) => plain(`bytes at ${piece.offset}`, bytesText(piece.bytes)))
      : []),
    ...(side === 'out' && !readsTail(call, layout) ? tailField(call, layout, bytes, values['argsz']) : []),
  ];
}

/**
 * Capabilities behind a struct that the kernel filled in: written whole, or not at all where room was
 * lacking. What lies between two of them it leaves as it was: such bytes count as zero.
 */
function tailField(
  { arg }: IoctlCall,
  { sizeBytes }: Layout,
  bytes: Uint8Array,
  argsz: unknown,
): MeaningField[] {
  if (typeof argsz !== 'number' || arg === null || argsz > arg.length || argsz > bytes.length) return [];
  return argsz <= sizeBytes
    ? []
    : [plain('answer.capabilities', bytesText(writtenBytes(arg, bytes, sizeBytes, argsz)))];
}

function objectField(
  { names }: MeaningReader,
  context: number,
  name: string,
  id: number,
  side: 'arg' | 'out',
): MeaningField {
  if (id === 0) return plain(name, '0');
  const key = objectKey(context, id);
  const object = side === 'arg' ? names.find(key) : names.findMade(key);
  // An id of nothing: that it names nothing is what it says.
  if (object === null) return plain(name, 'no object');
  return { name, text: 'object', object, label: names.label(object) };
}

function fdField(
  { kernel, names }: MeaningReader,
  { pid }: IoctlCall,
  name: string,
  fd: number,
  side: string,
): MeaningField {
  if (side === 'out') return plain(name, 'new descriptor');
  if (fd < 0 || fd === 0xffffffff) return plain(name, 'none');
  return descriptorField(kernel, names, pid, fd, name, name === 'container_fd' ? 'container' : 'descriptor');
}

/** Memory by its role; a pointer to a buffer of the call says nothing beside the buffer. */
function addressField(
  { kernel, roles }: MeaningReader,
  call: IoctlCall,
  name: string,
  address: bigint,
  values: Values,
): MeaningField[] {
  if (address === 0n) return [plain(name, '0')];
  if (call.mem.some(({ addr }) => addr === address)) return [];
  const process = kernel.state.processes[call.pid];
  if (process === undefined) return [];
  const role = roleOfUserPage(roles, kernel, process.mm, Number(address >> 12n), pagesOf(address, values));
  const offset = address & 0xfffn;
  return [plain(name, `${roleText(role)}${offset === 0n ? '' : ` + 0x${offset.toString(16)}`}`)];
}

/** Number of the IOAS whose addresses a struct speaks of; null when it names none. */
function ioasOf({ names }: MeaningReader, context: number, values: Values): number | null {
  const id = values['ioas_id'] ?? values['dst_ioas_id'];
  return typeof id === 'number' ? names.find(objectKey(context, id)) : null;
}

type Values = Readonly<Record<string, unknown>>;

const FIXED_IOVA = 1;

/** An IOVA; one that the kernel chooses says nothing before it has. */
function iovaField(
  { names: { automatic } }: MeaningReader,
  call: IoctlCall,
  values: Values,
  ioas: number | null,
  name: string,
  { dir }: Field,
  value: bigint,
): MeaningField[] {
  const { flags, length } = values;
  const isChosen =
    call.kind === 'iommufd' && dir === 'inout' && typeof flags === 'number' && (flags & FIXED_IOVA) === 0;
  if (ioas === null || call.kind !== 'iommufd') return isChosen ? [] : [plain(name, valueText(value))];
  if (isChosen) {
    if (name.startsWith('answer') && typeof length === 'bigint') noteChosen(automatic, ioas, value, length);
    return [];
  }
  const text = chosenText(automatic, ioas, value) ?? valueText(value);
  if (call.cmd === CMD.IOMMU_IOAS_UNMAP && call.errno === 0) forgetChosen(automatic, ioas, value);
  return [plain(name, text)];
}

/** Pages of 4096 bytes that a struct speaks of. */
function pagesOf(address: bigint, values: Values): number {
  const length = values['length'] ?? values['size'];
  if (typeof length !== 'bigint' || length === 0n || length > 1n << 60n) return 1;
  return Number(((address & 0xfffn) + length + 4095n) >> 12n);
}
