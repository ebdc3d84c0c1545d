import {
  offsetsOf,
  unionOffsetsOf,
  VFIO_DIRTY_PAGES_FLAGS,
  VFIO_IOMMU_DIRTY_PAGES,
} from '../../uapi/index.ts';
import { addWide, subWide, wide } from '../address.ts';
import { NONE, nextArea, someArea } from '../area-table.ts';
import type { Kernel } from '../kernel.ts';
import { type Refusal, reason } from '../reason.ts';
import { copyStructIn, fieldOffset, fieldPage, u32 } from '../user-call.ts';
import { copyVfioStruct } from '../vfio-compat.ts';
import {
  TYPE1_ARGSZ_OR_FLAGS,
  TYPE1_BISECTS,
  TYPE1_MISALIGNED,
  TYPE1_OVERFLOW,
  TYPE1_SIZE_ZERO,
  TYPE1_STRUCT_FAULT,
  TYPE1_WRAPS,
} from './check.ts';
import {
  DIRTY_PAGES_MAX,
  firstBeginningIn,
  noWord,
  refuseBitmap,
  type UserBitmap,
  writeDirtyBits,
} from './dirty-bitmap.ts';
import { isBisected, isPageAligned, mappedPages, mappingsOf } from './mappings.ts';
import type { Type1Iommu } from './state.ts';

/** VFIO_IOMMU_DIRTY_PAGES: vfio_iommu_type1.c vfio_iommu_type1_dirty_pages. */

const DIRTY = offsetsOf(VFIO_IOMMU_DIRTY_PAGES);
const { START, STOP, GET_BITMAP } = VFIO_DIRTY_PAGES_FLAGS;
const GET = unionOffsetsOf(VFIO_IOMMU_DIRTY_PAGES, GET_BITMAP);
/** `struct vfio_iommu_type1_dirty_bitmap_get`. */
const GET_BYTES = 40;

const NOT_VERSION_2 = reason(
  'type1-dirty-not-version-2',
  'EACCES',
  'vfio_iommu_type1.c vfio_iommu_type1_dirty_pages',
  'the IOMMU was set as TYPE1: only TYPE1v2 tracks dirty pages',
);
const NOT_ONE_FLAG = reason(
  'type1-dirty-not-one-flag',
  'EINVAL',
  'vfio_iommu_type1.c vfio_iommu_type1_dirty_pages',
  'exactly one of START, STOP and GET_BITMAP can be asked for',
);
const TOO_LONG_TO_START = reason(
  'type1-dirty-mapping-too-long',
  'EINVAL',
  'vfio_iommu_type1.c vfio_dma_bitmap_alloc_all',
  'a mapping has more than 2^31-1 pages',
);
export const TYPE1_BITMAP_PAGE = reason(
  'type1-bitmap-page-size',
  'EINVAL',
  'vfio_iommu_type1.c vfio_iommu_type1_dirty_pages, vfio_dma_do_unmap',
  'the page size of the bitmap is not the smallest one that all domains have',
);
export const TYPE1_NOT_TRACKING = reason(
  'type1-not-tracking',
  'EINVAL',
  'vfio_iommu_type1.c vfio_iommu_type1_dirty_pages, vfio_dma_do_unmap',
  'dirty pages are not tracked',
);

export function dirtyPages(kernel: Kernel, iommu: Type1Iommu): Refusal {
  const { call } = kernel;
  if (!iommu.v2) return NOT_VERSION_2;
  const headBytes = VFIO_IOMMU_DIRTY_PAGES.minBytes;
  if (!copyVfioStruct(kernel, headBytes)) return TYPE1_STRUCT_FAULT;
  const flags = u32(call, DIRTY.flags);
  if (call.userSize < headBytes || (flags & ~(START | STOP | GET_BITMAP)) !== 0) return TYPE1_ARGSZ_OR_FLAGS;
  switch (flags) {
    case START:
      return startTracking(kernel, iommu);
    case STOP:
      iommu.tracking = false;
      for (const key of Object.keys(iommu.strayBits)) delete iommu.strayBits[key];
      return null;
    case GET_BITMAP:
      if (call.userSize < headBytes + GET_BYTES) return TYPE1_ARGSZ_OR_FLAGS;
      if (call.arg.length < headBytes + GET_BYTES) return TYPE1_STRUCT_FAULT;
      copyStructIn(call, headBytes + GET_BYTES);
      return getBitmap(kernel, iommu);
    default:
      return NOT_ONE_FLAG;
  }
}

function startTracking(kernel: Kernel, iommu: Type1Iommu): Refusal {
  if (iommu.tracking) return null;
  const { areas } = mappingsOf(kernel, iommu);
  const limitPages = DIRTY_PAGES_MAX * (iommu.pageBytes / 4096);
  if (someArea(areas, (slot) => mappedPages(areas, slot) > limitPages)) return TOO_LONG_TO_START;
  iommu.tracking = true;
  return null;
}

const last = wide();

function getBitmap(kernel: Kernel, iommu: Type1Iommu): Refusal {
  const { call, profile } = kernel;
  const { type1ChecksOverflow: checksOverflow } = profile.has;
  const iovaPage = fieldPage(call, GET.iova);
  const iovaOffset = fieldOffset(call, GET.iova);
  const sizePage = fieldPage(call, GET.size);
  const sizeOffset = fieldOffset(call, GET.size);
  const bitmap: UserBitmap = {
    pageBytes: call.view.getBigUint64(GET.pgsize, true),
    bytes: call.view.getBigUint64(GET.bitmap_size, true),
    address: call.view.getBigUint64(GET.data, true),
  };
  if (checksOverflow && sizePage + sizeOffset === 0) return TYPE1_SIZE_ZERO;
  // Before Linux 6.18 the end behind the last byte may not be 2^64 either.
  subWide(last, sizePage, sizeOffset, 0, checksOverflow ? 1 : 0);
  if (addWide(last, iovaPage, iovaOffset, last.page, last.offset))
    return checksOverflow ? TYPE1_OVERFLOW : TYPE1_WRAPS;
  const refusal = refuseBitmap(call.view.getBigUint64(GET.size, true), bitmap);
  if (refusal !== null) return refusal;
  if (bitmap.pageBytes !== BigInt(iommu.pageBytes)) return TYPE1_BITMAP_PAGE;
  if (!isPageAligned(iommu, iovaPage, iovaOffset) || !isPageAligned(iommu, sizePage, sizeOffset))
    return TYPE1_MISALIGNED;
  if (!iommu.tracking) return TYPE1_NOT_TRACKING;
  const lastPage = iovaPage + sizePage - 1;
  if (isBisected(kernel, iommu, iovaPage, 0, lastPage, 4095)) return TYPE1_BISECTS;
  return copyDirtyBits(kernel, iommu, iovaPage, lastPage, bitmap.address);
}

/** `vfio_iova_dirty_bitmap` after its checks. Mappings before the range are passed over. */
function copyDirtyBits(
  kernel: Kernel,
  iommu: Type1Iommu,
  firstPage: number,
  lastPage: number,
  address: bigint,
): Refusal {
  const { areas } = mappingsOf(kernel, iommu);
  const written = noWord();
  let slot = firstBeginningIn(areas, firstPage, lastPage);
  while (slot !== NONE && areas.startPage[slot]! <= lastPage) {
    const refusal = writeDirtyBits(kernel, iommu, slot, firstPage, address, written);
    if (refusal !== null) return refusal;
    slot = nextArea(areas, slot);
  }
  return null;
}
