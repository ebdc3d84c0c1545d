import {
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_COPY_FLAGS,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FLAGS,
  IOMMU_IOAS_UNMAP,
  offsetsOf,
} from '../uapi/index.ts';
import { addWide, compareWide, isTop, subWide, TOP_OFFSET, TOP_PAGE, wide, type Wide } from './address.ts';
import { firstArea, firstAreaIn, NONE, nextArea, PROT_READ, PROT_WRITE } from './area-table.ts';
import { IOAS_NOT_FOUND, RESERVED_SET, UNKNOWN_FLAGS } from './check.ts';
import { unpinArea } from './access.ts';
import type { IovaSpace } from './iova-space.ts';
import { type Kernel, spaceOf } from './kernel.ts';
import { dropArea, insertArea, placeRange, refuseSlice, unmapRange } from './mapping.ts';
import { getObject } from './objects.ts';
import { allocatePages, putPages } from './pages-table.ts';
import { lastIndex, refusePin } from './pinning.ts';
import { type Refusal, reason } from './reason.ts';
import type { Context, Ioas } from './state.ts';
import { fieldOffset, fieldPage, respond, setU64, u32 } from './user-call.ts';

/** IOMMU_IOAS_MAP, _UNMAP and _COPY: ioas.c and io_pagetable.c of iommufd. MAP and UNMAP allocate nothing. */

const MAP = offsetsOf(IOMMU_IOAS_MAP);
const UNMAP = offsetsOf(IOMMU_IOAS_UNMAP);
const COPY = offsetsOf(IOMMU_IOAS_COPY);
const { FIXED_IOVA, WRITEABLE, READABLE } = IOMMU_IOAS_MAP_FLAGS;
const { SYZ } = IOMMU_IOAS_COPY_FLAGS;
const MAP_FLAGS = FIXED_IOVA | WRITEABLE | READABLE;

const ADDRESS_TOO_HIGH = reason(
  'address-or-length-too-high',
  'EOVERFLOW',
  'ioas.c iommufd_ioas_map, _copy, _unmap',
  'an IOVA or length is 2^64-1; the IOVA counts even when the kernel chooses it',
);
const NO_PERMISSION_ASKED = reason(
  'no-permission-asked',
  'EINVAL',
  'ioas.c iommufd_ioas_map, _copy',
  'neither READABLE nor WRITEABLE is set',
);
const LENGTH_ZERO = reason(
  'length-zero',
  'EINVAL',
  'pages.c iopt_alloc_pages; io_pagetable.c iopt_get_pages, iopt_unmap_iova',
  'the length is zero',
);
const LENGTH_TOO_LONG = reason(
  'length-too-long',
  'EINVAL',
  'pages.c iopt_alloc_pages',
  'the length is within a page of 2^64',
);
const USER_ADDRESS_WRAPS = reason(
  'user-address-wraps',
  'EOVERFLOW',
  'pages.c iopt_alloc_pages',
  'user address + length wraps past 2^64',
);
const RANGE_WRAPS = reason(
  'iova-range-wraps',
  'EOVERFLOW',
  'io_pagetable.c iopt_get_pages, iopt_unmap_iova',
  'IOVA + length wraps past 2^64',
);
const SOURCE_NOT_MAPPED = reason(
  'copy-source-not-mapped',
  'ENOENT',
  'io_pagetable.c iopt_get_pages',
  'the source range is not covered by areas without a gap',
);
const NOTHING_MAPPED = reason(
  'nothing-mapped',
  'ENOENT',
  'ioas.c iommufd_ioas_unmap',
  'no area lies in the range',
);

const iova = wide();
const last = wide();
const start = wide();
const length = wide();

/** Map flags to IOMMU_READ 1 and IOMMU_WRITE 2. */
function protOf(flags: number): number {
  return ((flags & READABLE) !== 0 ? PROT_READ : 0) | ((flags & WRITEABLE) !== 0 ? PROT_WRITE : 0);
}

