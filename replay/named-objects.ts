import type { Call } from '../src/trace/index.ts';
import {
  decodeStruct,
  type Field,
  findIoctl,
  type Refers,
  type StructLayout,
  selectedCase,
} from '../src/uapi/index.ts';

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

/** A field of a struct that holds the id of an object. */
export interface NamedObject {
  readonly field: string;
  readonly dir: Field['dir'];
  readonly id: number;
}

/** The ids in the struct of an ioctl: as the caller gave it, or as the kernel left it. */
export function objectsNamed(call: Call, side: 'arg' | 'out'): readonly NamedObject[] {
  if (call.op !== 'ioctl') return [];
  const layout = findIoctl(call.kind, call.cmd)?.layout;
  const bytes = call[side];
  return layout && bytes !== null ? objectsIn(layout, bytes) : [];
}

function objectsIn(layout: StructLayout, bytes: Uint8Array): readonly NamedObject[] {
  const { fields, member } = decodeStruct(layout, bytes);
  const named = (from: readonly Field[], values: Readonly<Record<string, unknown>>): NamedObject[] =>
    from
      .filter(({ refers }) => refers !== undefined && OBJECTS.has(refers))
      .flatMap(({ name, dir }) =>
        [values[name]]
          .flat()
          .filter((id) => typeof id === 'number')
          .map((id) => ({ field: name, dir, id })),
      );
  const union = member === null ? [] : named(selectedCase(layout, fields)?.fields ?? [], member.fields);
  return [...named(layout.fields, fields), ...union];
}
