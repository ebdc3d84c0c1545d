import { existsSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import {
  type ReadTraceOptions,
  TraceError,
  type TraceHeader,
  type TraceSummary,
} from '../src/trace/index.ts';
import { type RowVisitor, readRows } from './read-rows.ts';
import type { RowBlock } from './row-bytes.ts';

/** What the reading thread is told when it starts. */
export interface ReaderOrder {
  readonly source: string;
  readonly options: ReadTraceOptions;
  /** Blocks that were taken over, counted up by the thread that takes them. */
  readonly taken: Int32Array;
  /** Blocks that may be on their way. */
  readonly aheadMax: number;
}

/** What the reading thread tells. */
export type ReaderMessage =
  | { readonly type: 'header'; readonly header: TraceHeader }
  | { readonly type: 'rows'; readonly block: RowBlock }
  | { readonly type: 'progress'; readonly consumedBytes: number; readonly totalBytes: number | null }
  | { readonly type: 'end'; readonly summary: TraceSummary }
  | {
      readonly type: 'problem';
      readonly fileName: string;
      readonly lineNumber: number | null;
      readonly problem: string;
    };

const AHEAD_MAX = 8;

/** Stands beside this file, in the bundle too; sources that run as they are have none. */
const WORKER = new URL('./read-rows-worker.js', import.meta.url);

/**
 * Reads a file as `readRows` does, on a thread of its own, while this one stores what was read. The same
 * rows come in the same blocks.
 * @throws TraceError
 */
export async function readRowsAhead(
  source: string,
  visitor: RowVisitor,
  options: ReadTraceOptions = {},
): Promise<TraceSummary> {
  if (!existsSync(WORKER)) return await readRows(source, visitor, options);
  const taken = new Int32Array(new SharedArrayBuffer(4));
  const { onProgress, stdin: _, ...plain } = options;
  const workerData: ReaderOrder = { source, options: plain, taken, aheadMax: AHEAD_MAX };
  const worker = new Worker(WORKER, { workerData });
  try {
    return await new Promise<TraceSummary>((resolve, reject) => {
      const take = (message: ReaderMessage): void => {
        switch (message.type) {
          case 'header':
            visitor.header(message.header);
            return;
          case 'rows':
            visitor.rows(message.block);
            Atomics.add(taken, 0, 1);
            Atomics.notify(taken, 0);
            return;
          case 'progress':
            onProgress?.(message.consumedBytes, message.totalBytes);
            return;
          case 'end':
            resolve(message.summary);
            return;
          case 'problem':
            reject(new TraceError(message, message.problem));
        }
      };
      worker.on('message', (message: ReaderMessage) => {
        try {
          take(message);
        } catch (error) {
          reject(error);
        }
      });
      worker.on('error', reject);
      worker.on('exit', () => reject(new Error('the reading thread ended without a word')));
    });
  } finally {
    await worker.terminate();
  }
}
