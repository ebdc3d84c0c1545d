import { causeOf } from './causes.ts';
import { isResult } from './counts.ts';
import type { Difference } from './difference.ts';

/** Differences of one capture that are alike: same call, same thing that differs, same cause. */
export interface KnownDifference {
  /** `folder/name` of the capture. */
  readonly fixture: string;
  /** Kind of the descriptor and name of the call. */
  readonly call: string;
  /** The outcome, or for one that diverged `errno`, `ret`, a field of the struct or a buffer. */
  readonly differs: string;
  /** Recorded and predicted result; absent for bytes, whose values say little and change often. */
  readonly recorded?: string;
  readonly predicted?: string;
  readonly cause: string;
  readonly count: number;
  /** Positions of those that diverged, ascending; absent for the others, which are many and all alike. */
  readonly seqs?: readonly number[];
}

/** Puts the differences of one capture together, in the order in which each kind is first seen. */
export function groupDifferences(differences: readonly Difference[]): KnownDifference[] {
  const groups = new Map<string, KnownDifference & { count: number; seqs?: number[] }>();
  for (const difference of differences) {
    const head = headOf(difference, causeOf(difference));
    const key = JSON.stringify(head);
    const isDiverged = difference.divergence !== null;
    const group = groups.get(key) ?? { ...head, count: 0, ...(isDiverged ? { seqs: [] } : {}) };
    groups.set(key, group);
    group.count += 1;
    group.seqs?.push(difference.seq);
  }
  return [...groups.values()];
}

function headOf({ fixture, call, outcome, divergence }: Difference, cause: string) {
  if (divergence === null) return { fixture, call, differs: outcome, cause };
  const { field, recorded, predicted } = divergence;
  if (!isResult(field)) return { fixture, call, differs: field, cause };
  return { fixture, call, differs: field, recorded, predicted, cause };
}

/** One difference a line: an ordinary `git diff` then shows what a change made better or worse. */
export function renderKnown(known: readonly KnownDifference[]): string {
  return known.map((each) => `${JSON.stringify(each)}\n`).join('');
}

export function parseKnown(text: string): KnownDifference[] {
  const lines = text.split('\n').filter((line) => line !== '');
  return lines.map((line) => JSON.parse(line) as KnownDifference);
}
