import { type ReadTraceOptions, readTrace, type TraceHeader, type TraceSummary } from '../src/trace/index.ts';
import { createRowBlockBuilder } from './row-block.ts';
import type { RowBlock } from './row-bytes.ts';

/** Receives a trace as rows. */
export interface RowVisitor {
  /** Called once, before any rows. */
  header(header: TraceHeader): void;
  rows(block: RowBlock): void;
}

/** Rows of a block unless the caller says otherwise. */
const BATCH_CALLS_DEFAULT = 4096;

/**
 * Reads a trace of any format as rows of the store.
 * @param source A path, or `-` for standard input.
 * @throws TraceError; rows may have been handed over by then.
 */
export async function readRows(
  source: string,
  visitor: RowVisitor,
  options: ReadTraceOptions = {},
): Promise<TraceSummary> {
  const builder = createRowBlockBuilder(options.batchCalls ?? BATCH_CALLS_DEFAULT);
  const flush = (): void => {
    const block = builder.take();
    if (block !== null) visitor.rows(block);
  };
  const summary = await readTrace(
    source,
    {
      header: visitor.header,
      call: (call) => {
        if (builder.add(call)) flush();
      },
    },
    options,
  );
  flush();
  return summary;
}
