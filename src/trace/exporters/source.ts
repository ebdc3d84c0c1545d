import type { Call } from '../call.ts';
import type { TraceHeader } from '../header.ts';

/** A trace as an exporter reads it. */
export interface ExportSource {
  /** Name of the trace, for the head of what is written. */
  readonly name: string;
  readonly header: TraceHeader;
  /** Every record, in order; from the beginning each time it is asked for. */
  calls(): Iterable<Call>;
}

/** Takes text as it is made. */
export type WriteText = (text: string) => void;

/** What came of an export. */
export interface ExportSummary {
  /** Records that are in what was written. */
  readonly written: number;
  /** Records that the format cannot hold, by name, in the order of the alphabet. */
  readonly leftOut: Readonly<Record<string, number>>;
}

/** Counts what an export writes and leaves out. */
export interface ExportTally {
  wrote(): void;
  leftOut(name: string): void;
  summary(): ExportSummary;
}

export function createExportTally(): ExportTally {
  let written = 0;
  const names = new Map<string, number>();
  return {
    wrote: () => {
      written += 1;
    },
    leftOut: (name) => {
      names.set(name, (names.get(name) ?? 0) + 1);
    },
    summary: () => ({
      written,
      leftOut: Object.fromEntries([...names].sort(([one], [other]) => (one < other ? -1 : 1))),
    }),
  };
}
