import { IOMMU_IOAS_COPY, IOMMU_IOAS_COPY_FLAGS, IOMMU_IOAS_MAP_FLAGS, offsetsOf } from '../uapi/index.ts';
import { fillArea, startFilling, undoFilling } from './accounting-ranges.ts';
import { addWide, compareWide, isTop, subWide, wide } from './address.ts';
import { firstAreaIn, NONE } from './area-table.ts';
import { IOAS_NOT_FOUND, UNKNOWN_FLAGS } from './check.ts';
import {
  ADDRESS_TOO_HIGH,
  LENGTH_ZERO,
  MAP_FLAGS,
  NO_PERMISSION_ASKED,
  protOf,
  RANGE_WRAPS,
} from './ioas-map.ts';
import type { IovaSpace } from './iova-space.ts';
import { type Kernel, spaceOf } from './kernel.ts';
import { insertArea, placeRange, refuseSlice } from './mapping.ts';
import { getObject } from './objects.ts';
import { refusePin, refuseProtections } from './pinning.ts';
import { type Refusal, reason } from './reason.ts';
import type { Context, Ioas } from './state.ts';
import { syzAddress } from './syz-address.ts';
import { fieldOffset, fieldPage, respond, setU64, u32 } from './user-call.ts';

/** IOMMU_IOAS_COPY: ioas.c and io_pagetable.c of iommufd. */

const COPY = offsetsOf(IOMMU_IOAS_COPY);
const { SYZ } = IOMMU_IOAS_COPY_FLAGS;
const { FIXED_IOVA, WRITEABLE, READABLE } = IOMMU_IOAS_MAP_FLAGS;

const SOURCE_NOT_MAPPED = reason(
  'copy-source-not-mapped',
  'ENOENT',
  'io_pagetable.c iopt_get_pages',
  'the source range is not covered by areas without a gap',
);
const iova = wide();
const start = wide();

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
    if (source !== undefined) {
      const at = syzAddress(call, COPY.src_iova, spaceOf(kernel, source).areas);
      setU64(call, COPY.src_iova, at.page, at.offset);
    }
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
  const refusal = slicesOf(
    slices,
    spaceOf(kernel, source),
    sourcePage,
    sourceOffset,
    lengthPage,
    lengthOffset,
  );
  if (refusal !== null) return refusal;
  const target = getObject(context, u32(call, COPY.dst_ioas_id), 'ioas');
  if (target === undefined) return IOAS_NOT_FOUND;
  const fixed = (flags & FIXED_IOVA) !== 0;
  const unmappable = mapSlices(
    kernel,
    context,
    target,
    slices,
    lengthPage,
    lengthOffset,
    protOf(flags),
    fixed,
  );
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
    slices.push({
      pages: areas.pages[slot]!,
      firstIndex,
      pageOffset,
      lengthPage: part.page,
      lengthOffset: part.offset,
    });
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
    const page = table.basePage[slice.pages]! + slice.firstIndex;
    const unfit = refuseSlice(ioas, prot, table.writable[slice.pages] === 1, page, slice.pageOffset);
    if (unfit !== null) return unfit;
  }
  const unpinnable = ioas.domains.length === 0 ? null : fillSlices(kernel, context, ioas, slices, prot);
  if (unpinnable !== null) return unpinnable;
  const at = wide(iova.page, iova.offset);
  for (const slice of slices) {
    table.refs[slice.pages]! += 1;
    const { pages, firstIndex, pageOffset } = slice;
    const slot = insertArea(
      space.areas,
      at,
      slice.lengthPage,
      slice.lengthOffset,
      pages,
      firstIndex,
      pageOffset,
      prot,
    );
    kernel.effects.rangeMapped(context.id, ioas.id, space, slot);
    addWide(at, at.page, at.offset, slice.lengthPage, slice.lengthOffset);
  }
  return null;
}

/**
 * `iopt_fill_domains_pages`: slice by slice, or none. Asked before any slice becomes an area: an area of an
 * IOAS with a domain counts as one that holds its pages.
 */
function fillSlices(
  kernel: Kernel,
  context: Context,
  ioas: Ioas,
  slices: readonly Slice[],
  prot: number,
): Refusal {
  const filling = startFilling(kernel, 0);
  for (const { pages, firstIndex, pageOffset, lengthPage, lengthOffset } of slices) {
    const last = firstIndex + lengthPage + Math.ceil((lengthOffset + pageOffset) / 4096) - 1;
    const refusal =
      refusePin(kernel, pages, firstIndex, last) ??
      refuseProtections(context, ioas, prot) ??
      fillArea(kernel, filling, pages, firstIndex, last);
    if (refusal === null) continue;
    undoFilling(kernel, filling);
    return refusal;
  }
  return null;
}
