import { firstAreaIn, type IovaSpace, type Kernel, NO_AREA, nextArea, spaceOf } from '../../model/index.ts';
import { RANGE_FIELDS } from '../../uapi/index.ts';
import { argU32, argU64, contextOf, type LintCall } from './lint-call.ts';
import { address, label } from './text.ts';

/** The range of IOVAs that a map or unmap names, whichever API it speaks. For refusals: it allocates. */
export interface AskedRange {
  readonly space: IovaSpace;
  readonly context: number;
  /** 0 for a classic container. */
  readonly ioas: number;
  /** `IOAS 2`, `the container`. */
  readonly where: string;
  readonly first: bigint;
  readonly length: bigint;
}

/** Null when the call names no range, or no IOAS that there is. */
export function askedRange(kernel: Kernel, call: LintCall): AskedRange | null {
  const fields = RANGE_FIELDS[call.cmd];
  if (fields === undefined || isOfDevice(call)) return null;
  const [idAt, iovaAt, lengthAt] = fields;
  const range = { first: argU64(call, iovaAt), length: argU64(call, lengthAt) };
  const container = idAt === null ? containerSpace(kernel, call) : null;
  if (container !== null) return { ...container, ...range };
  const context = kernel.state.contexts[contextOf(kernel, call)];
  if (context === undefined) return null;
  const ioas = context.objects[idAt === null ? context.vfioIoas : argU32(call, idAt)];
  if (ioas?.type !== 'ioas') return null;
  const space = spaceOf(kernel, ioas);
  return { space, context: context.id, ioas: ioas.id, where: label('ioas', ioas.id), ...range };
}

/** Command words of containers mean other things on devices. */
function isOfDevice({ record }: LintCall): boolean {
  return record.op === 'ioctl' && (record.kind === 'device' || record.kind === 'group');
}

function containerSpace({ state, spaces }: Kernel, { record }: LintCall) {
  if (record.op !== 'ioctl') return null;
  const file = state.files[state.processes[record.pid]?.descriptors[record.fd] ?? 0];
  if (file?.kind !== 'container') return null;
  const iommu = state.vfio.containers[file.object]?.iommu;
  const space = iommu == null ? undefined : spaces.get(iommu.space);
  return space === undefined ? null : { space, context: file.object, ioas: 0, where: 'the container' };
}

/** Slots of the areas with a byte in the range, by address; `most` at most. */
export function slotsIn({ areas }: IovaSpace, first: bigint, length: bigint, most = 64): number[] {
  if (length === 0n) return [];
  const last = BigInt.asUintN(64, first + length - 1n);
  const [page, offset] = split(first);
  const [lastPage, lastOffset] = split(last);
  const slots: number[] = [];
  let slot = firstAreaIn(areas, page, offset, lastPage, lastOffset);
  while (slot !== NO_AREA && slots.length < most) {
    if (address(areas.startPage[slot]!, areas.startOffset[slot]!) > last) break;
    slots.push(slot);
    slot = nextArea(areas, slot);
  }
  return slots;
}

function split(value: bigint): [number, number] {
  return [Number(value >> 12n), Number(value & 0xfffn)];
}

export function pageOf(value: bigint): number {
  return Number(value >> 12n);
}
