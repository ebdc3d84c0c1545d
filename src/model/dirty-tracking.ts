import { hwptPagingLifecycle } from '../../machines/index.ts';
import {
  IOMMU_HWPT_DIRTY_TRACKING_FLAGS,
  IOMMU_HWPT_GET_DIRTY_BITMAP,
  IOMMU_HWPT_GET_DIRTY_FLAGS,
  IOMMU_HWPT_SET_DIRTY_TRACKING,
  offsetsOf,
} from '../uapi/index.ts';
import {
  addWide,
  compareWide,
  isAligned,
  offsetOf,
  pageOf,
  subWide,
  TOP_PAGE,
  toBigInt,
  toNumber,
  type Wide,
  wide,
} from './address.ts';
import { firstAreaIn, NONE } from './area-table.ts';
import { HWPT_NOT_FOUND, RESERVED_SET, UNKNOWN_FLAGS } from './check.ts';
import { dirtyBits, entryKind, entrySteps, mockPageBytes, testDirty } from './dirty-bits.ts';
import { type Kernel, spaceOf } from './kernel.ts';
import { getObject, moved, mustGet } from './objects.ts';
import { type Refusal, reason } from './reason.ts';
import type { Context, HwptPaging } from './state.ts';
import { fieldOffset, fieldPage, u32 } from './user-call.ts';
import { copyFromUser, copyToUser } from './user-copy.ts';

/**
 * IOMMU_HWPT_SET_DIRTY_TRACKING and _GET_DIRTY_BITMAP: hw_pagetable.c, io_pagetable.c and iova_bitmap.c of
 * iommufd.
 */

const SET = offsetsOf(IOMMU_HWPT_SET_DIRTY_TRACKING);
const GET = offsetsOf(IOMMU_HWPT_GET_DIRTY_BITMAP);

const NO_DIRTY_OPS = reason(
  'hwpt-without-dirty-tracking',
  'EOPNOTSUPP',
  'io_pagetable.c iopt_set_dirty_tracking, iommu_read_and_clear_dirty',
  'the hardware page table was not allocated with DIRTY_TRACKING',
);
const BITMAP_EMPTY = reason(
  'dirty-range-empty',
  'EINVAL',
  'io_pagetable.c iommufd_check_iova_range',
  'the length is zero; since 6.12.117',
);
const BITMAP_WRAPS = reason(
  'dirty-range-wraps',
  'EOVERFLOW',
  'io_pagetable.c iommufd_check_iova_range',
  'IOVA + length wraps past 2^64',
);
const BITMAP_MISALIGNED = reason(
  'dirty-range-misaligned',
  'EINVAL',
  'io_pagetable.c iommufd_check_iova_range',
  'the range does not begin and end at multiples of the IOVA alignment and of the page size asked for',
);

export function setDirtyTracking(kernel: Kernel, context: Context): Refusal {
  const { call } = kernel;
  const flags = u32(call, SET.flags);
  const { ENABLE } = IOMMU_HWPT_DIRTY_TRACKING_FLAGS;
  if ((flags & ~ENABLE) !== 0) return UNKNOWN_FLAGS;
  const hwpt = getObject(context, u32(call, SET.hwpt_id), 'hwpt-paging');
  if (hwpt === undefined) return HWPT_NOT_FOUND;
  if (!hwpt.domain.dirtyOps) return NO_DIRTY_OPS;
  const { event, guard } = hwptPagingLifecycle;
  hwpt.lifecycle = moved(
    hwptPagingLifecycle.step(hwpt.lifecycle, event.SET_DIRTY, guard.dirtyTracking),
    'tracking',
  );
  // Enabling clears what is there, also when it is enabled already.
  if ((flags & ENABLE) !== 0) dirtyBits(kernel, hwpt).clear();
  hwpt.tracking = (flags & ENABLE) !== 0;
  return null;
}

const last = wide();