export function ioasMap(kernel: Kernel, context: Context): Refusal {
  const { call } = kernel;
  const flags = u32(call, MAP.flags);
  if ((flags & ~MAP_FLAGS) !== 0) return UNKNOWN_FLAGS;
  if (u32(call, MAP.__reserved) !== 0) return RESERVED_SET;
  const lengthPage = fieldPage(call, MAP.length);
  const lengthOffset = fieldOffset(call, MAP.length);
  iova.page = fieldPage(call, MAP.iova);
  iova.offset = fieldOffset(call, MAP.iova);
  if (isTop(iova.page, iova.offset) || isTop(lengthPage, lengthOffset)) return ADDRESS_TOO_HIGH;
  if ((flags & (WRITEABLE | READABLE)) === 0) return NO_PERMISSION_ASKED;
  const ioas = getObject(context, u32(call, MAP.ioas_id), 'ioas');
  if (ioas === undefined) return IOAS_NOT_FOUND;
  start.page = fieldPage(call, MAP.user_va);
  start.offset = fieldOffset(call, MAP.user_va);
  const fixed = (flags & FIXED_IOVA) !== 0;
  const refusal = mapUser(kernel, context, ioas, start, lengthPage, lengthOffset, iova, protOf(flags), fixed);
  if (refusal !== null) return refusal;
  setU64(call, MAP.iova, iova.page, iova.offset);
  respond(call, IOMMU_IOAS_MAP.sizeBytes);
  return null;
}

/** `iopt_map_user_pages`: user memory of the caller from `from` on. `at` is read when `fixed`, else written. */
export function mapUser(
  kernel: Kernel,
  context: Context,
  ioas: Ioas,
  from: Wide,
  lengthPage: number,
  lengthOffset: number,
  at: Wide,
  prot: number,
  fixed: boolean,
): Refusal {
  if (lengthPage === 0 && lengthOffset === 0) return LENGTH_ZERO;
  const pageUnits = kernel.profile.pageBytes / 4096;
  if (compareWide(lengthPage, lengthOffset, TOP_PAGE - pageUnits, TOP_OFFSET) > 0) return LENGTH_TOO_LONG;
  if (addWide(last, from.page, from.offset, lengthPage, lengthOffset)) return USER_ADDRESS_WRAPS;
  const space = spaceOf(kernel, ioas);
  const refusal =
    placeRange(kernel, ioas, space, from, lengthPage, lengthOffset, at, fixed) ??
    refuseSlice(ioas, prot, true, from.offset);
  if (refusal !== null) return refusal;
  const pageCount = lengthPage + Math.ceil((lengthOffset + from.offset) / 4096);
  const writable = (prot & PROT_WRITE) !== 0;
  const pages = allocatePages(kernel.pages, kernel.call.mm, from.page, pageCount, writable);
  if (ioas.domains.length > 0) {
    const unpinnable = refusePin(kernel, pages, 0, pageCount - 1);
    if (unpinnable !== null) {
      putPages(kernel.pages, pages);
      return unpinnable;
    }
  }
  const slot = insertArea(space.areas, at, lengthPage, lengthOffset, pages, 0, from.offset, prot);
  kernel.effects.rangeMapped(context.id, ioas.id, space, slot);
  return null;
}

export function ioasUnmap(kernel: Kernel, context: Context): Refusal {
  const { call } = kernel;
  const ioas = getObject(context, u32(call, UNMAP.ioas_id), 'ioas');
  if (ioas === undefined) return IOAS_NOT_FOUND;
  const page = fieldPage(call, UNMAP.iova);
  const offset = fieldOffset(call, UNMAP.iova);
  const lengthPage = fieldPage(call, UNMAP.length);
  const lengthOffset = fieldOffset(call, UNMAP.length);
  const everything = page === 0 && offset === 0 && isTop(lengthPage, lengthOffset);
  const refusal = everything
    ? unmapAll(kernel, context, ioas, length)
    : unmapSome(kernel, context, ioas, page, offset, lengthPage, lengthOffset, length);
  if (refusal !== null) return refusal;
  if (!everything && length.page === 0 && length.offset === 0) return NOTHING_MAPPED;
  setU64(call, UNMAP.length, length.page, length.offset);
  respond(call, IOMMU_IOAS_UNMAP.sizeBytes);
  return null;
}

function unmapSome(
  kernel: Kernel,
  context: Context,
  ioas: Ioas,
  page: number,
  offset: number,
  lengthPage: number,
  lengthOffset: number,
  unmapped: Wide,
): Refusal {
  if (isTop(page, offset) || isTop(lengthPage, lengthOffset)) return ADDRESS_TOO_HIGH;
  return unmapIova(kernel, context, ioas, page, offset, lengthPage, lengthOffset, unmapped);
}

