import { refuseLocked } from './access-pins.ts';
import { NOBODY, releasePages } from './accounting.ts';
import { fillArea, startFilling, unchargeArea, undoFilling } from './accounting-ranges.ts';
import { addWide, isAligned, isTop, subWide, type Wide, wide } from './address.ts';
import {
  type AreaTable,
  allocateSlot,
  firstArea,
  firstAreaIn,
  freeSlot,
  linkArea,
  NONE,
  PROT_WRITE,
  someArea,
  unlinkArea,
} from './area-table.ts';
import { dropDirtyBits } from './dirty-bits.ts';
import { lastIndex } from './held-ranges.ts';
import { allocateIova } from './iova-alloc.ts';
import { hitsRange, type IovaSpace } from './iova-space.ts';
import type { Kernel } from './kernel.ts';
import { refusePin, refuseProtection } from './pinning.ts';
import { type Refusal, reason } from './reason.ts';
import type { Context, Ioas, PagingDomain } from './state.ts';

/** Putting areas into an IOAS and taking them out: io_pagetable.c of iommufd. */

const LENGTH_MISALIGNED = reason(
  'length-misaligned',
  'EINVAL',
  'io_pagetable.c iopt_alloc_area_pages',
  'the length is zero or no multiple of the IOVA alignment of this IOAS',
);
const IOVA_MISALIGNED = reason(
  'iova-misaligned',
  'EINVAL',
  'io_pagetable.c iopt_check_iova',
  'the IOVA is no multiple of the IOVA alignment of this IOAS',
);
const IOVA_WRAPS = reason(
  'iova-wraps',
  'EOVERFLOW',
  'io_pagetable.c iopt_check_iova',
  'IOVA + length wraps past 2^64',
);
const IOVA_RESERVED = reason(
  'iova-in-reserved-range',
  'EINVAL',
  'io_pagetable.c iopt_check_iova',
  'the range touches a reserved range: outside the aperture, an MSI window, or reserved by the selftest',
);
const IOVA_TAKEN = reason(
  'iova-already-mapped',
  'EEXIST',
  'io_pagetable.c iopt_check_iova',
  'the range touches an area that is mapped already',
);
const READ_ONLY_PAGES = reason(
  'pages-mapped-read-only',
  'EPERM',
  'io_pagetable.c iopt_insert_area',
  'a writable copy of pages that were mapped without WRITEABLE',
);
const USER_OFFSET_MISALIGNED = reason(
  'user-offset-misaligned',
  'EINVAL',
  'io_pagetable.c iopt_insert_area',
  'the user address is less aligned than this IOAS requires',
);
const AREA_STICKS_OUT = reason(
  'area-not-contained',
  'ENOENT',
  'io_pagetable.c iopt_unmap_iova_range',
  'an area reaches out of the range: unmapping never splits an area',
);

const last = wide();

/** Where the pages of a new mapping begin: the address that the automatic IOVA is aligned like. */
export interface UserStart {
  page: number;
  offset: number;
}

/**
 * Steps of `iopt_alloc_area_pages` before any area is made: the length, then the choice or the check of the
 * IOVA. With `fixed`, `iova` is read, else it is written.
 */
export function placeRange(
  kernel: Kernel,
  ioas: Ioas,
  space: IovaSpace,
  start: UserStart,
  lengthPage: number,
  lengthOffset: number,
  iova: Wide,
  fixed: boolean,
): Refusal {
  if (!isAligned(lengthPage, lengthOffset, ioas.alignment) || (lengthPage === 0 && lengthOffset === 0))
    return LENGTH_MISALIGNED;
  if (!fixed) {
    return allocateIova(
      iova,
      space,
      kernel.profile,
      ioas.alignment,
      start.page,
      start.offset,
      lengthPage,
      lengthOffset,
    );
  }
  if (!isAligned(iova.page, iova.offset, ioas.alignment)) return IOVA_MISALIGNED;
  subWide(last, lengthPage, lengthOffset, 0, 1);
  if (addWide(last, iova.page, iova.offset, last.page, last.offset)) return IOVA_WRAPS;
  if (hitsRange(space.reserved, iova.page, iova.offset, last.page, last.offset)) return IOVA_RESERVED;
  if (firstAreaIn(space.areas, iova.page, iova.offset, last.page, last.offset) !== NONE) return IOVA_TAKEN;
  return null;
}

/**
 * What `iopt_insert_area` refuses about one slice: the permission, then the alignment of where its memory
 * begins: page and offset of the user address, or in the file.
 */
export function refuseSlice(
  ioas: Ioas,
  prot: number,
  writable: boolean,
  page: number,
  pageOffset: number,
): Refusal {
  if ((prot & PROT_WRITE) !== 0 && !writable) return READ_ONLY_PAGES;
  return isAligned(page, pageOffset, ioas.alignment) ? null : USER_OFFSET_MISALIGNED;
}

/** Makes the area of one slice; it takes over one reference to `pages`. All checks are done. */
export function insertArea(
  areas: AreaTable,
  iova: Wide,
  lengthPage: number,
  lengthOffset: number,
  pages: number,
  firstIndex: number,
  pageOffset: number,
  prot: number,
): number {
  const slot = allocateSlot(areas);
  subWide(last, lengthPage, lengthOffset, 0, 1);
  addWide(last, iova.page, iova.offset, last.page, last.offset);
  areas.startPage[slot] = iova.page;
  areas.startOffset[slot] = iova.offset;
  areas.lastPage[slot] = last.page;
  areas.lastOffset[slot] = last.offset;
  areas.pages[slot] = pages;
  areas.firstIndex[slot] = firstIndex;
  areas.pageOffset[slot] = pageOffset;
  areas.prot[slot] = prot;
  linkArea(areas, slot);
  return slot;
}

