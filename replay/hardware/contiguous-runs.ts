import type { FrameRun } from './frame-run.ts';
import { frameAt, framedRanges, type PinnedPages } from './physical-pages.ts';
import { UNKNOWN_FRAME } from './table-format.ts';

/** Physically contiguous runs of an area's pages: what the kernel maps and unmaps at once. */

/** The runs of the first `pageCount` pages, in order; costs what is known of them, not their number. */
export function runsOf(pages: PinnedPages, pageCount: number): FrameRun[] {
  if (pages.told !== null) return clipped(pages.told, pageCount);
  const runs: { first: number; count: number; frame: number }[] = [];
  const add = (first: number, count: number, frame: number): void => {
    const last = runs.at(-1);
    const isNext = last !== undefined && (last.frame < 0 ? frame < 0 : frame === last.frame + last.count);
    if (isNext) last.count += count;
    else runs.push({ first, count, frame });
  };
  let at = 0;
  for (const [first, behind] of framedRanges(pages)) {
    const end = Math.min(pageCount, behind);
    if (first >= end) continue;
    if (first > at) add(at, first - at, UNKNOWN_FRAME);
    for (at = first; at < end; at += 1) add(at, 1, frameAt(pages, at));
  }
  if (at < pageCount) add(at, pageCount - at, UNKNOWN_FRAME);
  return runs;
}

function clipped(told: readonly FrameRun[], pageCount: number): FrameRun[] {
  const runs: FrameRun[] = [];
  for (const { first, count, frame } of told) {
    if (first < pageCount) runs.push({ first, count: Math.min(count, pageCount - first), frame });
  }
  return runs;
}
