/** What only one of two lists has. */
export interface ListDifference {
  readonly onlyA: readonly string[];
  readonly onlyB: readonly string[];
  readonly countA: number;
  readonly countB: number;
}

/** Things that are listed of each side. */
export const LISTED = 16;

/** Compares lists whose order says nothing; null when both hold the same, as often. */
export function compareLists(a: readonly string[], b: readonly string[]): ListDifference | null {
  const [onlyA, onlyB] = [without(a, b), without(b, a)];
  if (onlyA.length + onlyB.length === 0) return null;
  return {
    onlyA: onlyA.slice(0, LISTED),
    onlyB: onlyB.slice(0, LISTED),
    countA: onlyA.length,
    countB: onlyB.length,
  };
}

function without(list: readonly string[], other: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const text of other) counts.set(text, (counts.get(text) ?? 0) + 1);
  return list.filter((text) => {
    const left = counts.get(text) ?? 0;
    counts.set(text, left - 1);
    return left <= 0;
  });
}
