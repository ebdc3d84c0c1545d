import type { Call, IoctlCall } from '../../src/trace/index.ts';
import { CMD, IOMMU_TEST_OP as OP } from '../../src/uapi/index.ts';
import { withNumber } from './edit.ts';
import { type Finds, ioctl, testOp } from './trace-edits.ts';

/**
 * Ways in which a program goes wrong, at any place of any trace that has such a call: unlike the plants of
 * plants.ts, which were each put where they are by hand.
 */
export interface Mutation {
  readonly name: string;
  /** Calls that it can be made at. */
  readonly at: Finds;
  /** The calls with the mistake at that place; null where it would be none. */
  readonly make: (calls: readonly Call[], place: number) => readonly Call[] | null;
}

const isMap = ioctl(CMD.IOMMU_IOAS_MAP);
const isUnmap = ioctl(CMD.IOMMU_IOAS_UNMAP);
const isCopy = ioctl(CMD.IOMMU_IOAS_COPY);
const isDestroy = ioctl(CMD.IOMMU_DESTROY);
const isAlloc = ioctl(CMD.IOMMU_IOAS_ALLOC);
const isHwptAlloc = ioctl(CMD.IOMMU_HWPT_ALLOC);
const isReadDirty = ioctl(CMD.IOMMU_HWPT_GET_DIRTY_BITMAP);
const onDevice =
  (cmd: number): Finds =>
  (call) =>
    call.op === 'ioctl' && call.kind === 'device' && ioctl(cmd)(call);
const isBind = onDevice(CMD.VFIO_DEVICE_BIND_IOMMUFD);
const isAttach = onDevice(CMD.VFIO_DEVICE_ATTACH_IOMMUFD_PT);
const onContainer =
  (cmd: number): Finds =>
  (call) =>
    call.op === 'ioctl' && (call.kind === 'container' || call.kind === 'iommufd') && ioctl(cmd)(call);
const isDmaMap = onContainer(CMD.VFIO_IOMMU_MAP_DMA);
const isDmaUnmap = onContainer(CMD.VFIO_IOMMU_UNMAP_DMA);
const isPasidAttach = testOp(CMD.IOMMU_TEST_CMD, OP.PASID_ATTACH);
const isPasidDetach = testOp(CMD.IOMMU_TEST_CMD, OP.PASID_DETACH);
const isFaultRead: Finds = (call) => call.op === 'read' && call.kind === 'fault' && call.ret > 0;
const isFaultWrite: Finds = (call) => call.op === 'write' && call.kind === 'fault' && call.ret > 0;

export function field64(call: Call, at: number): bigint {
  const { arg } = call as IoctlCall;
  return new DataView(arg!.buffer, arg!.byteOffset).getBigUint64(at, true);
}

export function field32(call: Call, at: number): number {
  const { arg } = call as IoctlCall;
  return new DataView(arg!.buffer, arg!.byteOffset).getUint32(at, true);
}

const dropped: Mutation['make'] = (calls, place) => calls.filter((_, index) => index !== place);

const repeated: Mutation['make'] = (calls, place) => [
  ...calls.slice(0, place + 1),
  { ...calls[place]!, seq: calls[place]!.seq + 1 },
  ...calls.slice(place + 1),
];

/** Changes bytes of the struct. */
function changed(change: (call: IoctlCall) => Uint8Array | null): Mutation['make'] {
  return (calls, place) => {
    const call = calls[place] as IoctlCall;
    const arg = change(call);
    return arg === null ? null : calls.map((each, index) => (index === place ? { ...call, arg } : each));
  };
}

/** Makes the call right after the next one that fits, or right before the one before. */
function moved(over: Finds, direction: 1 | -1): Mutation['make'] {
  return (calls, place) => {
    let to = place + direction;
    while (to >= 0 && to < calls.length && !over(calls[to]!)) to += direction;
    const target = calls[to];
    if (target === undefined || target.pid !== calls[place]!.pid) return null;
    const own = { ...calls[place]!, seq: target.seq + direction };
    const rest = calls.filter((_, index) => index !== place);
    const at = direction > 0 ? to : to;
    return [...rest.slice(0, at), own, ...rest.slice(at)];
  };
}

/** The range that a map covers is what another call is about. */
const sameRange =
  (finds: Finds, own: Call): Finds =>
  (call) =>
    finds(call) &&
    field32(call, 4) === field32(own, 8) &&
    field64(call, 8) === field64(own, 32) &&
    field64(call, 16) === field64(own, 24);

