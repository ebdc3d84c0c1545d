/** Pairs of positions that a shortest edit script leaves as they are, ascending in both. */
export type Matches = readonly (readonly [number, number])[];

/**
 * Longest common subsequence of two lists of numbers, by the greedy algorithm of Myers ("An O(ND) Difference
 * Algorithm and Its Variations", 1986). Null when they differ in more than `mostEdits` places.
 */
export function matchLists(a: Int32Array, b: Int32Array, mostEdits: number): Matches | null {
  const [n, m] = [a.length, b.length];
  const most = Math.min(n + m, mostEdits);
  const furthest = new Int32Array(2 * most + 3);
  const history: Int32Array[] = [];
  const middle = most + 1;
  for (let edits = 0; edits <= most; edits += 1) {
    history.push(furthest.slice(middle - edits - 1, middle + edits + 2));
    for (let k = -edits; k <= edits; k += 2) {
      const isDown = k === -edits || (k !== edits && furthest[middle + k - 1]! < furthest[middle + k + 1]!);
      let x = isDown ? furthest[middle + k + 1]! : furthest[middle + k - 1]! + 1;
      let y = x - k;
      while (x < n && y < m && a[x] === b[y]) {
        x += 1;
        y += 1;
      }
      furthest[middle + k] = x;
      if (x >= n && y >= m) return walkBack(history, edits, n, m);
    }
  }
  return null;
}

function walkBack(history: readonly Int32Array[], edits: number, n: number, m: number): Matches {
  const matches: [number, number][] = [];
  let [x, y] = [n, m];
  for (let at = edits; at >= 0; at -= 1) {
    // The furthest points before this edit, diagonal k at place k + at + 1.
    const before = history[at]!;
    const k = x - y;
    const place = k + at + 1;
    const isDown = at > 0 && (k === -at || (k !== at && before[place - 1]! < before[place + 1]!));
    const previousK = isDown ? k + 1 : k - 1;
    const startX = at === 0 ? 0 : before[previousK + at + 1]!;
    const startY = at === 0 ? 0 : startX - previousK;
    const [snakeX, snakeY] = at === 0 ? [0, 0] : isDown ? [startX, startY + 1] : [startX + 1, startY];
    while (x > snakeX && y > snakeY) {
      x -= 1;
      y -= 1;
      matches.push([x, y]);
    }
    x = startX;
    y = startY;
  }
  return matches.reverse();
}
