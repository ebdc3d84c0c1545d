import { chargeAreas } from './accounting-ranges.ts';
import { subWide, TOP_OFFSET, TOP_PAGE, wide } from './address.ts';
import { firstAreaIn, NONE } from './area-table.ts';
import { hitsRange, type IovaRange, mergeRanges, type ReservedRange } from './iova-space.ts';
import { type Kernel, spaceOf } from './kernel.ts';
import { areAreasAligned, refuseFill } from './mapping.ts';
import { mustGet } from './objects.ts';
import { type Refusal, reason } from './reason.ts';
import type { Context, Ioas, PagingDomain } from './state.ts';

/**
 * What an IOAS owes its domains and access objects: alignment and reserved ranges. io_pagetable.c of iommufd.
 */

const AREAS_MISALIGNED = reason(
  'areas-misaligned',
  'EADDRINUSE',
  'io_pagetable.c iopt_check_iova_alignment',
  'an area that is mapped already does not fit the alignment that the newcomer asks for',
);
const PAGE_TOO_LARGE = reason(
  'iommu-page-too-large',
  'EINVAL',
  'io_pagetable.c iopt_table_add_domain',
  'the smallest page of the IOMMU is larger than the page of the CPU',
);
export const RANGE_IN_USE = reason(
  'range-in-use',
  'EADDRINUSE',
  'io_pagetable.c iopt_reserve_iova',
  'the range to be reserved touches an area or an allowed range',
);
const LARGE_PAGES_IN_USE = reason(
  'large-pages-in-use',
  'EINVAL',
  'io_pagetable.c iopt_disable_large_pages',
  'the IOAS has both a domain and areas, which may be mapped with large pages already',
);

/** `iopt_reserve_iova`'s condition, for one range. */
export function refuseReserve(kernel: Kernel, ioas: Ioas, range: IovaRange): Refusal {
  const { areas, allowed } = spaceOf(kernel, ioas);
  const { startPage, startOffset, lastPage, lastOffset } = range;
  if (firstAreaIn(areas, startPage, startOffset, lastPage, lastOffset) !== NONE) return RANGE_IN_USE;
  return hitsRange(allowed, startPage, startOffset, lastPage, lastOffset) ? RANGE_IN_USE : null;
}

export function addReserved(kernel: Kernel, ioas: Ioas, ranges: readonly ReservedRange[]): void {
  ioas.reserved.push(...ranges);
  spaceOf(kernel, ioas).reserved = mergeRanges(ioas.reserved);
}

export function removeReserved(kernel: Kernel, ioas: Ioas, owner: string): void {
  ioas.reserved = ioas.reserved.filter((range) => range.owner !== owner);
  spaceOf(kernel, ioas).reserved = mergeRanges(ioas.reserved);
}

export function setAllowed(kernel: Kernel, ioas: Ioas, ranges: IovaRange[]): void {
  ioas.allowed = ranges;
  spaceOf(kernel, ioas).allowed = mergeRanges(ranges);
}

/** Smallest page of a domain in bytes: the lowest bit of its `pgsize_bitmap`. */
export function smallestPage(domain: PagingDomain): number {
  let bit = 1;
  while (domain.pageSizes % (bit * 2) === 0) bit *= 2;
  return bit;
}

/** What lies outside a domain's aperture, as the ranges it reserves. */
export function outsideAperture(domain: PagingDomain, hwpt: number): ReservedRange[] {
  const { startPage, startOffset, lastPage, lastOffset } = domain.aperture;
  const owner = `hwpt:${hwpt}`;
  const ranges: ReservedRange[] = [];
  const edge = wide();
  if (startPage > 0 || startOffset > 0) {
    subWide(edge, startPage, startOffset, 0, 1);
    ranges.push({ startPage: 0, startOffset: 0, lastPage: edge.page, lastOffset: edge.offset, owner });
  }
  if (lastPage < TOP_PAGE || lastOffset < TOP_OFFSET) {
    const offset = lastOffset === TOP_OFFSET ? 0 : lastOffset + 1;
    const page = lastOffset === TOP_OFFSET ? lastPage + 1 : lastPage;
    ranges.push({ startPage: page, startOffset: offset, lastPage: TOP_PAGE, lastOffset: TOP_OFFSET, owner });
  }
  return ranges;
}