const mutation = (name: string, at: Finds, make: Mutation['make']): Mutation => ({ name, at, make });

export const MUTATIONS: readonly Mutation[] = [
  mutation(
    'half of a range is unmapped',
    isUnmap,
    changed((call) => half(call, 16)),
  ),
  mutation(
    'an unmap begins a page late',
    isUnmap,
    changed((call) => shifted(call, 8, 4096n)),
  ),
  mutation('an unmap is left out', isUnmap, dropped),
  mutation('an unmap is made twice', isUnmap, repeated),
  mutation('a range is mapped twice', isMap, repeated),
  mutation(
    'an unmap names an object that never was',
    isUnmap,
    changed((call) => withNumber(call.arg, 4, 777)),
  ),
  mutation(
    'a map names an object that never was',
    isMap,
    changed((call) => withNumber(call.arg, 8, 777)),
  ),
  mutation(
    'a map has no access',
    isMap,
    changed((call) => withNumber(call.arg, 4, field32(call, 4) & 1)),
  ),
  mutation(
    'a map is of memory that is not there',
    isMap,
    changed((call) => withNumber(call.arg, 16, 0x1000n)),
  ),
  mutation('an unmap comes before its map', isMap, (calls, place) => {
    const unmap = calls.findIndex((call, index) => index > place && sameRange(isUnmap, calls[place]!)(call));
    if (unmap < 0) return null;
    const early = { ...calls[unmap]!, seq: calls[place]!.seq - 1 };
    return calls.flatMap((call, index) => (index === place ? [early, call] : index === unmap ? [] : [call]));
  }),
  mutation(
    'a copy is of a range that nobody mapped',
    isCopy,
    changed((call) => withNumber(call.arg, 32, 0x7ff_ffff_f000n)),
  ),
  mutation('a destroy is made twice', isDestroy, repeated),
  mutation(
    'a destroy names an object that never was',
    isDestroy,
    changed((call) => withNumber(call.arg, 4, 777)),
  ),
  mutation('an IOAS is made once too often', isAlloc, repeated),
  mutation('a page table is made once too often', isHwptAlloc, repeated),
  mutation(
    'a page table is made of an object that never was',
    isHwptAlloc,
    changed((call) => withNumber(call.arg, 12, 777)),
  ),
  mutation(
    'a dirty bitmap is read of a table that never was',
    isReadDirty,
    changed((call) => withNumber(call.arg, 4, 777)),
  ),
  mutation('a device is not bound', isBind, dropped),
  mutation('a device is bound twice', isBind, repeated),
  mutation(
    'a device is attached to what never was',
    isAttach,
    changed((call) => withNumber(call.arg, 8, 777)),
  ),
  mutation('an unmap of a container is left out', isDmaUnmap, dropped),
  mutation('a range of a container is mapped twice', isDmaMap, repeated),
  mutation(
    'a map of a container has no access',
    isDmaMap,
    changed((call) => withNumber(call.arg, 4, 0)),
  ),
  mutation('a PASID is attached twice', isPasidAttach, repeated),
  mutation(
    'another PASID is detached',
    isPasidDetach,
    changed((call) => withNumber(call.arg, 16, field32(call, 16) + 1)),
  ),
  mutation('a PASID is not detached', isPasidDetach, dropped),
  mutation('page requests are not read', isFaultRead, dropped),
  mutation('page requests are not answered', isFaultWrite, dropped),
  mutation('another page request is answered', isFaultWrite, (calls, place) =>
    calls.map((call, index) => {
      if (index !== place || call.op !== 'write') return call;
      return { ...call, arg: withNumber(call.arg as Uint8Array, 0, 0x7777) };
    }),
  ),
  mutation(
    'a context is closed before its last call',
    closes('iommufd'),
    moved((call) => isUnmap(call) || isDestroy(call), -1),
  ),
];

function closes(kind: string): Finds {
  return (call) => call.op === 'close' && call.kind === kind;
}

/** Of one page there is no half. */
function half(call: IoctlCall, at: number): Uint8Array | null {
  const length = field64(call, at);
  if (length < 0x2000n || length > 1n << 40n) return null;
  return withNumber(call.arg, at, (length / 0x2000n) * 0x1000n);
}

function shifted(call: IoctlCall, at: number, by: bigint): Uint8Array | null {
  return field64(call, 16) > 1n << 40n ? null : withNumber(call.arg, at, field64(call, at) + by);
}
