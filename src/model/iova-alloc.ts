import {
  addWide,
  compareWide,
  PAGE_BYTES,
  subWide,
  TOP_OFFSET,
  TOP_PAGE,
  type Wide,
  wide,
} from './address.ts';
import { firstAreaIn, NONE, skipNarrowHoles } from './area-table.ts';
import { type IovaSpace, type MergedRanges, RANGE_COLUMNS, rangeFrom } from './iova-space.ts';
import { type Refusal, reason } from './reason.ts';

/**
 * The automatic choice of an IOVA: first fit, lowest address, aligned like the user address as far as that
 * helps huge pages. Source: io_pagetable.c iopt_alloc_iova, 6.12.43 and later (with the cap on the
 * alignment).
 */

const LENGTH_TOO_LONG = reason(
  'length-half-of-space',
  'EOVERFLOW',
  'io_pagetable.c iopt_alloc_iova',
  'an automatic IOVA needs a length below half of the address space',
);
const ALIGNMENT_TOO_SMALL = reason(
  'user-va-misaligned',
  'EINVAL',
  'io_pagetable.c iopt_alloc_iova',
  'the user address or length is less aligned than this IOAS requires',
);
const NO_SPACE = reason(
  'no-iova-space',
  'ENOSPC',
  'io_pagetable.c iopt_alloc_iova',
  'no hole in the allowed ranges is large enough',
);

/** CPU page and huge page of the modelled machine, in bytes. */
export interface PageGeometry {
  readonly pageBytes: number;
  /** HPAGE_SIZE with CONFIG_TRANSPARENT_HUGEPAGE, else the page size. */
  readonly hugeBytes: number;
}

const hole: Wide & { lastPage: number; lastOffset: number } = {
  page: 0,
  offset: 0,
  lastPage: 0,
  lastOffset: 0,
};
const room = wide();
const need = wide();

/**
 * Chooses an IOVA for `length` bytes and puts it into `into`. `uptr` is the user address (or file offset)
 * that the first slice begins at.
 */
export function allocateIova(
  into: Wide,
  space: IovaSpace,
  geometry: PageGeometry,
  iovaAlignment: number,
  uptrPage: number,
  uptrOffset: number,
  lengthPage: number,
  lengthOffset: number,
): Refusal {
  const half = 2 ** 51;
  if (lengthPage >= half || (lengthPage === half - 1 && lengthOffset === TOP_OFFSET)) return LENGTH_TOO_LONG;
  const alignment = Math.min(
    roundUpToPowerOfTwo(lengthPage, lengthOffset),
    uptrPage === 0 && uptrOffset === 0 ? Number.POSITIVE_INFINITY : lowestBit(uptrPage, uptrOffset),
    geometry.hugeBytes,
  );
  if (alignment < iovaAlignment) return ALIGNMENT_TOO_SMALL;
  const pageOffset = pageOffsetOf(uptrPage, uptrOffset, geometry.pageBytes);
  subWide(need, lengthPage, lengthOffset, 0, 1);

  const floorPage = geometry.pageBytes / PAGE_BYTES;
  const topPage = TOP_PAGE - floorPage;
  const { allowed } = space;
  if (allowed.length === 0) {
    return findIn(
      into,
      space,
      alignment,
      pageOffset,
      lengthPage,
      lengthOffset,
      floorPage,
      0,
      topPage,
      TOP_OFFSET,
    )
      ? null
      : NO_SPACE;
  }
  for (let at = 0; at < allowed.length; at += RANGE_COLUMNS) {
    const clippedLow = compareWide(allowed[at]!, allowed[at + 1]!, floorPage, 0) < 0;
    const clippedHigh = compareWide(allowed[at + 2]!, allowed[at + 3]!, topPage, TOP_OFFSET) > 0;
    const firstPage = clippedLow ? floorPage : allowed[at]!;
    const firstOffset = clippedLow ? 0 : allowed[at + 1]!;
    const lastPage = clippedHigh ? topPage : allowed[at + 2]!;
    const lastOffset = clippedHigh ? TOP_OFFSET : allowed[at + 3]!;
    if (compareWide(firstPage, firstOffset, lastPage, lastOffset) > 0) continue;
    if (
      findIn(
        into,
        space,
        alignment,
        pageOffset,
        lengthPage,
        lengthOffset,
        firstPage,
        firstOffset,
        lastPage,
        lastOffset,
      )
    ) {
      return null;
    }
  }
  return NO_SPACE;
}

