import { BLOCK, type FrameRun } from './frame-map.ts';
import { frameAt, hasFrames, type PinnedPages } from './physical-pages.ts';
import { UNKNOWN_FRAME } from './table-format.ts';

/** Physically contiguous runs of an area's pages: what the kernel maps and unmaps at once. */

/** The runs of the first `pageCount` pages, in order; costs what is known of them, not their number. */
export function runsOf(pages: PinnedPages, pageCount: number): FrameRun[] {
  if (pages.told !== null) return clipped(pages.told, pageCount);
  if (!hasFrames(pages)) return [{ first: 0, count: pageCount, frame: UNKNOWN_FRAME }];
  const runs: { first: number; count: number; frame: number }[] = [];
  const add = (first: number, count: number, frame: number): void => {
    const last = runs.at(-1);
    const isNext = last !== undefined && (last.frame < 0 ? frame < 0 : frame === last.frame + last.count);
    if (isNext) last.count += count;
    else runs.push({ first, count, frame });
  };
  let at = 0;
  for (const block of knownBlocks(pages)) {
    const start = Math.max(at, block * BLOCK);
    const end = Math.min(pageCount, (block + 1) * BLOCK);
    if (start >= end) continue;
    if (start > at) add(at, start - at, UNKNOWN_FRAME);
    for (at = start; at < end; at += 1) add(at, 1, frameAt(pages, at));
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

/** Numbers of the blocks of pages of which anything is known, ascending. */
function knownBlocks({ before, during, runs, huge }: PinnedPages): number[] {
  const blocks = new Set<number>();
  for (const map of [before, during]) for (const block of map.keys()) blocks.add(block);
  for (const place of huge.keys()) {
    const { index, count } = runs[place]!;
    for (let block = Math.floor(index / BLOCK); block * BLOCK < index + count; block += 1) blocks.add(block);
  }
  return [...blocks].sort((a, b) => a - b);
}
