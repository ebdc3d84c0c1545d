import { parentPort, workerData } from 'node:worker_threads';
import { TraceError } from '../src/trace/index.ts';
import { readRows } from './read-rows.ts';
import type { ReaderMessage, ReaderOrder } from './read-rows-thread.ts';

/** The thread that reads: see read-rows-thread.ts. */
async function main(): Promise<void> {
  const port = parentPort!;
  const { source, options, taken, aheadMax } = workerData as ReaderOrder;
  const send = (message: ReaderMessage, moved: readonly ArrayBuffer[] = []): void =>
    port.postMessage(message, moved);
  let sent = 0;
  try {
    const summary = await readRows(
      source,
      {
        header: (header) => send({ type: 'header', header }),
        rows(block) {
          const { bytes, ends, seqs, checks } = block;
          const memory = [bytes, ends, seqs, checks].map(({ buffer }) => buffer as ArrayBuffer);
          send({ type: 'rows', block }, memory);
          sent += 1;
          // Memory stays bounded when the store is slower than the reader.
          for (let done = Atomics.load(taken, 0); sent - done >= aheadMax; done = Atomics.load(taken, 0)) {
            Atomics.wait(taken, 0, done);
          }
        },
      },
      {
        ...options,
        onProgress: (consumedBytes, totalBytes) => send({ type: 'progress', consumedBytes, totalBytes }),
      },
    );
    send({ type: 'end', summary });
  } catch (error) {
    if (error instanceof TraceError) {
      const { fileName, lineNumber, problem } = error;
      send({ type: 'problem', fileName, lineNumber, problem });
      return;
    }
    throw error;
  }
}

await main();
