import { addWide, compareWide, subWide, TOP_OFFSET, TOP_PAGE, wide } from '../address.ts';
import type { IovaRange } from '../iova-space.ts';
import type { ReservedRegion, Type1Domain } from './state.ts';

/**
 * `iova_list` of vfio_iommu_type1.c: the IOVAs that every attached group can use, as ascending ranges. Each
 * function gives a new list; the kernel too works on a copy that it drops when an attachment is refused.
 */

export type IovaList = readonly IovaRange[];

const WHOLE: IovaRange = { startPage: 0, startOffset: 0, lastPage: TOP_PAGE, lastOffset: TOP_OFFSET };

/** Negative, zero or positive as a's first address is below, equal to or above b's. */
export function compareStarts(a: IovaRange, b: IovaRange): number {
  return compareWide(a.startPage, a.startOffset, b.startPage, b.startOffset);
}

export function compareLasts(a: IovaRange, b: IovaRange): number {
  return compareWide(a.lastPage, a.lastOffset, b.lastPage, b.lastOffset);
}

/** a's first address against b's last one. */
export function compareStartToLast(a: IovaRange, b: IovaRange): number {
  return compareWide(a.startPage, a.startOffset, b.lastPage, b.lastOffset);
}

/** The range with the first address of `first` and the last of `last`. */
function spanning(first: IovaRange, last: IovaRange): IovaRange {
  const { startPage, startOffset } = first;
  const { lastPage, lastOffset } = last;
  return { startPage, startOffset, lastPage, lastOffset };
}

/** What lies in `range` below the start of `cut`, which is above the start of `range`. */
export function partBelow(range: IovaRange, cut: IovaRange): IovaRange {
  const last = wide();
  subWide(last, cut.startPage, cut.startOffset, 0, 1);
  return { ...spanning(range, range), lastPage: last.page, lastOffset: last.offset };
}

/** What lies in `range` above the last of `cut`, which is below the last of `range`. */
export function partAbove(range: IovaRange, cut: IovaRange): IovaRange {
  const start = wide();
  addWide(start, cut.lastPage, cut.lastOffset, 0, 1);
  return { ...spanning(range, range), startPage: start.page, startOffset: start.offset };
}

/** `vfio_iommu_aper_resize`: cuts the list to an aperture; an empty list becomes the aperture. */
export function resizeToAperture(list: IovaList, aperture: IovaRange): IovaRange[] {
  if (list.length === 0) return [spanning(aperture, aperture)];
  // A range of one address that is the new start goes as well: the kernel asks for more than that.
  const from = list.findIndex(
    (range) => compareStarts(aperture, range) < 0 || compareStartToLast(aperture, range) < 0,
  );
  const kept = from < 0 ? [] : list.slice(from);
  const first = kept[0];
  if (first !== undefined && compareStarts(aperture, first) >= 0) kept[0] = spanning(aperture, first);
  return kept.flatMap((range) => {
    if (compareLasts(aperture, range) > 0) return [range];
    return compareStartToLast(range, aperture) < 0 ? [spanning(range, aperture)] : [];
  });
}

/** `vfio_iommu_resv_exclude`: takes reserved regions out, except those that a driver may give up. */
export function excludeReserved(list: IovaList, regions: readonly ReservedRegion[]): IovaRange[] {
  let left: IovaRange[] = [...list];
  for (const region of regions) {
    if (region.kind === 'direct-relaxable') continue;
    left = left.flatMap((range) => {
      if (compareStartToLast(region, range) > 0 || compareStartToLast(range, region) > 0) return [range];
      const parts: IovaRange[] = [];
      if (compareStarts(region, range) > 0) parts.push(partBelow(range, region));
      if (compareLasts(region, range) < 0) parts.push(partAbove(range, region));
      return parts;
    });
  }
  return left;
}

/** `vfio_iommu_aper_expand`: widens the ends of the list to what the remaining domains have in common. */
export function expandToDomains(list: IovaList, domains: readonly Type1Domain[]): IovaRange[] {
  const first = list[0];
  const last = list.at(-1);
  if (first === undefined || last === undefined) return [];
  let common = WHOLE;
  for (const { aperture } of domains) {
    if (compareStarts(aperture, common) > 0) common = spanning(aperture, common);
    if (compareLasts(aperture, common) < 0) common = spanning(common, aperture);
  }
  if (list.length === 1) return [common];
  return [spanning(common, first), ...list.slice(1, -1), spanning(last, common)];
}

/** Whether one range of the list holds all of first..last: `vfio_iommu_iova_dma_valid`. */
export function holdsRange(
  list: IovaList,
  firstPage: number,
  firstOffset: number,
  lastPage: number,
  lastOffset: number,
): boolean {
  for (const range of list) {
    const isInside =
      compareWide(firstPage, firstOffset, range.startPage, range.startOffset) >= 0 &&
      compareWide(lastPage, lastOffset, range.lastPage, range.lastOffset) <= 0;
    if (isInside) return true;
  }
  return list.length === 0;
}
