import { offsetsOf, unionOffsetsOf, VFIO_DMA_UNMAP_FLAGS, VFIO_IOMMU_UNMAP_DMA } from '../../uapi/index.ts';
import { addWide, isTop, subWide, TOP_OFFSET, TOP_PAGE, wide } from '../address.ts';
import { type AreaTable, firstAreaIn, NONE, nextArea } from '../area-table.ts';
import type { Answer, Kernel } from '../kernel.ts';
import { type Refusal, reason } from '../reason.ts';
import { copyStructIn, fieldOffset, fieldPage, setU64, u32 } from '../user-call.ts';
import { canRespond } from '../user-copy.ts';
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
import { noWord, refuseBitmap, type UserBitmap, writeDirtyBits } from './dirty-bitmap.ts';
import { TYPE1_BITMAP_PAGE, TYPE1_NOT_TRACKING } from './dirty-pages.ts';
import {
  endsAtTop,
  isAddressInvalid,
  isBisected,
  isPageAligned,
  mappedPages,
  mappingsOf,
  removeMapping,
  setAddressInvalid,
} from './mappings.ts';
import type { Type1Container, Type1Iommu } from './state.ts';

/** VFIO_IOMMU_UNMAP_DMA: vfio_iommu_type1.c vfio_iommu_type1_unmap_dma, vfio_dma_do_unmap. */

const UNMAP = offsetsOf(VFIO_IOMMU_UNMAP_DMA);
const { GET_DIRTY_BITMAP, ALL, VADDR } = VFIO_DMA_UNMAP_FLAGS;
const BITMAP = unionOffsetsOf(VFIO_IOMMU_UNMAP_DMA, GET_DIRTY_BITMAP);
const HEAD_BYTES = VFIO_IOMMU_UNMAP_DMA.sizeBytes;
/** `struct vfio_bitmap`. */
const BITMAP_BYTES = 24;

const BITMAP_WITH_OTHER = reason(
  'type1-unmap-bitmap-with-other',
  'EINVAL',
  'vfio_iommu_type1.c vfio_iommu_type1_unmap_dma',
  'GET_DIRTY_BITMAP goes neither with ALL nor with VADDR',
);
const ALL_WITH_RANGE = reason(
  'type1-unmap-all-with-range',
  'EINVAL',
  'vfio_iommu_type1.c vfio_dma_do_unmap',
  'ALL takes neither IOVA nor size',
);
const ALREADY_INVALID = reason(
  'type1-vaddr-already-invalid',
  'EINVAL',
  'vfio_iommu_type1.c vfio_dma_do_unmap',
  'VADDR: the user address of a mapping in the range is invalidated already; all of the range are valid again then',
);

/** The range asked for: pages first..last, and how many were unmapped. */
interface Request {
  firstPage: number;
  lastPage: number;
  flags: number;
  bitmap: UserBitmap | null;
  unmappedPages: number;
}

const request: Request = { firstPage: 0, lastPage: 0, flags: 0, bitmap: null, unmappedPages: 0 };
const last = wide();

export function unmapDma(kernel: Kernel, container: Type1Container, iommu: Type1Iommu): Answer {
  const { call } = kernel;
  if (!copyVfioStruct(kernel, HEAD_BYTES)) return TYPE1_STRUCT_FAULT;
  const flags = u32(call, UNMAP.flags);
  if (call.userSize < HEAD_BYTES || (flags & ~(GET_DIRTY_BITMAP | ALL | VADDR)) !== 0)
    return TYPE1_ARGSZ_OR_FLAGS;
  request.flags = flags;
  request.bitmap = null;
  request.unmappedPages = 0;
  const refusal =
    ((flags & GET_DIRTY_BITMAP) !== 0 ? takeBitmap(kernel, flags) : null) ?? refuseRange(kernel, iommu);
  if (refusal !== null) return refusal;
  const answer = unmapRequest(kernel, container, iommu);
  if (answer !== null) return answer;
  if (!canRespond(kernel)) return TYPE1_STRUCT_FAULT;
  setU64(call, UNMAP.size, request.unmappedPages, 0);
  call.respondFrom = 0;
  call.respondEnd = HEAD_BYTES;
  return null;
}

/** The bitmap that follows the struct. */
function takeBitmap(kernel: Kernel, flags: number): Refusal {
  const { call } = kernel;
  if ((flags & (ALL | VADDR)) !== 0) return BITMAP_WITH_OTHER;
  if (call.userSize < HEAD_BYTES + BITMAP_BYTES) return TYPE1_ARGSZ_OR_FLAGS;
  if (call.arg.length < HEAD_BYTES + BITMAP_BYTES) return TYPE1_STRUCT_FAULT;
  copyStructIn(call, HEAD_BYTES + BITMAP_BYTES);
  request.bitmap = {
    pageBytes: call.view.getBigUint64(BITMAP.pgsize, true),
    bytes: call.view.getBigUint64(BITMAP.size, true),
    address: call.view.getBigUint64(BITMAP.data, true),
  };
  return refuseBitmap(call.view.getBigUint64(UNMAP.size, true), request.bitmap);
}

