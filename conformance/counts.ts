import type { Outcome } from '../replay/index.ts';

/** How many calls ended how. The last five add up to `calls`. */
export interface Counts {
  calls: number;
  /** The whole recorded reply was predicted. */
  matched: number;
  /** Return value and errno were predicted, and all bytes that can be; some can not. */
  partial: number;
  /** The model does not answer the call. */
  notModelled: number;
  /** Return value or errno were predicted otherwise. */
  wrongResult: number;
  /** Return value and errno were predicted, bytes of the struct or of a user buffer otherwise. */
  wrongBytes: number;
  /** No reply was recorded: there is nothing to compare with. */
  unanswered: number;
  /** Of all calls, those from whose reply a fact was taken, such as the number of a descriptor. */
  learned: number;
}

export function noCounts(): Counts {
  return {
    calls: 0,
    matched: 0,
    partial: 0,
    notModelled: 0,
    wrongResult: 0,
    wrongBytes: 0,
    unanswered: 0,
    learned: 0,
  };
}

const PLAIN = {
  matched: 'matched',
  partial: 'partial',
  'not-modelled': 'notModelled',
  unanswered: 'unanswered',
} as const;

/** Counts one call. `field` is what differs when it diverged: `ret`, `errno`, or a place of bytes. */
export function countCall(counts: Counts, outcome: Outcome, learned: number, field: string | null): void {
  counts.calls += 1;
  if (learned > 0) counts.learned += 1;
  if (outcome !== 'diverged') counts[PLAIN[outcome]] += 1;
  else if (isResult(field)) counts.wrongResult += 1;
  else counts.wrongBytes += 1;
}

export function isResult(field: string | null): boolean {
  return field === 'ret' || field === 'errno';
}

export function addCounts(sum: Counts, more: Counts): void {
  for (const key of Object.keys(sum) as (keyof Counts)[]) sum[key] += more[key];
}

/** Calls whose return value and errno were predicted. */
export function rightResults({ matched, partial, wrongBytes }: Counts): number {
  return matched + partial + wrongBytes;
}

/** Calls that can be right or wrong: all but those without a recorded reply. */
export function comparable({ calls, unanswered }: Counts): number {
  return calls - unanswered;
}