export function getDirtyBitmap(kernel: Kernel, context: Context): Refusal {
  const { call } = kernel;
  const flags = u32(call, GET.flags);
  const { NO_CLEAR } = IOMMU_HWPT_GET_DIRTY_FLAGS;
  if ((flags & ~NO_CLEAR) !== 0) return UNKNOWN_FLAGS;
  if (u32(call, GET.__reserved) !== 0) return RESERVED_SET;
  const hwpt = getObject(context, u32(call, GET.hwpt_id), 'hwpt-paging');
  if (hwpt === undefined) return HWPT_NOT_FOUND;
  const iova = wide(fieldPage(call, GET.iova), fieldOffset(call, GET.iova));
  const refusal = refuseRange(kernel, context, hwpt, iova);
  if (refusal !== null) return refusal;
  if (!hwpt.domain.dirtyOps) return NO_DIRTY_OPS;
  // Holes in the range and faults of the bitmap are not told: the answer is 0.
  if (hwpt.tracking) readDirty(kernel, context, hwpt, iova, (flags & NO_CLEAR) === 0);
  return null;
}

/** `iommufd_check_iova_range`; leaves the last address of the range in `last`. */
function refuseRange(kernel: Kernel, context: Context, hwpt: HwptPaging, iova: Wide): Refusal {
  const { call } = kernel;
  const lengthPage = fieldPage(call, GET.length);
  const lengthOffset = fieldOffset(call, GET.length);
  if (lengthPage === 0 && lengthOffset === 0 && kernel.profile.has.refusesEmptyBitmap) return BITMAP_EMPTY;
  subWide(last, lengthPage, lengthOffset, 0, 1);
  if (addWide(last, iova.page, iova.offset, last.page, last.offset)) return BITMAP_WRAPS;
  const { alignment } = mustGet(context, hwpt.ioas, 'ioas');
  const end = wide();
  addWide(end, last.page, last.offset, 0, 1);
  if (!isAligned(iova.page, iova.offset, alignment) || !isAligned(end.page, end.offset, alignment))
    return BITMAP_MISALIGNED;
  const pageSize = wide(fieldPage(call, GET.page_size), fieldOffset(call, GET.page_size));
  if (pageSize.page === 0 && pageSize.offset === 0) return BITMAP_MISALIGNED;
  return isMasked(iova, pageSize) || isMasked(end, pageSize) ? BITMAP_MISALIGNED : null;
}

/** Whether `value & (size - 1)` is not zero; the size need not be a power of two. */
function isMasked(value: Wide, size: Wide): boolean {
  const mask = wide();
  subWide(mask, size.page, size.offset, 0, 1);
  if ((value.offset & mask.offset) !== 0) return true;
  // Page numbers are below 2^52: compare them in two halves of 26 bits.
  const half = 2 ** 26;
  const high = Math.floor(value.page / half) & Math.floor(mask.page / half);
  return high !== 0 || ((value.page % half) & (mask.page % half)) !== 0;
}

/** `iopt_for_each_contig_area` with the mock's `read_and_clear_dirty`: up to the first hole of the range. */
function readDirty(kernel: Kernel, context: Context, hwpt: HwptPaging, iova: Wide, clear: boolean): void {
  if (hwpt.domain.driver !== 'mock') {
    leaveOpen(kernel);
    return;
  }
  const { areas } = spaceOf(kernel, mustGet(context, hwpt.ioas, 'ioas'));
  const bits = dirtyBits(kernel, hwpt);
  const step = mockPageBytes(kernel);
  const masks = new Map<number, number>();
  const at = wide(iova.page, iova.offset);
  for (;;) {
    const slot = firstAreaIn(areas, at.page, at.offset, at.page, at.offset);
    if (slot === NONE) break;
    const ends = compareWide(areas.lastPage[slot]!, areas.lastOffset[slot]!, last.page, last.offset) < 0;
    const partPage = ends ? areas.lastPage[slot]! : last.page;
    const partOffset = ends ? areas.lastOffset[slot]! : last.offset;
    const end = (toNumber(partPage, partOffset) + 1) / step;
    if (bits.size > 0) {
      const from = toNumber(at.page, at.offset) / step;
      const record = (index: number, steps: number): void => recordDirty(kernel, index, steps, iova, masks);
      readPart(kernel, context, hwpt, from, end, clear, record);
    }
    if (!ends || partPage === TOP_PAGE) break;
    addWide(at, partPage, partOffset, 0, 1);
  }
  writeBitmap(kernel, masks);
}