/** `iopt_unmap_all`. */
export function unmapAll(kernel: Kernel, context: Context, ioas: Ioas, unmapped: Wide): Refusal {
  const space = spaceOf(kernel, ioas);
  return unmapRange(kernel, context, ioas, space, 0, 0, TOP_PAGE, TOP_OFFSET, unmapped, unpinArea);
}

/** `iopt_unmap_iova`. Bytes removed are in `unmapped` also when it is refused half way. */
export function unmapIova(
  kernel: Kernel,
  context: Context,
  ioas: Ioas,
  page: number,
  offset: number,
  lengthPage: number,
  lengthOffset: number,
  unmapped: Wide,
): Refusal {
  unmapped.page = 0;
  unmapped.offset = 0;
  if (lengthPage === 0 && lengthOffset === 0) return LENGTH_ZERO;
  subWide(last, lengthPage, lengthOffset, 0, 1);
  if (addWide(last, page, offset, last.page, last.offset)) return RANGE_WRAPS;
  const space = spaceOf(kernel, ioas);
  return unmapRange(kernel, context, ioas, space, page, offset, last.page, last.offset, unmapped, unpinArea);
}

/** One slice of the source of a COPY, with a reference to its pages: `struct iopt_pages_list`. */
interface Slice {
  readonly pages: number;
  readonly firstIndex: number;
  readonly pageOffset: number;
  readonly lengthPage: number;
  readonly lengthOffset: number;
}

export function ioasCopy(kernel: Kernel, context: Context): Refusal {
  const { call } = kernel;
  let flags = u32(call, COPY.flags);
  if (kernel.profile.selftest && (flags & SYZ) !== 0) {
    flags &= ~SYZ;
    const source = getObject(context, u32(call, COPY.src_ioas_id), 'ioas');
    if (source !== undefined) convertNthArea(kernel, spaceOf(kernel, source), COPY.src_iova);
    // The kernel converts in its own copy of the struct, and that copy is what goes back to the user.
    call.view.setUint32(COPY.flags, flags, true);
  }
  if ((flags & ~MAP_FLAGS) !== 0) return UNKNOWN_FLAGS;
  const lengthPage = fieldPage(call, COPY.length);
  const lengthOffset = fieldOffset(call, COPY.length);
  const sourcePage = fieldPage(call, COPY.src_iova);
  const sourceOffset = fieldOffset(call, COPY.src_iova);
  iova.page = fieldPage(call, COPY.dst_iova);
  iova.offset = fieldOffset(call, COPY.dst_iova);
  if (isTop(lengthPage, lengthOffset) || isTop(sourcePage, sourceOffset) || isTop(iova.page, iova.offset)) {
    return ADDRESS_TOO_HIGH;
  }
  if ((flags & (WRITEABLE | READABLE)) === 0) return NO_PERMISSION_ASKED;
  const source = getObject(context, u32(call, COPY.src_ioas_id), 'ioas');
  if (source === undefined) return IOAS_NOT_FOUND;
  const slices: Slice[] = [];
  const refusal = slicesOf(slices, spaceOf(kernel, source), sourcePage, sourceOffset, lengthPage, lengthOffset);
  if (refusal !== null) return refusal;
  const target = getObject(context, u32(call, COPY.dst_ioas_id), 'ioas');
  if (target === undefined) return IOAS_NOT_FOUND;
  const fixed = (flags & FIXED_IOVA) !== 0;
  const unmappable = mapSlices(kernel, context, target, slices, lengthPage, lengthOffset, protOf(flags), fixed);
  if (unmappable !== null) return unmappable;
  setU64(call, COPY.dst_iova, iova.page, iova.offset);
  respond(call, IOMMU_IOAS_COPY.sizeBytes);
  return null;
}

