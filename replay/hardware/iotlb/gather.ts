import { placeLeaves } from '../leaf-sizes.ts';
import { hasFrames } from '../physical-pages.ts';
import { fillAt, type LiveDomain } from './live-domain.ts';

/** What one `iommu_unmap` has flushed, gathered as the kernel does (iommu.h iommu_iotlb_gather). */

/** Told of pages to flush; `leafOnly` null: whether tables went depends on physical pages. */
export type Flush = (firstPage: number, lastPage: number, leafOnly: boolean | null) => void;

export interface Gather {
  add(domain: LiveDomain, page: number, pageCount: number): void;
  /** The end of the unmap. */
  flush(): void;
}

/**
 * By page size, as drivers of before iommu_pt.h: `iommu_unmap` goes piece by piece, each of the largest page
 * size that the IOVAs alone allow.
 * @param bySize VT-d: pieces of another number of bytes, or apart, begin a new range
 *   (`iommu_iotlb_gather_add_page`). AMD joins all, and with `apart` only those that touch.
 */
export function gatherPieces(flush: Flush, bySize: boolean, apart: boolean): Gather {
  let first = 0;
  let last = -1;
  let size = 0;
  let leafOnly: boolean | null = true;
  const send = (): void => {
    if (last >= first) flush(first, last, leafOnly);
    last = first - 1;
    size = 0;
    leafOnly = true;
  };
  const addPiece = (domain: LiveDomain, from: number, to: number): void => {
    const pages = to - from + 1;
    const isEmpty = last < first;
    const isApart = !isEmpty && (to + 1 < first || last + 1 < from);
    const isOther = bySize && !isEmpty && size !== pages;
    // The tables of this piece are gone by now, so the flush of what was gathered before is told of them.
    leafOnly = joined(leafOnly, leavesTables(domain, from, pages));
    if (isOther || (isApart && (bySize || apart))) send();
    size = pages;
    if (last < first) {
      first = from;
      last = to;
    } else {
      first = Math.min(first, from);
      last = Math.max(last, to);
    }
  };
  return {
    add(domain, page, pageCount) {
      const sizes = domain.table.format.leafSizes;
      placeLeaves(sizes, page, pageCount, page, (from, to) => addPiece(domain, from, to));
    },
    flush: send,
  };
}

/** iommu_pt.h `unmap_range`: the whole range at once. With `apart`, ranges that do not touch are two. */
export function gatherRange(flush: Flush, apart: boolean): Gather {
  let first = 0;
  let last = -1;
  let leafOnly: boolean | null = true;
  const send = (): void => {
    if (last >= first) flush(first, last, leafOnly);
    last = first - 1;
    leafOnly = true;
  };
  return {
    add(domain, page, pageCount) {
      const end = page + pageCount - 1;
      const isEmpty = last < first;
      if (!isEmpty && apart && (end + 1 < first || last + 1 < page)) send();
      leafOnly = joined(leafOnly, leavesTables(domain, page, pageCount));
      const isStart = last < first;
      first = isStart ? page : Math.min(first, page);
      last = isStart ? end : Math.max(last, end);
    },
    flush: send,
  };
}

function joined(one: boolean | null, other: boolean | null): boolean | null {
  if (one === false || other === false) return false;
  return one === null || other === null ? null : true;
}

/** Whether an unmap takes leaves only; null where the sizes of the leaves are not known. */
function leavesTables(domain: LiveDomain, page: number, pageCount: number): boolean | null {
  if (!domain.table.coversTable(page, pageCount)) return true;
  return knowsFrames(domain, page) ? false : null;
}

/** Whether notes tell what is behind the area with a page. */
export function knowsFrames(domain: LiveDomain, page: number): boolean {
  const fill = fillAt(domain, page);
  return fill !== null && hasFrames(fill.pages);
}
