import { IOMMU_IOAS_MAP, IOMMU_IOAS_MAP_FLAGS, IOMMU_IOAS_UNMAP, offsetsOf } from '../uapi/index.ts';
import { unpinArea } from './access-pins.ts';
import { assignPayer, NOBODY, payerOf, releasePages } from './accounting.ts';
import { chargeArea, refuseAreaCharge } from './accounting-ranges.ts';
import { addWide, compareWide, isTop, subWide, TOP_OFFSET, TOP_PAGE, type Wide, wide } from './address.ts';
import { PROT_READ, PROT_WRITE } from './area-table.ts';
import { IOAS_NOT_FOUND, RESERVED_SET, UNKNOWN_FLAGS } from './check.ts';
import { type Kernel, spaceOf } from './kernel.ts';
import { insertArea, placeRange, refuseSlice, unmapRange } from './mapping.ts';
import { getObject } from './objects.ts';
import { allocatePages, FROM_USER, isDmabuf } from './pages-table.ts';
import { refusePin, refuseProtections } from './pinning.ts';
import { type Refusal, reason } from './reason.ts';
import type { Context, Ioas } from './state.ts';
import { fieldOffset, fieldPage, respond, setU64, u32 } from './user-call.ts';

/** IOMMU_IOAS_MAP and _UNMAP: ioas.c and io_pagetable.c of iommufd. They allocate nothing. */

const MAP = offsetsOf(IOMMU_IOAS_MAP);
const UNMAP = offsetsOf(IOMMU_IOAS_UNMAP);
const { FIXED_IOVA, WRITEABLE, READABLE } = IOMMU_IOAS_MAP_FLAGS;
/** All flags of MAP and COPY. */
export const MAP_FLAGS = FIXED_IOVA | WRITEABLE | READABLE;

export const ADDRESS_TOO_HIGH = reason(
  'address-or-length-too-high',
  'EOVERFLOW',
  'ioas.c iommufd_ioas_map, _copy, _unmap',
  'an IOVA or length is 2^64-1; the IOVA counts even when the kernel chooses it',
);
export const NO_PERMISSION_ASKED = reason(
  'no-permission-asked',
  'EINVAL',
  'ioas.c iommufd_ioas_map, _copy',
  'neither READABLE nor WRITEABLE is set',
);
export const LENGTH_ZERO = reason(
  'length-zero',
  'EINVAL',
  'pages.c iopt_alloc_pages; io_pagetable.c iopt_get_pages, iopt_unmap_iova',
  'the length is zero',
);
export const LENGTH_TOO_LONG = reason(
  'length-too-long',
  'EINVAL',
  'pages.c iopt_alloc_pages',
  'the length is within a page of 2^64',
);
const USER_ADDRESS_WRAPS = reason(
  'user-address-wraps',
  'EOVERFLOW',
  'pages.c iopt_alloc_pages; iopt_alloc_user_pages since 6.13',
  'user address + length wraps past 2^64',
);
export const RANGE_WRAPS = reason(
  'iova-range-wraps',
  'EOVERFLOW',
  'io_pagetable.c iopt_get_pages, iopt_unmap_iova',
  'IOVA + length wraps past 2^64',
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
export function protOf(flags: number): number {
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

/**
 * `iopt_map_user_pages`: user memory of the caller from `from` on. `at` is read when `fixed`, else written.
 */
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
  const { pageBytes, has } = kernel.profile;
  const wraps = addWide(last, from.page, from.offset, lengthPage, lengthOffset);
  if (wraps && has.userAddressFirst) return USER_ADDRESS_WRAPS;
  if (lengthPage === 0 && lengthOffset === 0) return LENGTH_ZERO;
  if (compareWide(lengthPage, lengthOffset, TOP_PAGE - pageBytes / 4096, TOP_OFFSET) > 0)
    return LENGTH_TOO_LONG;
  if (wraps) return USER_ADDRESS_WRAPS;
  const { mm } = kernel.call;
  return mapCommon(kernel, context, ioas, mm, FROM_USER, from, lengthPage, lengthOffset, at, prot, fixed);
}

/**
 * `iopt_map_common`: one area over new pages, of whatever source; `mm` is the address space they come from.
 */
export function mapCommon(
  kernel: Kernel,
  context: Context,
  ioas: Ioas,
  mm: number,
  source: number,
  from: Wide,
  lengthPage: number,
  lengthOffset: number,
  at: Wide,
  prot: number,
  fixed: boolean,
): Refusal {
  const space = spaceOf(kernel, ioas);
  const refusal =
    placeRange(kernel, ioas, space, from, lengthPage, lengthOffset, at, fixed) ??
    refuseSlice(ioas, prot, true, from.page, from.offset);
  if (refusal !== null) return refusal;
  const pageCount = lengthPage + Math.ceil((lengthOffset + from.offset) / 4096);
  const writable = (prot & PROT_WRITE) !== 0;
  const pages = allocatePages(kernel.pages, mm, from.page, pageCount, writable, source);
  const payer = isDmabuf(kernel.pages, pages) ? NOBODY : payerOf(kernel, context);
  if (payer !== NOBODY) assignPayer(kernel, pages, payer);
  if (ioas.domains.length > 0) {
    const unpinnable =
      refusePin(kernel, pages, 0, pageCount - 1) ??
      refuseProtections(context, ioas, prot) ??
      (payer === NOBODY ? null : refuseAreaCharge(kernel, pages, 0, pageCount - 1));
    if (unpinnable !== null) {
      releasePages(kernel, pages);
      return unpinnable;
    }
    if (payer !== NOBODY) chargeArea(kernel, pages, 0, pageCount - 1);
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
