/** Size of a bounded cache; null is one that never throws anything out. */
export interface Geometry {
  readonly sets: number;
  readonly ways: number;
}

/** More entries than any IOTLB has. */
const MOST = 2 ** 20;

/**
 * Parses `sets=64,ways=8`.
 * @returns null when the text is none.
 */
export function parseGeometry(text: string): Geometry | null {
  const [, sets = '', ways = ''] = /^sets=(\d{1,7}),ways=(\d{1,7})$/.exec(text) ?? [];
  const geometry = { sets: Number(sets), ways: Number(ways) };
  return geometry.sets > 0 && geometry.ways > 0 && geometry.sets * geometry.ways <= MOST ? geometry : null;
}
