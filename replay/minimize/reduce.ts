/** What a test of a smaller set says: the records that are left of it, or null when it does not show it. */
export type ReduceTest = (keep: readonly number[]) => readonly number[] | null;

/** How far a reduction is. */
export interface ReduceStep {
  /** The smallest set so far that shows it. */
  readonly best: readonly number[];
  readonly tests: number;
}

/**
 * Delta debugging: takes out pieces, from the last to the first, of half the set and then of smaller and
 * smaller parts, as long as what is left still shows it; ends when no single record can go (1-minimal).
 * Yields after every test, so that whoever drives it can show progress and stop.
 *
 * A test may answer that it kept less than it was given: records whose maker was taken out go with it.
 * (Zeller, Hildebrandt: Simplifying and Isolating Failure-Inducing Input, 2002; the order is that of
 * syzkaller's and C-Reduce's line passes, which test linearly many sets for each size.)
 * @param start A set that shows it.
 */
export function* reduce(
  start: readonly number[],
  test: ReduceTest,
): Generator<ReduceStep, readonly number[], void> {
  let best = start;
  let tests = 0;
  let size = Math.max(1, Math.ceil(start.length / 2));
  for (;;) {
    const before = best.length;
    // From the end: what comes later builds on what came before.
    for (let end = best.length; end > 0; ) {
      const from = Math.max(0, end - size);
      const smaller = [...best.slice(0, from), ...best.slice(end)];
      const left = smaller.length === 0 ? null : test(smaller);
      tests += 1;
      if (left !== null) best = left;
      // Records before the piece may have gone with it.
      end = Math.min(from, best.length);
      yield { best, tests };
    }
    if (size > 1) size = Math.max(1, Math.ceil(Math.min(size, best.length) / 2));
    else if (best.length === before) return best;
  }
}
