import { existsSync } from 'node:fs';
import { openTimeline, type Timeline, type TimelineOptions } from '../../replay/index.ts';
import { UsageError } from './errors.ts';
import { startProgress } from './progress.ts';
import type { Session } from './session.ts';
import { type Target, withTarget } from './target.ts';

/** A trace of two, or a point of one. */
export interface DiffTarget extends Target {
  readonly timeline: Timeline;
  /** Last record that counts. */
  readonly untilSeq: number;
}

/** Splits `TRACE@SEQ`; a name that exists as a file is one. */
export function splitPoint(text: string): { readonly name: string; readonly seq: number | null } {
  const [, name, seq] = /^(.+)@(\d+)$/.exec(text) ?? [];
  if (name === undefined || seq === undefined || existsSync(text)) return { name: text, seq: null };
  return { name, seq: Number(seq) };
}

/**
 * Opens what two arguments name, and closes it after the work.
 * @throws UsageError when there is no such trace, or no such call in it.
 */
export async function withTwo<T>(
  session: Session,
  [a, b]: readonly [string, string],
  options: TimelineOptions,
  work: (a: DiffTarget, b: DiffTarget) => T,
): Promise<T> {
  const [one, other] = [splitPoint(a), splitPoint(b)];
  if (one.name === '-' && other.name === '-')
    throw new UsageError('standard input can be one of the two only');
  return await withTarget(session, one.name, (first) =>
    withTarget(session, other.name, (second) =>
      work(openPoint(session, first, one.seq, options, a), openPoint(session, second, other.seq, options, b)),
    ),
  );
}

function openPoint(
  session: Session,
  target: Target,
  seq: number | null,
  options: TimelineOptions,
  label: string,
): DiffTarget {
  const { store, trace } = target;
  if (seq !== null) {
    const [call] = store.readCallsExact(trace.id, { fromSeq: seq, toSeq: seq });
    if (call === undefined) throw new UsageError(`${target.label}: no call has the number ${seq}`);
  }
  const progress = startProgress(session, 'building the timeline', 'calls');
  try {
    const onProgress = (calls: number): void => progress.update(calls, trace.callCount);
    const timeline = openTimeline(store, trace, { ...options, onProgress });
    return { ...target, label, timeline, untilSeq: seq ?? Number.MAX_SAFE_INTEGER };
  } finally {
    progress.stop();
  }
}
