import { CMD, IOMMU_IOAS_MAP, IOMMU_IOAS_UNMAP, offsetsOf } from '../../../uapi/index.ts';
import type { EventHandler } from './event-handler.ts';
import { type EventResult, MEMORY_MISSING, type QemuSession, resultOf } from './session.ts';
import type { EventValues } from './values.ts';

/**
 * The two events of which a log has very many: a map and an unmap of an IOAS. `usual-lines.ts` reads their
 * usual text from bytes; what is written otherwise goes the general way, through values by name.
 */

const MAP = offsetsOf(IOMMU_IOAS_MAP);
const UNMAP = offsetsOf(IOMMU_IOAS_UNMAP);

const FIXED_IOVA = 1;
const WRITEABLE = 2;
const READABLE = 4;
const ENOENT = 2;

/**
 * IOVA, length and address of a map, each as its low and its high 32 bits. Whoever reads an event fills this
 * one: a log has too many of them for an object each.
 */
export const RANGE = new Uint32Array(6);
export const IOVA = 0;
export const LENGTH = 2;
export const ADDRESS = 4;

function setWide(at: number, value: bigint): void {
  RANGE[at] = Number(value & 0xffff_ffffn);
  RANGE[at + 1] = Number(value >> 32n);
}

/** Structs are put together here, and copied into their calls. */
const SCRATCH = new Uint8Array(IOMMU_IOAS_MAP.sizeBytes);
const VIEW = new DataView(SCRATCH.buffer);

function put(at: number, wide: number): void {
  VIEW.setUint32(at, RANGE[wide]!, true);
  VIEW.setUint32(at + 4, RANGE[wide + 1]!, true);
}

/** A map of what `RANGE` says. */
export function mapCall(
  session: QemuSession,
  fd: number,
  ioas: number,
  readonly: boolean,
  result: EventResult | null,
  missing: readonly string[],
): void {
  SCRATCH.fill(0);
  VIEW.setUint32(MAP.size, IOMMU_IOAS_MAP.sizeBytes, true);
  VIEW.setUint32(MAP.flags, FIXED_IOVA | READABLE | (readonly ? 0 : WRITEABLE), true);
  VIEW.setUint32(MAP.ioas_id, ioas, true);
  put(MAP.user_va, ADDRESS);
  put(MAP.length, LENGTH);
  put(MAP.iova, IOVA);
  const arg = SCRATCH.slice();
  session.ioctl({ fd, kind: 'iommufd', cmd: CMD.IOMMU_IOAS_MAP, arg, out: arg, result, missing });
}

/** An unmap of what `RANGE` says. */
export function unmapCall(session: QemuSession, fd: number, ioas: number, result: EventResult | null): void {
  SCRATCH.fill(0);
  VIEW.setUint32(UNMAP.size, IOMMU_IOAS_UNMAP.sizeBytes, true);
  VIEW.setUint32(UNMAP.ioas_id, ioas, true);
  put(UNMAP.iova, IOVA);
  put(UNMAP.length, LENGTH);
  const arg = SCRATCH.slice(0, IOMMU_IOAS_UNMAP.sizeBytes);
  // How much was unmapped is not told; a refusal leaves the struct alone.
  const out = result !== null && result.ret < 0 ? arg : null;
  session.ioctl({ fd, kind: 'iommufd', cmd: CMD.IOMMU_IOAS_UNMAP, arg, out, result });
}

/** The answer to an unmap of nothing: QEMU has an event of its own for it. */
export const NOT_THERE: EventResult = { ret: -1, errno: ENOENT, unnamed: false };

export const mapDma: EventHandler = (session, values) => {
  const fd = values.number('iommufd');
  const ioas = values.number('ioas', 'ioas_id');
  const iova = values.wide('iova');
  const length = values.wide('size');
  const va = values.wide('addr', 'vaddr');
  const readonly = values.number('readonly');
  if (fd === null || ioas === null || iova === null || length === null || va === null) return false;
  const missing = readonly === null ? ['memory', 'arg.flags'] : MEMORY_MISSING;
  setWide(IOVA, iova);
  setWide(LENGTH, length);
  setWide(ADDRESS, va);
  mapCall(session, fd, ioas, readonly === 1, resultOf(values.signed('ret')), missing);
  return true;
};

/** Two events for one call: QEMU takes ENOENT for success and names it by another event. */
export const unmapDma =
  (nonExistent: boolean): EventHandler =>
  (session: QemuSession, values: EventValues) => {
    const fd = values.number('iommufd');
    const ioas = values.number('ioas', 'ioas_id');
    const iova = values.wide('iova');
    const length = values.wide('size');
    if (fd === null || ioas === null || iova === null || length === null) return false;
    const result = nonExistent ? NOT_THERE : resultOf(values.signed('ret'));
    setWide(IOVA, iova);
    setWide(LENGTH, length);
    unmapCall(session, fd, ioas, result);
    return true;
  };
