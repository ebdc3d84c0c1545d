import type { Kernel } from '../../src/model/index.ts';
import type { IoctlCall } from '../../src/trace/index.ts';
import { CMD, IOMMU_HWPT_GET_DIRTY_BITMAP, offsetsOf } from '../../src/uapi/index.ts';

/**
 * A GET_DIRTY_BITMAP that clears the bits it reads: entries that are cached would set no new ones, so the
 * kernel flushes what it cleared (`iommu_read_and_clear_dirty`, `iommu_dirty_bitmap_record`).
 */
export interface DirtySync {
  readonly op: 'dirty';
  readonly domain: number;
  /** Pages of 4096 bytes from the first that was dirty to the last, inclusive; null when none was. */
  readonly range: readonly [first: number, last: number] | null;
  /** The trace holds the bitmap. Without, the range is the one that was asked for. */
  readonly isKnown: boolean;
}

const FIELDS = offsetsOf(IOMMU_HWPT_GET_DIRTY_BITMAP);
const NO_CLEAR = 1;

/** Null for another call, one that was refused, and one that clears nothing. */
export function dirtySyncOf(
  kernel: Kernel,
  call: IoctlCall,
  isOurs: (iommu: string) => boolean,
): DirtySync | null {
  if (call.cmd !== CMD.IOMMU_HWPT_GET_DIRTY_BITMAP || call.arg === null) return null;
  if (!kernel.reply.modelled || kernel.reply.errno !== 0) return null;
  const struct = new DataView(call.arg.buffer, call.arg.byteOffset, call.arg.length);
  if (struct.byteLength < IOMMU_HWPT_GET_DIRTY_BITMAP.sizeBytes) return null;
  if ((struct.getUint32(FIELDS.flags, true) & NO_CLEAR) !== 0) return null;
  const process = kernel.state.processes[call.pid];
  const file = kernel.state.files[process?.descriptors[call.fd] ?? 0];
  const hwpt = kernel.state.contexts[file?.context ?? 0]?.objects[struct.getUint32(FIELDS.hwpt_id, true)];
  if (hwpt?.type !== 'hwpt-paging' || !isOurs(hwpt.domain.iommu)) return null;
  const domain = hwpt.domain.key;
  const iova = struct.getBigUint64(FIELDS.iova, true);
  const length = struct.getBigUint64(FIELDS.length, true);
  const pageBytes = struct.getBigUint64(FIELDS.page_size, true);
  const address = struct.getBigUint64(FIELDS.data, true);
  const buffer = call.mem.find(({ addr }) => addr === address);
  const span = (first: bigint, last: bigint): readonly [number, number] => [
    Number(first >> 12n),
    Number(last >> 12n),
  ];
  const after = buffer?.after ?? null;
  if (!(after instanceof Uint8Array) || buffer?.cut === true)
    return { op: 'dirty', domain, range: span(iova, iova + length - 1n), isKnown: false };
  const before = buffer?.before instanceof Uint8Array ? buffer.before : null;
  const bits = setBits(after, before);
  if (bits === null) return { op: 'dirty', domain, range: null, isKnown: true };
  const [first, last] = bits;
  const start = iova + BigInt(first) * pageBytes;
  const end = iova + BigInt(last + 1) * pageBytes - 1n;
  return { op: 'dirty', domain, range: span(start, end), isKnown: true };
}

/** First and last bit that the kernel set, null for none: those that were set before tell nothing. */
function setBits(after: Uint8Array, before: Uint8Array | null): [number, number] | null {
  let first = -1;
  let last = -1;
  after.forEach((byte, at) => {
    const fresh = byte & ~(before?.[at] ?? 0);
    for (let bit = 0; fresh >> bit !== 0; bit += 1) {
      if (((fresh >> bit) & 1) === 0) continue;
      last = at * 8 + bit;
      if (first < 0) first = last;
    }
  });
  return first < 0 ? null : [first, last];
}
