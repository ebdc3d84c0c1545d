import { statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { readRows, readRowsAhead, type Store, type TraceInfo, type TraceWriter } from '../../store/index.ts';
import {
  mergeTopologies,
  type ProgressListener,
  type Topology,
  type TraceHeader,
  type TraceSummary,
} from '../trace/index.ts';
import { withCleanUp } from './interrupt.ts';

/** Calls that one transaction adds, unless the caller says otherwise. */
export const BATCH_CALLS_DEFAULT = 4096;

/** How a capture, or the log of another tool, becomes a trace. */
export interface ImportOptions {
  readonly name: string;
  /** Kernel release in place of the recorded one. */
  readonly kernel?: string | null;
  /** Hardware facts; each part that is given stands in place of the recorded one. */
  readonly topology?: Topology | null;
  readonly batchCalls?: number;
  readonly onProgress?: ProgressListener;
  /** Format of the source; told by its content when absent. */
  readonly format?: string;
  /** Told what was read, once all was. */
  readonly onSummary?: (summary: TraceSummary) => void;
}

/**
 * Reads a capture, or a log of another tool, into a store and seals the trace. Whatever goes wrong, and on a
 * signal too, nothing of the trace stays there.
 * @param source A path, or `-` for standard input.
 * @throws TraceError, StoreError
 */
export async function importCapture(
  store: Store,
  source: string,
  options: ImportOptions,
): Promise<TraceInfo> {
  let writer: TraceWriter | null = null;
  const begin = (header: TraceHeader): void => {
    writer = store.beginTrace({ name: options.name, header: changedHeader(header, options) });
  };
  const requireWriter = (): TraceWriter => {
    if (writer === null) throw new Error('the reader handed over calls before a header');
    return writer;
  };
  const discard = (): void => writer?.discard();
  return await withCleanUp(discard, async () => {
    try {
      const read = isLong(source) ? readRowsAhead : readRows;
      const summary = await read(
        source,
        { header: begin, rows: (block) => requireWriter().appendBlock(block) },
        {
          batchCalls: options.batchCalls ?? BATCH_CALLS_DEFAULT,
          ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
          ...(options.format === undefined ? {} : { format: options.format }),
        },
      );
      const trace = requireWriter().seal({ skipped: summary.skipped });
      options.onSummary?.(summary);
      return trace;
    } catch (error) {
      discard();
      throw error;
    }
  });
}

/** Files of this many bytes are read on a thread of their own: to start it takes longer for shorter ones. */
const LONG_BYTES = 1024 * 1024;

function isLong(source: string): boolean {
  if (source === '-' || availableParallelism() < 2) return false;
  const stats = statSync(source, { throwIfNoEntry: false });
  return stats?.isFile() === true && stats.size >= LONG_BYTES;
}

function changedHeader(header: TraceHeader, { kernel, topology }: ImportOptions): TraceHeader {
  return {
    ...header,
    kernel: kernel ?? header.kernel,
    topology: topology == null ? header.topology : mergeTopologies(header.topology, topology),
  };
}