/** Checks of `vfio_dma_do_unmap` before it looks at mappings, and those of what they may be like. */
function refuseRange(kernel: Kernel, iommu: Type1Iommu): Refusal {
  const { call } = kernel;
  const iovaPage = fieldPage(call, UNMAP.iova);
  const iovaOffset = fieldOffset(call, UNMAP.iova);
  const sizePage = fieldPage(call, UNMAP.size);
  const sizeOffset = fieldOffset(call, UNMAP.size);
  if (!isPageAligned(iommu, iovaPage, iovaOffset)) return TYPE1_MISALIGNED;
  request.firstPage = iovaPage;
  if ((request.flags & ALL) !== 0) {
    request.lastPage = TOP_PAGE;
    return iovaPage + sizePage + sizeOffset === 0 ? null : ALL_WITH_RANGE;
  }
  if (sizePage + sizeOffset === 0) return TYPE1_SIZE_ZERO;
  if (!isPageAligned(iommu, sizePage, sizeOffset)) return TYPE1_MISALIGNED;
  subWide(last, sizePage, sizeOffset, 0, 1);
  if (addWide(last, iovaPage, iovaOffset, last.page, last.offset))
    return kernel.profile.has.type1ChecksOverflow ? TYPE1_OVERFLOW : TYPE1_WRAPS;
  request.lastPage = last.page;
  if (request.bitmap !== null) {
    if (!iommu.tracking) return TYPE1_NOT_TRACKING;
    if (request.bitmap.pageBytes !== BigInt(iommu.pageBytes)) return TYPE1_BITMAP_PAGE;
  }
  const isSplitting = iommu.v2 && isBisected(kernel, iommu, iovaPage, 0, last.page, last.offset);
  return isSplitting ? TYPE1_BISECTS : null;
}

/** `vfio_find_dma_first_node`, then all mappings that begin in the range, lowest first. */
function unmapRequest(kernel: Kernel, container: Type1Container, iommu: Type1Iommu): Answer {
  const { areas } = mappingsOf(kernel, iommu);
  const { firstPage, lastPage, flags, bitmap } = request;
  let slot = firstAreaIn(areas, firstPage, 0, lastPage, TOP_OFFSET);
  if (slot === NONE) return null;
  if (!kernel.profile.has.type1ChecksOverflow) {
    // The end of a range up to 2^64 is 0, so that nothing lies below it, unless ALL is meant. A mapping up to
    // there seems to end below every address: it hides from the search what is in the branch of the tree
    // below it, and which branches there are depends on the order of earlier calls.
    if (isTop(lastPage, TOP_OFFSET) && (flags & ALL) === 0) return null;
    if (endsAtTop(areas, slot)) return null;
    if (firstAreaIn(areas, TOP_PAGE, TOP_OFFSET, TOP_PAGE, TOP_OFFSET) !== NONE) return 'not-modelled';
  }
  // Version 1 takes only whole mappings from their first address on: a later one is a success of size 0.
  if (!iommu.v2 && areas.startPage[slot]! < firstPage) return null;
  if ((flags & VADDR) !== 0) return invalidateAddresses(iommu, areas, slot, lastPage);
  const written = bitmap === null ? null : noWord();
  while (slot !== NONE && areas.startPage[slot]! <= lastPage) {
    if (bitmap !== null && written !== null) {
      const refusal = writeDirtyBits(kernel, iommu, slot, firstPage, bitmap.address, written);
      if (refusal !== null) return refusal;
    }
    const next = nextArea(areas, slot);
    request.unmappedPages += mappedPages(areas, slot);
    removeMapping(kernel, container, iommu, slot);
    slot = next;
  }
  return null;
}

/** VADDR: the mappings stay, without a user address. One without it already undoes this for all before it. */
function invalidateAddresses(iommu: Type1Iommu, areas: AreaTable, first: number, lastPage: number): Refusal {
  for (let slot = first; slot !== NONE && areas.startPage[slot]! <= lastPage; slot = nextArea(areas, slot)) {
    if (isAddressInvalid(areas, slot)) {
      for (let undone = first; undone !== slot; undone = nextArea(areas, undone))
        setAddressInvalid(iommu, areas, undone, false);
      return ALREADY_INVALID;
    }
    setAddressInvalid(iommu, areas, slot, true);
    request.unmappedPages += mappedPages(areas, slot);
  }
  return null;
}
