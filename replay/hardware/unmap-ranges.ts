import { runsOf } from './contiguous-runs.ts';
import type { HeldPages, UnmapStep } from './fills.ts';

/**
 * Which ranges the kernel takes out of a domain at once when an area goes: a page table is freed only by an
 * unmap that covers all it spans, and each is one event of the kernel's trace.
 */

/** Pages first..first+count-1, from the area's first. */
export interface PageSpan {
  readonly first: number;
  readonly count: number;
}

/** `iopt_area_unpin_domain` reads the runs of an area in batches of 64 KiB, 12 bytes each. */
export const BATCH_RUNS = 5461;
/** `vfio_unmap_unpin` goes run by run. */
export const TYPE1_RUNS = 1;

export function unmappedAtOnce(step: Omit<UnmapStep, 'step'>, batchRuns = BATCH_RUNS): readonly PageSpan[] {
  const { way, fill, pageCount, held } = step;
  if (way === 'whole') return [{ first: 0, count: pageCount }];
  const runs = runsOf(fill.pages, pageCount);
  if (way === 'runs') return runs;
  // Nobody else holds anything, and one batch has room for all: nearly every unmap.
  if (held.length === 0 && runs.length <= batchRuns) return [{ first: 0, count: pageCount }];
  const starts = runs.map(({ first }) => first);
  return inBatches(starts, pageCount, held, batchRuns);
}

/** A batch of pages that is being read: `total` pages, the first of them carried over from before. */
interface Batch {
  total: number;
  runs: number;
}

/**
 * `__iopt_area_unfill_domain`: pages that others hold are not unpinned, but unmapped they are, with what
 * comes after them; an unmap ends where the frames are not contiguous. `starts`: first page of each run.
 */
function inBatches(
  starts: readonly number[],
  pageCount: number,
  held: readonly HeldPages[],
  batchRuns: number,
): PageSpan[] {
  const spans: PageSpan[] = [];
  const batch: Batch = { total: 0, runs: 0 };
  let unmappedEnd = 0;
  const unmapTo = (end: number): void => {
    spans.push({ first: unmappedEnd, count: end - unmappedEnd });
    unmappedEnd = end;
  };
  const unpin = (hole: HeldPages): void => {
    const [, lastOfHole] = hole;
    for (let start = hole[0]; start <= lastOfHole; ) {
      let lastOfBatch = lastOfHole;
      if (unmappedEnd <= lastOfHole) {
        readPages(batch, batchRuns, starts, [Math.max(start, unmappedEnd), lastOfHole]);
        lastOfBatch = start + batch.total - 1;
      }
      if (lastOfBatch === lastOfHole && unmappedEnd <= lastOfHole)
        batch.total += restOfRun(starts, lastOfHole, pageCount);
      if (unmappedEnd <= lastOfBatch) unmapTo(start + batch.total);
      start = lastOfBatch + 1;
      batch.total = unmappedEnd - lastOfBatch - 1;
      batch.runs = batch.total > 0 ? 1 : 0;
    }
  };
  let at = 0;
  for (const [first, last] of held) {
    if (first > at) unpin([at, first - 1]);
    batch.total -= Math.min(batch.total, last - first + 1);
    at = last + 1;
  }
  if (at < pageCount) unpin([at, pageCount - 1]);
  if (unmappedEnd < pageCount) unmapTo(pageCount);
  return spans;
}

/** `batch_from_domain`: reads runs until the batch is full. */
function readPages(
  batch: Batch,
  batchRuns: number,
  starts: readonly number[],
  [from, last]: HeldPages,
): void {
  let run = runAt(starts, from);
  const joins = batch.total > 0 && starts[run] !== from;
  let room = batchRuns - batch.runs + (joins ? 1 : 0);
  let end = from;
  for (; room > 0 && end <= last; room -= 1, run += 1) end = Math.min(last + 1, starts[run + 1] ?? last + 1);
  batch.total += end - from;
}

/** Index of the run that a page lies in. */
function runAt(starts: readonly number[], page: number): number {
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (starts[middle]! <= page) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** `batch_from_domain_continue`: pages behind `last` that are contiguous with it. */
function restOfRun(starts: readonly number[], last: number, pageCount: number): number {
  return (starts[runAt(starts, last) + 1] ?? pageCount) - 1 - last;
}
