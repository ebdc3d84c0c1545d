import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { addFrames, createFrameLog, frameBetween, toldRanges } from '../../../replay/hardware/frame-log.ts';
import { UNKNOWN_FRAME } from '../../../replay/hardware/table-format.ts';

/** What notes told of frames, beside a list that is read from its start for every question. */

interface Told {
  readonly object: number;
  readonly page: number;
  readonly pages: number;
  readonly frame: number;
}

/** Pages near the bounds of chunks, and entries of more pages than a chunk has. */
const page = fc.oneof(fc.nat(12), fc.integer({ min: 506, max: 518 }), fc.integer({ min: 1020, max: 1030 }));
const told: fc.Arbitrary<Told> = fc.record({
  object: fc.nat(1),
  page,
  pages: fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 500, max: 1200 })),
  frame: fc.integer({ min: 1, max: 1e6 }),
});

function naive(all: readonly Told[], object: number, at: number, from: number, until: number): number {
  const covers = (each: Told): boolean =>
    each.object === object && at >= each.page && at < each.page + each.pages;
  const found =
    all.slice(from, until).find(covers) ?? all.slice(0, Math.min(from, until)).findLast(covers) ?? null;
  return found === null ? UNKNOWN_FRAME : found.frame + at - found.page;
}

describe('the frame of a page', () => {
  test('is what the first note while it is pinned tells, else the last one before', () => {
    const question = fc.tuple(fc.nat(1), page, fc.nat(20), fc.nat(20));
    fc.assert(
      fc.property(fc.array(fc.tuple(told, question), { minLength: 1, maxLength: 20 }), (steps) => {
        const log = createFrameLog();
        const all: Told[] = [];
        for (const [entry, [object, at, one, other]] of steps) {
          all.push(entry);
          addFrames(log, entry.object, entry.page, entry.pages, entry.frame);
          const from = Math.min(one, other);
          const until = Math.max(one, other);
          expect(frameBetween(log, object, at, from, until)).toBe(naive(all, object, at, from, until));
        }
      }),
      { numRuns: 2000 },
    );
  });

  test('is unknown outside of the ranges that entries tell of', () => {
    fc.assert(
      fc.property(
        fc.array(told, { maxLength: 6 }),
        page,
        fc.integer({ min: 1, max: 2000 }),
        (all, first, count) => {
          const log = createFrameLog();
          for (const { object, page: at, pages, frame } of all) addFrames(log, object, at, pages, frame);
          const ranges = toldRanges(log, 0, first, count);
          for (let index = 0; index < count; index += 1) {
            if (ranges.some(([from, end]) => index >= from && index < end)) continue;
            expect(frameBetween(log, 0, first + index, 0, all.length)).toBe(UNKNOWN_FRAME);
          }
        },
      ),
      { numRuns: 200 },
    );
  });
});