/** `iopt_get_pages`: the slices of areas that cover the range without a gap. */
function slicesOf(
  slices: Slice[],
  { areas }: IovaSpace,
  page: number,
  offset: number,
  lengthPage: number,
  lengthOffset: number,
): Refusal {
  if (lengthPage === 0 && lengthOffset === 0) return LENGTH_ZERO;
  const end = wide();
  subWide(end, lengthPage, lengthOffset, 0, 1);
  if (addWide(end, page, offset, end.page, end.offset)) return RANGE_WRAPS;
  const at = wide(page, offset);
  const part = wide();
  let slot = firstAreaIn(areas, page, offset, page, offset);
  for (;;) {
    if (slot === NONE) return SOURCE_NOT_MAPPED;
    const areaEnds = compareWide(areas.lastPage[slot]!, areas.lastOffset[slot]!, end.page, end.offset) < 0;
    const partPage = areaEnds ? areas.lastPage[slot]! : end.page;
    const partOffset = areaEnds ? areas.lastOffset[slot]! : end.offset;
    subWide(part, at.page, at.offset, areas.startPage[slot]!, areas.startOffset[slot]!);
    addWide(part, part.page, part.offset, areas.firstIndex[slot]!, areas.pageOffset[slot]!);
    const { page: firstIndex, offset: pageOffset } = part;
    subWide(part, partPage, partOffset, at.page, at.offset);
    addWide(part, part.page, part.offset, 0, 1);
    slices.push({ pages: areas.pages[slot]!, firstIndex, pageOffset, lengthPage: part.page, lengthOffset: part.offset });
    if (!areaEnds) return null;
    addWide(at, partPage, partOffset, 0, 1);
    slot = firstAreaIn(areas, at.page, at.offset, at.page, at.offset);
  }
}

/** `iopt_map_pages`: makes one area a slice, all or none. */
function mapSlices(
  kernel: Kernel,
  context: Context,
  ioas: Ioas,
  slices: readonly Slice[],
  lengthPage: number,
  lengthOffset: number,
  prot: number,
  fixed: boolean,
): Refusal {
  const space = spaceOf(kernel, ioas);
  const { pages: table } = kernel;
  const first = slices[0]!;
  addWide(start, table.basePage[first.pages]!, 0, first.firstIndex, first.pageOffset);
  const refusal = placeRange(kernel, ioas, space, start, lengthPage, lengthOffset, iova, fixed);
  if (refusal !== null) return refusal;
  for (const slice of slices) {
    const unfit = refuseSlice(ioas, prot, table.writable[slice.pages] === 1, slice.pageOffset);
    if (unfit !== null) return unfit;
  }
  const at = wide(iova.page, iova.offset);
  const made: number[] = [];
  for (const slice of slices) {
    table.refs[slice.pages]! += 1;
    const { pages, firstIndex, pageOffset } = slice;
    const slot = insertArea(space.areas, at, slice.lengthPage, slice.lengthOffset, pages, firstIndex, pageOffset, prot);
    made.push(slot);
    kernel.effects.rangeMapped(context.id, ioas.id, space, slot);
    addWide(at, at.page, at.offset, slice.lengthPage, slice.lengthOffset);
  }
  if (ioas.domains.length === 0) return null;
  return undoUnlessPinned(kernel, context, ioas, space, made);
}

function undoUnlessPinned(kernel: Kernel, context: Context, ioas: Ioas, space: IovaSpace, made: number[]): Refusal {
  for (const slot of made) {
    const { areas } = space;
    const refusal = refusePin(kernel, areas.pages[slot]!, areas.firstIndex[slot]!, lastIndex(space, slot));
    if (refusal === null) continue;
    for (const undo of made) dropArea(kernel, context, ioas, space, undo);
    return refusal;
  }
  return null;
}

/**
 * The selftest's way to name an address for a fuzzer: {u32 nth_area, u32 offset} becomes the IOVA `offset` bytes into
 * the n-th area, or 0 when there is none. Source: selftest.c __iommufd_test_syz_conv_iova.
 */
export function convertNthArea(kernel: Kernel, { areas }: IovaSpace, field: number): void {
  const { call } = kernel;
  let nth = u32(call, field);
  const distance = u32(call, field + 4);
  let slot = firstArea(areas);
  while (slot !== NONE && nth > 0) {
    slot = nextArea(areas, slot);
    nth -= 1;
  }
  const at = wide();
  if (slot !== NONE) {
    addWide(at, areas.startPage[slot]!, areas.startOffset[slot]!, Math.floor(distance / 4096), distance % 4096);
  }
  setU64(call, field, at.page, at.offset);
}
