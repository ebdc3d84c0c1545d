import { CMD, IOMMU_IOAS_MAP, IOMMU_IOAS_UNMAP, offsetsOf } from '../../../uapi/index.ts';
import type { EventHandler } from './event-handler.ts';
import { type EventResult, MEMORY_MISSING, type QemuSession, resultOf, SUCCESS } from './session.ts';
import type { EventValues } from './values.ts';

/**
 * The two events of which a log has very many: a map and an unmap of an IOAS. Their usual text is read by one
 * pattern each; what is written otherwise goes the general way.
 */

const MAP = offsetsOf(IOMMU_IOAS_MAP);
const UNMAP = offsetsOf(IOMMU_IOAS_UNMAP);

const FIXED_IOVA = 1;
const WRITEABLE = 2;
const READABLE = 4;
const ENOENT = 2;

const IDS = 'iommufd=(\\d{1,9}) ioas=(\\d{1,9})';
const RANGE = 'iova=0x([0-9a-f]{1,16}) size=0x([0-9a-f]{1,16})';
const RESULT = '\\((-?\\d{1,9})\\)$';
const USUAL_MAP = new RegExp(`^ ?${IDS} ${RANGE} addr=0x([0-9a-f]{1,16}) readonly=([01]) ${RESULT}`);
const USUAL_UNMAP = new RegExp(`^ ?(?:Unmap nonexistent mapping: )?${IDS} ${RANGE} ${RESULT}`);

/** Thirteen hex digits are below 2^52, and exact. */
const EXACT_DIGITS = 13;
const TWO_32 = 2 ** 32;

/** Writes a number of 64 bits that is given in hex digits. */
function putHex(view: DataView, at: number, digits: string): void {
  if (digits.length > EXACT_DIGITS) {
    view.setBigUint64(at, BigInt(`0x${digits}`), true);
    return;
  }
  const value = Number.parseInt(digits, 16);
  view.setUint32(at, value % TWO_32, true);
  view.setUint32(at + 4, Math.floor(value / TWO_32), true);
}

function mapCall(
  session: QemuSession,
  fd: number,
  ioas: number,
  [iova, length, va]: readonly [string, string, string],
  readonly: boolean,
  result: EventResult | null,
  missing: readonly string[],
): void {
  const arg = new Uint8Array(IOMMU_IOAS_MAP.sizeBytes);
  const view = new DataView(arg.buffer);
  view.setUint32(MAP.size, IOMMU_IOAS_MAP.sizeBytes, true);
  view.setUint32(MAP.flags, FIXED_IOVA | READABLE | (readonly ? 0 : WRITEABLE), true);
  view.setUint32(MAP.ioas_id, ioas, true);
  putHex(view, MAP.user_va, va);
  putHex(view, MAP.length, length);
  putHex(view, MAP.iova, iova);
  session.ioctl({ fd, kind: 'iommufd', cmd: CMD.IOMMU_IOAS_MAP, arg, out: arg, result, missing });
}

function unmapCall(
  session: QemuSession,
  fd: number,
  ioas: number,
  [iova, length]: readonly [string, string],
  result: EventResult | null,
): void {
  const arg = new Uint8Array(IOMMU_IOAS_UNMAP.sizeBytes);
  const view = new DataView(arg.buffer);
  view.setUint32(UNMAP.size, IOMMU_IOAS_UNMAP.sizeBytes, true);
  view.setUint32(UNMAP.ioas_id, ioas, true);
  putHex(view, UNMAP.iova, iova);
  putHex(view, UNMAP.length, length);
  // How much was unmapped is not told; a refusal leaves the struct alone.
  const out = result !== null && result.ret < 0 ? arg : null;
  session.ioctl({ fd, kind: 'iommufd', cmd: CMD.IOMMU_IOAS_UNMAP, arg, out, result });
}

const resultIn = (digits: string): EventResult | null =>
  digits === '0' ? SUCCESS : resultOf(Number(digits));
const NOT_THERE: EventResult = { ret: -1, errno: ENOENT, unnamed: false };

/** Reads an event in its usual text; false when it is written otherwise. */
export function readUsual(session: QemuSession, name: string, text: string): boolean {
  if (name === 'iommufd_backend_map_dma') {
    const match = USUAL_MAP.exec(text);
    if (match === null) return false;
    const [, fd, ioas, iova, length, va, readonly, ret] = match as unknown as string[];
    const range = [iova!, length!, va!] as const;
    mapCall(session, Number(fd), Number(ioas), range, readonly === '1', resultIn(ret!), MEMORY_MISSING);
    return true;
  }
  const isUnmap = name === 'iommufd_backend_unmap_dma';
  if (!isUnmap && name !== 'iommufd_backend_unmap_dma_non_exist') return false;
  const match = USUAL_UNMAP.exec(text);
  if (match === null) return false;
  const [, fd, ioas, iova, length, ret] = match as unknown as string[];
  unmapCall(session, Number(fd), Number(ioas), [iova!, length!], isUnmap ? resultIn(ret!) : NOT_THERE);
  return true;
}

const hex = (value: bigint): string => value.toString(16);

export const mapDma: EventHandler = (session, values) => {
  const fd = values.number('iommufd');
  const ioas = values.number('ioas', 'ioas_id');
  const iova = values.wide('iova');
  const length = values.wide('size');
  const va = values.wide('addr', 'vaddr');
  const readonly = values.number('readonly');
  if (fd === null || ioas === null || iova === null || length === null || va === null) return false;
  const missing = readonly === null ? ['memory', 'arg.flags'] : MEMORY_MISSING;
  const range = [hex(iova), hex(length), hex(va)] as const;
  mapCall(session, fd, ioas, range, readonly === 1, resultOf(values.signed('ret')), missing);
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
    unmapCall(session, fd, ioas, [hex(iova), hex(length)], result);
    return true;
  };
