import { type LeafSize, UNKNOWN_FRAME } from './table-format.ts';

/** Told of leaves of one size: pages first..last (inclusive), index of the size, frame of the first. */
export type PlaceLeaves = (first: number, last: number, size: number, frame: number) => void;

/**
 * Which leaves a run of physically contiguous pages gets: always the largest that IOVA and physical address
 * are aligned to and that still fits (iommu.c iommu_pgsize; pt_iter.h pt_compute_best_pgsize). Pages whose
 * frames are unknown get the smallest.
 */
export function placeLeaves(
  sizes: readonly LeafSize[],
  page: number,
  pageCount: number,
  frame: number,
  place: PlaceLeaves,
): void {
  const end = page + pageCount;
  if (frame === UNKNOWN_FRAME) {
    place(page, end - 1, 0, frame);
    return;
  }
  for (let at = page; at < end; ) {
    const from = frame + at - page;
    const size = largestSize(sizes, at, from, end - at);
    const count = leavesOf(sizes, size, at, from, end - at);
    place(at, at + count - 1, size, from);
    at += count;
  }
}

function pagesOf({ shift }: LeafSize): number {
  return 2 ** (shift - 12);
}

function largestSize(sizes: readonly LeafSize[], page: number, frame: number, left: number): number {
  for (let size = sizes.length - 1; size > 0; size -= 1) {
    const pages = pagesOf(sizes[size]!);
    if (pages <= left && page % pages === 0 && frame % pages === 0) return size;
  }
  return 0;
}

/** Pages that get leaves of this size before a larger one fits. */
function leavesOf(
  sizes: readonly LeafSize[],
  size: number,
  page: number,
  frame: number,
  left: number,
): number {
  const own = pagesOf(sizes[size]!);
  const all = left - (left % own);
  const larger = sizes[size + 1];
  // A run that is no multiple of the smallest page can not be mapped; what is left of it is one leaf.
  if (larger === undefined) return all === 0 ? left : all;
  const next = pagesOf(larger);
  if (page % next !== frame % next) return all === 0 ? left : all;
  const distance = next - (page % next);
  return distance + next <= left ? distance : all === 0 ? left : all;
}
