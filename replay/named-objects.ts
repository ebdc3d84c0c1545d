import type { Call } from '../src/trace/index.ts';
import {
  CMD,
  decodeStruct,
  type Field,
  findIoctl,
  IOMMU_TEST_OP,
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

/** Operations of the selftest whose `id` is a descriptor, and those that do not look at it. */
const { DESTROY_ACCESS_PAGES, ACCESS_PAGES, ACCESS_RW, ACCESS_REPLACE_IOAS } = IOMMU_TEST_OP;
const BY_DESCRIPTOR: ReadonlySet<number> = new Set([
  DESTROY_ACCESS_PAGES,
  ACCESS_PAGES,
  ACCESS_RW,
  ACCESS_REPLACE_IOAS,
]);
const WITHOUT_ID: ReadonlySet<number> = new Set([
  IOMMU_TEST_OP.MD_CHECK_REFS,
  IOMMU_TEST_OP.SET_TEMP_MEMORY_LIMIT,
  IOMMU_TEST_OP.TRIGGER_IOPF,
  IOMMU_TEST_OP.TRIGGER_VEVENT,
  IOMMU_TEST_OP.DMABUF_GET,
  IOMMU_TEST_OP.DMABUF_REVOKE,
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
  if (!layout || bytes === null) return [];
  const op = testOperation(call);
  const isId = ({ field }: NamedObject): boolean =>
    op === null || field !== 'id' || !(BY_DESCRIPTOR.has(op) || WITHOUT_ID.has(op));
  return objectsIn(layout, bytes).filter(isId);
}

/** The descriptor that an operation of the selftest takes as its `id`; null when it takes none. */
export function descriptorNamed(call: Call): number | null {
  const op = testOperation(call);
  if (op === null || !BY_DESCRIPTOR.has(op) || call.op !== 'ioctl' || call.arg === null) return null;
  return call.arg.length < 12 ? null : viewOf(call.arg).getUint32(8, true);
}

/** Operation of IOMMU_TEST_CMD; null for every other command. */
function testOperation(call: Call): number | null {
  if (call.op !== 'ioctl' || call.arg === null || call.arg.length < 8) return null;
  return findIoctl(call.kind, call.cmd)?.cmd === CMD.IOMMU_TEST_CMD
    ? viewOf(call.arg).getUint32(4, true)
    : null;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
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
