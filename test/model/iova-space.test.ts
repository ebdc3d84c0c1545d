import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { offsetOf, pageOf, toBigInt } from '../../src/model/address.ts';
import {
  hitsRange,
  holesOf,
  type IovaRange,
  type MergedRanges,
  mergeRanges,
  RANGE_COLUMNS,
} from '../../src/model/iova-space.ts';
import { nearSpan, rangeOf, type Span, span, U64_LAST, u64 } from '../support/wide.ts';

const RUNS = { numRuns: 2_000 };
const spans = fc.array(fc.oneof({ weight: 4, arbitrary: nearSpan }, { weight: 1, arbitrary: span }), {
  maxLength: 12,
});

function spansOf(merged: MergedRanges): Span[] {
  const list: Span[] = [];
  for (let at = 0; at < merged.length; at += RANGE_COLUMNS) {
    const [startPage, startOffset, lastPage, lastOffset] = merged.subarray(at, at + RANGE_COLUMNS);
    list.push({ first: toBigInt(startPage!, startOffset!), last: toBigInt(lastPage!, lastOffset!) });
  }
  return list;
}

function spanOf(range: IovaRange): Span {
  const first = toBigInt(range.startPage, range.startOffset);
  return { first, last: toBigInt(range.lastPage, range.lastOffset) };
}

/** Joined spans by sweeping over every edge: the naive answer. */
function sweep(list: readonly Span[]): Span[] {
  const covered = (at: bigint): boolean => list.some(({ first, last }) => first <= at && at <= last);
  const edges = [...new Set(list.flatMap(({ first, last }) => [first, last]))].sort((a, b) =>
    a < b ? -1 : 1,
  );
  const joined: Span[] = [];
  let first: bigint | null = null;
  for (const at of edges) {
    if (first === null) first = at;
    const isEnd = list.some(({ last }) => last === at) && !(at < U64_LAST && covered(at + 1n));
    if (!isEnd) continue;
    joined.push({ first, last: at });
    first = null;
  }
  return joined;
}

const merge = (list: readonly Span[]): MergedRanges => mergeRanges(list.map(rangeOf));

describe('merged ranges', () => {
  test('cover the same addresses in ascending order, apart from each other', () => {
    fc.assert(
      fc.property(spans, (list) => {
        expect(spansOf(merge(list))).toEqual(sweep(list));
      }),
      RUNS,
    );
  });

  test('do not depend on the order in which the ranges came', () => {
    fc.assert(
      fc.property(spans, (list) => {
        expect(merge([...list].reverse())).toEqual(merge(list));
        expect(merge([...list, ...list])).toEqual(merge(list));
      }),
      RUNS,
    );
  });

  test('are hit by a range exactly when some range overlaps it', () => {
    fc.assert(
      fc.property(spans, fc.oneof(nearSpan, span), (list, { first, last }) => {
        const expected = list.some((other) => other.first <= last && first <= other.last);
        const hit = hitsRange(merge(list), pageOf(first), offsetOf(first), pageOf(last), offsetOf(last));
        expect(hit).toBe(expected);
      }),
      RUNS,
    );
  });
});

describe('the holes between merged ranges', () => {
  test('are the rest of the 64-bit space: together with the ranges they cover all of it once', () => {
    fc.assert(
      fc.property(spans, (list) => {
        const merged = merge(list);
        const all = [...spansOf(merged), ...holesOf(merged).map(spanOf)].sort((a, b) =>
          a.first < b.first ? -1 : 1,
        );
        let next = 0n;
        for (const { first, last } of all) {
          expect(first).toBe(next);
          expect(last).toBeGreaterThanOrEqual(first);
          next = last + 1n;
        }
        expect(next).toBe(U64_LAST + 1n);
      }),
      RUNS,
    );
  });

  test('do not hold an address of a range', () => {
    fc.assert(
      fc.property(spans, u64, (list, at) => {
        const isFree = holesOf(merge(list)).some(
          (hole) => spanOf(hole).first <= at && at <= spanOf(hole).last,
        );
        expect(isFree).toBe(!list.some(({ first, last }) => first <= at && at <= last));
      }),
      RUNS,
    );
  });
});
