/**
 * Sets of whole numbers as ascending, disjoint, not adjacent intervals: which tables of a level there are.
 * Both ends are inclusive.
 */
export interface Intervals {
  readonly firsts: number[];
  readonly lasts: number[];
}

export function createIntervals(): Intervals {
  return { firsts: [], lasts: [] };
}

/** Index of the first interval that ends at or above the number. */
function intervalFor({ lasts }: Intervals, number: number): number {
  let low = 0;
  let high = lasts.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (lasts[middle]! >= number) high = middle;
    else low = middle + 1;
  }
  return low;
}

export function hasNumber(set: Intervals, number: number): boolean {
  const at = intervalFor(set, number);
  return at < set.firsts.length && set.firsts[at]! <= number;
}

/** The lowest number of the set at or above this one; Infinity when there is none. */
export function numberFrom(set: Intervals, number: number): number {
  const at = intervalFor(set, number);
  return at < set.firsts.length ? Math.max(set.firsts[at]!, number) : Number.POSITIVE_INFINITY;
}

export function addNumbers(set: Intervals, first: number, last: number): void {
  const from = intervalFor(set, first - 1);
  if (from < set.firsts.length && set.firsts[from]! <= first && set.lasts[from]! >= last) return;
  let to = from;
  let low = first;
  let high = last;
  for (; to < set.firsts.length && set.firsts[to]! <= last + 1; to += 1) {
    low = Math.min(low, set.firsts[to]!);
    high = Math.max(high, set.lasts[to]!);
  }
  set.firsts.splice(from, to - from, low);
  set.lasts.splice(from, to - from, high);
}

export function removeNumbers(set: Intervals, first: number, last: number): void {
  if (first > last) return;
  const from = intervalFor(set, first);
  if (from === set.firsts.length || set.firsts[from]! > last) return;
  const firsts: number[] = [];
  const lasts: number[] = [];
  let to = from;
  for (; to < set.firsts.length && set.firsts[to]! <= last; to += 1) {
    if (set.firsts[to]! < first) {
      firsts.push(set.firsts[to]!);
      lasts.push(first - 1);
    }
    if (set.lasts[to]! > last) {
      firsts.push(last + 1);
      lasts.push(set.lasts[to]!);
    }
  }
  set.firsts.splice(from, to - from, ...firsts);
  set.lasts.splice(from, to - from, ...lasts);
}

/** How many numbers there are. */
export function countNumbers({ firsts, lasts }: Intervals): number {
  return firsts.reduce((sum, first, at) => sum + lasts[at]! - first + 1, 0);
}
