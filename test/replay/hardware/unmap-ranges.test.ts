import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Fill, HeldPages } from '../../../replay/hardware/fills.ts';
import { createPhysicalPages } from '../../../replay/hardware/physical-pages.ts';
import { type PageSpan, unmappedAtOnce } from '../../../replay/hardware/unmap-ranges.ts';

/** Which ranges go at once when an area leaves the domain that its pages are read back from. */

/** Frames that are often contiguous. */
const frames: fc.Arbitrary<number[]> = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 6 }), fc.nat(3)), { minLength: 1, maxLength: 12 })
  .map((runs) => {
    const all: number[] = [];
    for (const [length, gap] of runs) {
      const start = (all.at(-1) ?? 100) + 1 + gap;
      for (let at = 0; at < length; at += 1) all.push(start + at);
    }
    return all;
  });

function fillOf(all: readonly number[]): Fill {
  const told: { first: number; count: number; frame: number }[] = [];
  all.forEach((frame, at) => {
    const last = told.at(-1);
    if (last !== undefined && last.frame + last.count === frame) last.count += 1;
    else told.push({ first: at, count: 1, frame });
  });
  const pages = { runs: [], physical: createPhysicalPages(), pinnedFrom: 0, pinnedUntil: 0, told };
  return {
    row: 0,
    page: 0,
    pageCount: all.length,
    prot: 3,
    pages,
    small: false,
    source: 0,
    firstIndex: 0,
    mm: 0,
    userPage: 0,
  };
}

/** Disjoint ranges inside the pages. */
function heldIn(count: number): fc.Arbitrary<HeldPages[]> {
  return fc.array(fc.boolean(), { minLength: count, maxLength: count }).map((flags) => {
    const held: [number, number][] = [];
    flags.forEach((flag, at) => {
      const last = held.at(-1);
      if (flag && last !== undefined && last[1] === at - 1) last[1] = at;
      else if (flag) held.push([at, at]);
    });
    return held;
  });
}

/**
 * The same page by page, with a list of pages for the batch as the kernel has it. Knows nothing of runs: it
 * asks of each page whether it is contiguous with the one before.
 */
function unmapPagewise(all: readonly number[], held: readonly HeldPages[], batchRuns: number): PageSpan[] {
  const spans: PageSpan[] = [];
  const real = all.length - 1;
  let batch: { pfn: number; count: number }[] = [];
  let unmappedEnd = 0;
  const total = (): number => batch.reduce((sum, { count }) => sum + count, 0);
  const add = (pfn: number, most: number): boolean => {
    const last = batch.at(-1);
    if (last !== undefined && last.pfn + last.count === pfn) last.count += 1;
    else if (batch.length < most) batch.push({ pfn, count: 1 });
    else return false;
    return true;
  };
  const read = (from: number, to: number, most: number): void => {
    for (let at = from; at <= to; at += 1) if (!add(all[at]!, most)) return;
  };
  const keepLast = (count: number): void => {
    const last = batch.at(-1);
    batch = count === 0 ? [] : [{ pfn: last!.pfn + last!.count - count, count }];
  };
  // An entry that was skipped whole keeps its place in the list.
  const skip = (count: number): void => {
    if (batch.length === 0) return;
    const skipped = Math.min(total(), count);
    batch[0] = { pfn: batch[0]!.pfn + skipped, count: batch[0]!.count - skipped };
  };
  const unmap = (first: number, last: number): void => {
    spans.push({ first, count: last - first + 1 });
  };
  const unpin = (start: number, last: number): void => {
    for (let at = start; at <= last; ) {
      let batchLast = last;
      if (unmappedEnd <= last) {
        read(Math.max(at, unmappedEnd), last, batchRuns);
        batchLast = at + total() - 1;
      }
      if (batchLast === last && last !== real) read(last + 1, real, batch.length);
      if (unmappedEnd <= batchLast) {
        unmap(unmappedEnd, at + total() - 1);
        unmappedEnd = at + total();
      }
      at = batchLast + 1;
      keepLast(unmappedEnd - batchLast - 1);
    }
  };
  const isHeld = (at: number): boolean => held.some(([first, last]) => first <= at && at <= last);
  for (let at = 0; at <= real; ) {
    let end = at;
    while (end < real && isHeld(end + 1) === isHeld(at)) end += 1;
    if (isHeld(at)) skip(end - at + 1);
    else unpin(at, end);
    at = end + 1;
  }
  if (unmappedEnd !== real + 1) unmap(unmappedEnd, real);
  return spans;
}

describe('an area that leaves its domain', () => {
  test('goes in the ranges that a page by page reading gives', () => {
    const cases = frames.chain((all) =>
      fc.tuple(fc.constant(all), heldIn(all.length), fc.integer({ min: 2, max: 5 })),
    );
    fc.assert(
      fc.property(cases, ([all, held, batchRuns]) => {
        const step = { fill: fillOf(all), pageCount: all.length, way: 'batches', held } as const;
        expect(unmappedAtOnce(step, batchRuns)).toEqual(unmapPagewise(all, held, batchRuns));
      }),
      { numRuns: 2000, seed: 11 },
    );
  });

  test('goes whole where no page is read back, and run by run out of a classic container', () => {
    fc.assert(
      fc.property(frames, (all) => {
        const step = { fill: fillOf(all), pageCount: all.length, held: [] };
        expect(unmappedAtOnce({ ...step, way: 'whole' })).toEqual([{ first: 0, count: all.length }]);
        const runs = unmappedAtOnce({ ...step, way: 'runs' });
        expect(runs.reduce((sum, { count }) => sum + count, 0)).toBe(all.length);
        for (const { first } of runs.slice(1)) expect(all[first]).not.toBe(all[first - 1]! + 1);
      }),
      { numRuns: 200, seed: 12 },
    );
  });
});