/** Removes one area and drops its pages: `iopt_area_unfill_domains`, `iopt_abort_area`, `iopt_put_pages`. */
export function dropArea(kernel: Kernel, context: Context, ioas: Ioas, space: IovaSpace, slot: number): void {
  const { areas } = space;
  kernel.effects.rangeUnmapped(context.id, ioas.id, space, slot);
  if (kernel.dirty.size > 0) dropDirtyBits(kernel, context, ioas, space, slot);
  const pages = areas.pages[slot]!;
  const isCharged = kernel.pages.payer[pages] !== NOBODY && ioas.domains.length > 0;
  const first = areas.firstIndex[slot]!;
  const last = isCharged ? lastIndex(space, slot) : first;
  unlinkArea(areas, slot);
  freeSlot(areas, slot);
  if (isCharged) unchargeArea(kernel, pages, first, last);
  releasePages(kernel, pages);
}

/** Takes pins off an area before it is unmapped: the notification that access objects get. */
export type Unpin = (kernel: Kernel, context: Context, ioas: Ioas, space: IovaSpace, slot: number) => void;

/**
 * `iopt_unmap_iova_range`: removes every area in [first, last], lowest first, and adds up their bytes in
 * `unmapped`. An area that sticks out ends it; what went before stays removed.
 */
export function unmapRange(
  kernel: Kernel,
  context: Context,
  ioas: Ioas,
  space: IovaSpace,
  firstPage: number,
  firstOffset: number,
  lastPage: number,
  lastOffset: number,
  unmapped: Wide,
  unpin: Unpin,
): Refusal {
  const { areas } = space;
  unmapped.page = 0;
  unmapped.offset = 0;
  for (;;) {
    const slot = firstAreaIn(areas, firstPage, firstOffset, lastPage, lastOffset);
    if (slot === NONE) return null;
    if (areas.accesses[slot]! > 0) {
      const locked = refuseLocked(context, ioas, space, slot);
      if (locked !== null) return locked;
    }
    const startPage = areas.startPage[slot]!;
    const startOffset = areas.startOffset[slot]!;
    const endPage = areas.lastPage[slot]!;
    const endOffset = areas.lastOffset[slot]!;
    if (startPage < firstPage || (startPage === firstPage && startOffset < firstOffset))
      return AREA_STICKS_OUT;
    if (endPage > lastPage || (endPage === lastPage && endOffset > lastOffset)) return AREA_STICKS_OUT;
    if (areas.accesses[slot]! > 0) unpin(kernel, context, ioas, space, slot);
    dropArea(kernel, context, ioas, space, slot);
    subWide(last, endPage, endOffset, startPage, startOffset);
    addWide(last, last.page, last.offset, 0, 1);
    addWide(unmapped, unmapped.page, unmapped.offset, last.page, last.offset);
    if (isTop(endPage, endOffset)) return null;
  }
}

/** Removes every area, as when the IOAS is destroyed. */
export function dropAllAreas(kernel: Kernel, context: Context, ioas: Ioas, space: IovaSpace): void {
  for (let slot = firstArea(space.areas); slot !== NONE; slot = firstArea(space.areas)) {
    dropArea(kernel, context, ioas, space, slot);
  }
}

/** `iopt_fill_domain`: every area must be pinned by the first domain, and each page table must take it. */
export function refuseFill(kernel: Kernel, ioas: Ioas, space: IovaSpace, domain: PagingDomain): Refusal {
  // A further domain takes the pages from the first one.
  const pins = ioas.domains.length === 0;
  if (!pins && domain.needsProt === 0) return null;
  const filling = pins && kernel.pages.payerCount > 0 ? startFilling(kernel) : null;
  let refusal: Refusal = null;
  someArea(space.areas, (slot) => {
    const pages = space.areas.pages[slot]!;
    const first = space.areas.firstIndex[slot]!;
    const last = lastIndex(space, slot);
    refusal =
      (pins ? refusePin(kernel, pages, first, last) : null) ??
      refuseProtection(domain, space.areas.prot[slot]!) ??
      (filling === null ? null : fillArea(kernel, filling, pages, first, last));
    return refusal !== null;
  });
  // It was a trial: the domain is added when nothing else refuses it.
  if (filling !== null) undoFilling(kernel, filling);
  return refusal;
}

/** `iopt_check_iova_alignment`: whether every area fits a larger alignment. */
export function areAreasAligned({ pages }: Kernel, space: IovaSpace, alignment: number): boolean {
  const { areas } = space;
  const end = wide();
  return !someArea(areas, (slot) => {
    addWide(end, areas.lastPage[slot]!, areas.lastOffset[slot]!, 0, 1);
    const memoryPage = pages.basePage[areas.pages[slot]!]! + areas.firstIndex[slot]!;
    return !(
      isAligned(areas.startPage[slot]!, areas.startOffset[slot]!, alignment) &&
      isAligned(end.page, end.offset, alignment) &&
      isAligned(memoryPage, areas.pageOffset[slot]!, alignment)
    );
  });
}