/** Which pages a real device has written no record tells: the user's bitmap is not known then. */
function leaveOpen(kernel: Kernel): void {
  const { call } = kernel;
  const data = toBigInt(fieldPage(call, GET.data), fieldOffset(call, GET.data));
  for (const { addr, len } of call.buffers) {
    if (addr !== data) continue;
    const bytes = { length: len, bytes: new Uint8Array(len), known: new Uint8Array(len) };
    copyToUser(kernel, pageOf(addr), offsetOf(addr), bytes);
  }
}

/** Half pages from..end (exclusive) of one area. */
function readPart(
  kernel: Kernel,
  context: Context,
  hwpt: HwptPaging,
  from: number,
  end: number,
  clear: boolean,
  record: (index: number, steps: number) => void,
): void {
  const bits = dirtyBits(kernel, hwpt);
  if (hwpt.domain.pageSizes === mockPageBytes(kernel)) {
    // Every entry is a small one, so only the dirty ones need a look.
    for (const index of [...bits].filter((bit) => bit >= from && bit < end).sort((a, b) => a - b)) {
      if (clear) bits.delete(index);
      record(index, 1);
    }
    return;
  }
  for (let index = from; index < end; ) {
    const kind = entryKind(kernel, context, hwpt, index);
    if (kind !== 'none' && testDirty(bits, index, kind, clear)) record(index, entrySteps(kind));
    index += kind === 'none' ? 1 : entrySteps(kind);
  }
}

/** `iova_bitmap_set`: notes the bits of `steps` half pages, to be set in the user's bitmap. */
function recordDirty(
  kernel: Kernel,
  index: number,
  steps: number,
  iova: Wide,
  masks: Map<number, number>,
): void {
  const { call } = kernel;
  const shift = lowestBit(fieldPage(call, GET.page_size), fieldOffset(call, GET.page_size));
  const step = mockPageBytes(kernel);
  const base = toNumber(iova.page, iova.offset);
  const first = Math.floor((index * step - base) / shift);
  const lastBit = Math.floor((index * step + steps * step - 1 - base) / shift);
  for (let bit = first; bit <= lastBit; bit += 1) {
    const byte = Math.floor(bit / 8);
    masks.set(byte, (masks.get(byte) ?? 0) | (1 << (bit % 8)));
  }
}

/** Sets the noted bits, run of bytes by run; a byte that was not known stays unknown. */
function writeBitmap(kernel: Kernel, masks: ReadonlyMap<number, number>): void {
  const { call } = kernel;
  const bytes = [...masks.keys()].sort((a, b) => a - b);
  const at = wide();
  for (let from = 0; from < bytes.length; ) {
    let end = from + 1;
    while (end < bytes.length && bytes[end] === bytes[end - 1]! + 1) end += 1;
    const first = bytes[from]!;
    addWide(
      at,
      fieldPage(call, GET.data),
      fieldOffset(call, GET.data),
      Math.floor(first / 4096),
      first % 4096,
    );
    const held = copyFromUser(kernel, at.page, at.offset, end - from);
    if (held === null) return;
    const after = held.bytes.map((byte, offset) => byte | masks.get(first + offset)!);
    if (!copyToUser(kernel, at.page, at.offset, { ...held, bytes: after })) return;
    from = end;
  }
}

function lowestBit(page: number, offset: number): number {
  if (offset !== 0) return offset & -offset;
  let bit = 4096;
  for (let rest = page; rest % 2 === 0; rest /= 2) bit *= 2;
  return bit;
}
