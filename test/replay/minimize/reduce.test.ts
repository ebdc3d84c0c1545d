import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { reduce } from '../../../replay/index.ts';

/** Sets of records, as bit masks: any function of them is a test that a reduction may meet. */
const RECORDS = 9;

function lastOf(start: readonly number[], test: (keep: readonly number[]) => readonly number[] | null) {
  const steps = reduce(start, test);
  let tests = 0;
  for (;;) {
    const step = steps.next();
    if (step.done) return { best: step.value, tests };
    tests = step.value.tests;
  }
}

const maskOf = (keep: readonly number[]): number => keep.reduce((mask, record) => mask | (1 << record), 0);

describe('a reduction', () => {
  test('ends at a set that shows it and of which no single record can go, whatever the test is', () => {
    const shown = fc.uint8Array({ minLength: 2 ** RECORDS, maxLength: 2 ** RECORDS });
    fc.assert(
      fc.property(shown, (table) => {
        const all = Array.from({ length: RECORDS }, (_, record) => record);
        // A third of all sets show it, in no order at all; the whole one does.
        const shows = (keep: readonly number[]): boolean =>
          keep.length === RECORDS || table[maskOf(keep)]! < 85;
        const { best } = lastOf(all, (keep) => (shows(keep) ? keep : null));
        expect(shows(best)).toBe(true);
        if (best.length === 1) return;
        for (const record of best) expect(shows(best.filter((each) => each !== record))).toBe(false);
      }),
    );
  });

  test('takes out with a record what builds on it', () => {
    // Each record needs the one of half its number; 11 is wanted.
    const close = (keep: readonly number[]): readonly number[] => {
      const kept = new Set<number>();
      for (const record of keep) if (record === 0 || kept.has(record >> 1)) kept.add(record);
      return [...kept];
    };
    const all = Array.from({ length: 1000 }, (_, record) => record);
    const { best, tests } = lastOf(all, (keep) => {
      const kept = close(keep);
      return kept.includes(11) ? kept : null;
    });
    expect(best).toEqual([0, 1, 2, 5, 11]);
    expect(tests).toBeLessThan(200);
  });

  test('of a long list takes few tests when few records matter', () => {
    const all = Array.from({ length: 100_000 }, (_, record) => record);
    const wanted = [17, 40_000, 40_001, 99_999];
    const { best, tests } = lastOf(all, (keep) => {
      const kept = new Set(keep);
      return wanted.every((record) => kept.has(record)) ? keep : null;
    });
    expect(best).toEqual(wanted);
    expect(tests).toBeLessThan(400);
  });
});