/** First fit inside one allowed range. */
function findIn(
  into: Wide,
  space: IovaSpace,
  alignment: number,
  pageOffset: number,
  lengthPage: number,
  lengthOffset: number,
  firstPage: number,
  firstOffset: number,
  lastPage: number,
  lastOffset: number,
): boolean {
  if (!fits(into, alignment, pageOffset, firstPage, firstOffset, lastPage, lastOffset)) return false;
  const pages = lengthPage + (lengthOffset > 0 ? 1 : 0);
  let page = into.page;
  let offset = into.offset;
  for (;;) {
    const found = nextHole(space, pages, page, offset, lastPage, lastOffset);
    if (!found) return false;
    if (fits(into, alignment, pageOffset, hole.page, hole.offset, hole.lastPage, hole.lastOffset))
      return true;
    if (compareWide(hole.lastPage, hole.lastOffset, lastPage, lastOffset) >= 0) return false;
    addWide(room, hole.lastPage, hole.lastOffset, 0, 1);
    page = room.page;
    offset = room.offset;
  }
}

/**
 * The next hole of areas and reserved ranges at or after the address, clipped to `last`; skips those too
 * narrow.
 */
function nextHole(
  space: IovaSpace,
  pages: number,
  page: number,
  offset: number,
  lastPage: number,
  lastOffset: number,
): boolean {
  const { areas, reserved } = space;
  for (;;) {
    const area = firstAreaIn(areas, page, offset, lastPage, lastOffset);
    const range = rangeFrom(reserved, page, offset);
    const areaFirst = area !== NONE && isAreaLower(space, area, reserved, range);
    const usedPage = areaFirst ? areas.startPage[area]! : (reserved[range] ?? TOP_PAGE + 1);
    const usedOffset = areaFirst ? areas.startOffset[area]! : (reserved[range + 1] ?? 0);
    if (compareWide(usedPage, usedOffset, lastPage, lastOffset) > 0) {
      setHole(page, offset, lastPage, lastOffset);
      return true;
    }
    if (compareWide(usedPage, usedOffset, page, offset) > 0) {
      subWide(room, usedPage, usedOffset, 0, 1);
      setHole(page, offset, room.page, room.offset);
      return true;
    }
    const skipped = areaFirst ? skipNarrowHoles(areas, area, pages) : NONE;
    const endPage = areaFirst ? areas.lastPage[skipped]! : reserved[range + 2]!;
    const endOffset = areaFirst ? areas.lastOffset[skipped]! : reserved[range + 3]!;
    if (compareWide(endPage, endOffset, lastPage, lastOffset) >= 0) return false;
    addWide(room, endPage, endOffset, 0, 1);
    page = room.page;
    offset = room.offset;
  }
}

function isAreaLower(space: IovaSpace, area: number, reserved: MergedRanges, range: number): boolean {
  if (range >= reserved.length) return true;
  const { areas } = space;
  return (
    compareWide(areas.startPage[area]!, areas.startOffset[area]!, reserved[range]!, reserved[range + 1]!) <= 0
  );
}

function setHole(page: number, offset: number, lastPage: number, lastOffset: number): void {
  hole.page = page;
  hole.offset = offset;
  hole.lastPage = lastPage;
  hole.lastOffset = lastOffset;
}

/**
 * `__alloc_iova_check_range`: aligns the start up, puts the page offset in, and sees whether the rest is
 * enough.
 */
function fits(
  into: Wide,
  alignment: number,
  pageOffset: number,
  page: number,
  offset: number,
  lastPage: number,
  lastOffset: number,
): boolean {
  if (alignment <= PAGE_BYTES) {
    offset = (offset + alignment - 1) & ~(alignment - 1);
    if (offset >= PAGE_BYTES) {
      offset -= PAGE_BYTES;
      page += 1;
    }
  } else {
    const pages = alignment / PAGE_BYTES;
    page = Math.ceil((offset > 0 ? page + 1 : page) / pages) * pages;
    offset = 0;
  }
  if (page > TOP_PAGE) return false;
  const pageBits = Math.floor(pageOffset / PAGE_BYTES);
  if (pageBits > 0) page += (page & pageBits) ^ pageBits;
  offset |= pageOffset & (PAGE_BYTES - 1);
  if (compareWide(page, offset, lastPage, lastOffset) >= 0) return false;
  subWide(room, lastPage, lastOffset, page, offset);
  if (compareWide(room.page, room.offset, need.page, need.offset) < 0) return false;
  into.page = page;
  into.offset = offset;
  return true;
}

/** Bytes; infinite above 2^53, which is far above every cap. */
function roundUpToPowerOfTwo(page: number, offset: number): number {
  const bytes = page * PAGE_BYTES + offset;
  if (bytes > 2 ** 52) return Number.POSITIVE_INFINITY;
  let power = 1;
  while (power < bytes) power *= 2;
  return power;
}

function lowestBit(page: number, offset: number): number {
  if (offset !== 0) return offset & -offset;
  let bit = PAGE_BYTES;
  while (page % 2 === 0) {
    page /= 2;
    bit *= 2;
  }
  return bit;
}

/** Offset in a CPU page, which may be larger than 4096 bytes. */
function pageOffsetOf(page: number, offset: number, pageBytes: number): number {
  return (page % (pageBytes / PAGE_BYTES)) * PAGE_BYTES + offset;
}
