import type { Call } from '../trace/index.ts';
import {
  decodeStruct,
  type Field,
  findIoctl,
  type Refers,
  type StructLayout,
  selectedCase,
} from '../uapi/index.ts';

/**
 * What a field may refer to that has an id in the context: objects, and not what is named by address or
 * number.
 */
const OBJECTS: ReadonlySet<Refers> = new Set([
  'ioas',
  'device',
  'hwpt',
  'pt',
  'fault',
  'viommu',
  'vdevice',
  'veventq',
  'hw-queue',
  'object',
  'selftest-device',
]);

/** Says whether an ioctl names an object in its struct, before or after the call. */
export function namesObject(call: Call, id: number): boolean {
  if (call.op !== 'ioctl') return false;
  const layout = findIoctl(call.kind, call.cmd)?.layout;
  if (!layout) return false;
  return [call.arg, call.out].some((bytes) => bytes !== null && idsIn(layout, bytes).includes(id));
}

function idsIn(layout: StructLayout, bytes: Uint8Array): readonly number[] {
  const { fields, member } = decodeStruct(layout, bytes);
  const isId = ({ refers }: Field): boolean => refers !== undefined && OBJECTS.has(refers);
  const values = (from: readonly Field[], decoded: Readonly<Record<string, unknown>>): unknown[] =>
    from.filter(isId).flatMap(({ name }) => decoded[name]);
  const union = member === null ? [] : values(selectedCase(layout, fields)?.fields ?? [], member.fields);
  return [...values(layout.fields, fields), ...union].filter((value) => typeof value === 'number');
}
