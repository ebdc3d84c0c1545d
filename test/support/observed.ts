import { join } from 'node:path';
import { type Call, readTrace, type TraceSummary } from '../../src/trace/index.ts';

/** Logs of other tools about recorded runs: see PROVENANCE.md beside them. */
export const OBSERVERS = join(import.meta.dirname, '..', 'fixtures', 'linux-6.12-observers');
export const VMM = join(import.meta.dirname, '..', 'fixtures', 'linux-6.12-vmm');
export const CLIENTS = join(import.meta.dirname, '..', 'fixtures', 'linux-6.12-clients');

export interface Observed {
  readonly calls: readonly Call[];
  readonly summary: TraceSummary;
}

/** Reads a whole trace of any format. */
export async function readObserved(path: string, format?: string): Promise<Observed> {
  const calls: Call[] = [];
  const summary = await readTrace(
    path,
    { calls: (batch) => calls.push(...batch) },
    format === undefined ? {} : { format },
  );
  return { calls, summary };
}

/** Lines of the source that the summary accounts for beside the calls. */
export function skippedLines({ summary }: Observed): number {
  return Object.values(summary.skipped).reduce((sum, count) => sum + count, 0);
}