/** What `iopt_table_add_domain` refuses: page size, alignment, aperture, then pinning. */
export function refuseDomain(kernel: Kernel, ioas: Ioas, domain: PagingDomain): Refusal {
  const space = spaceOf(kernel, ioas);
  const alignment = Math.max(smallestPage(domain), ioas.alignment);
  if (alignment > kernel.profile.pageBytes) return PAGE_TOO_LARGE;
  if (alignment !== ioas.alignment && !areAreasAligned(kernel, space, alignment)) return AREAS_MISALIGNED;
  for (const range of outsideAperture(domain, 0)) {
    const refusal = refuseReserve(kernel, ioas, range);
    if (refusal !== null) return refusal;
  }
  return refuseFill(kernel, ioas, space, domain);
}

/** `iopt_table_add_domain` after `refuseDomain` let it pass. */
export function addDomain(kernel: Kernel, ioas: Ioas, hwpt: number, domain: PagingDomain): void {
  ioas.alignment = Math.max(smallestPage(domain), ioas.alignment);
  if (ioas.domains.length === 0 && kernel.pages.payerCount > 0) chargeAreas(kernel, spaceOf(kernel, ioas), 1);
  ioas.domains.push(hwpt);
  addReserved(kernel, ioas, outsideAperture(domain, hwpt));
}

/** `iopt_table_remove_domain`: the last domain takes the place of the one that goes. */
export function removeDomain(kernel: Kernel, context: Context, ioas: Ioas, hwpt: number): void {
  const at = ioas.domains.indexOf(hwpt);
  const tail = ioas.domains.pop();
  if (tail !== undefined && tail !== hwpt) ioas.domains[at] = tail;
  if (ioas.domains.length === 0 && kernel.pages.payerCount > 0)
    chargeAreas(kernel, spaceOf(kernel, ioas), -1);
  removeReserved(kernel, ioas, `hwpt:${hwpt}`);
  ioas.alignment = requiredAlignment(kernel, context, ioas);
}

/** `iopt_calculate_iova_alignment`: what domains, access objects and the huge-page option ask for. */
function requiredAlignment(kernel: Kernel, context: Context, ioas: Ioas): number {
  let alignment = ioas.largePagesOff ? kernel.profile.pageBytes : 1;
  for (const id of ioas.domains) {
    alignment = Math.max(alignment, smallestPage(mustGet(context, id, 'hwpt-paging').domain));
  }
  for (const id of Object.values(ioas.accesses)) {
    if (mustGet(context, id, 'access').pinning) alignment = Math.max(alignment, kernel.profile.pageBytes);
  }
  return alignment;
}

/** Recomputes the alignment after a change that lets it only fall or that `refuseAlignment` has let pass. */
export function updateAlignment(kernel: Kernel, context: Context, ioas: Ioas): void {
  ioas.alignment = requiredAlignment(kernel, context, ioas);
}

/**
 * Whether the areas fit when page alignment is asked for: a pinning access object, or large pages switched
 * off.
 */
export function refusePageAlignment(kernel: Kernel, ioas: Ioas): Refusal {
  const { pageBytes } = kernel.profile;
  if (pageBytes <= ioas.alignment) return null;
  return areAreasAligned(kernel, spaceOf(kernel, ioas), pageBytes) ? null : AREAS_MISALIGNED;
}

/** `iopt_disable_large_pages`. */
export function disableLargePages(kernel: Kernel, context: Context, ioas: Ioas): Refusal {
  if (ioas.largePagesOff) return null;
  if (ioas.domains.length > 0 && spaceOf(kernel, ioas).areas.count > 0) return LARGE_PAGES_IN_USE;
  const refusal = refusePageAlignment(kernel, ioas);
  if (refusal !== null) return refusal;
  ioas.largePagesOff = true;
  updateAlignment(kernel, context, ioas);
  return null;
}
