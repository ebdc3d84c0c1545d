import type { TableDifference } from './compare-dump.ts';
import type { DumpedStream } from './smmu-dump.ts';
import { countBits, maskOf } from './smmu-words.ts';
import type { UnknownBits, Word } from './table-format.ts';

/** Counts words that were compared, one by one. */

export interface Tally {
  entries: number;
  equal: number;
  tables: number;
  /** Stream table entries and context descriptors. */
  deviceEntries: number;
  readonly unknown: Map<string, number>;
  readonly undetermined: { readonly bdf: string; readonly pasid: number }[];
  readonly differences: TableDifference[];
}

/** Where a word stands. */
export type Place = Pick<TableDifference, 'bdf' | 'level' | 'iova' | 'why'>;

export function placeOf({ bdf }: Pick<DumpedStream, 'bdf'>, why: string, level = 0, page = 0): Place {
  return { bdf, level, iova: BigInt(page) * 4096n, why };
}

/** Both null means nothing to compare; one null, that only the other side has it. */
export function compareWord(tally: Tally, place: Place, ours: Word | null, theirs: bigint | null): void {
  tally.entries += 1;
  if (ours === null || theirs === null) {
    const what = ours === null ? 'extra' : 'missing';
    const bits = ours?.value ?? theirs ?? 0n;
    tally.differences.push({ ...place, pasid: 0, what, ours: ours?.value ?? null, theirs, bits });
    return;
  }
  const bits = (ours.value ^ theirs) & ~maskOf(ours.unknown);
  if (bits !== 0n) {
    // Level 0: no entry of a table, but of what leads to it.
    const what = place.level === 0 ? 'device' : 'entry';
    tally.differences.push({ ...place, pasid: 0, what, ours: ours.value, theirs, bits });
    return;
  }
  tally.equal += 1;
  for (const unknown of ours.unknown) countUnknown(tally, unknown);
}

export function countUnknown({ unknown }: Tally, { mask, holds }: UnknownBits): void {
  unknown.set(holds, (unknown.get(holds) ?? 0) + countBits(mask));
}
