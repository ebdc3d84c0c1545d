import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import type { Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import type { Call } from './call.ts';
import { callToRecord } from './call-to-record.ts';
import { TraceError } from './errors.ts';
import type { TraceHeader } from './header.ts';
import { headerToRecord } from './parse-header.ts';

/** Writes a capture. Await each step: that is how a slow disk slows the writer down. */
export interface CaptureWriter {
  /** Writes the header line; nothing when there is nothing to say. Call it first or never. */
  writeHeader(header: TraceHeader): Promise<void>;
  writeCalls(calls: readonly Call[]): Promise<void>;
  /** Flushes and closes. The file is complete only after this. */
  close(): Promise<void>;
}

/** One call as a line of a capture, without the newline. `parseRecord` gives an equal call back. */
export function writeRecord(call: Call): string {
  return JSON.stringify(callToRecord(call));
}

/** The header as a line of a capture, without the newline; null when there is nothing to say. */
export function writeHeaderRecord(header: TraceHeader): string | null {
  const record = headerToRecord(header);
  return record === null ? null : JSON.stringify(record);
}

/**
 * Opens a capture for writing.
 * @param destination A path, replaced if it exists, gzipped when it ends in `.gz`; or a stream, which is
 * ended by close() but is the caller's otherwise.
 * @throws TraceError (as a rejection of any step) when the destination cannot be written.
 */
export function openCaptureWriter(destination: string | Writable): CaptureWriter {
  const isPath = typeof destination === 'string';
  const file = isPath ? createWriteStream(destination) : destination;
  const gzip = isPath && destination.endsWith('.gz') ? createGzip() : null;
  const fileName = isPath ? destination : '<stream>';
  if (gzip !== null) gzip.pipe(file);
  const sink: Writable = gzip ?? file;

  let failure: Error | null = null;
  const ended = finished(file).catch((error: Error) => {
    failure = error;
    gzip?.destroy();
  });

  const check = (): void => {
    if (failure === null) return;
    const { code, message } = failure as NodeJS.ErrnoException;
    throw new TraceError({ fileName, lineNumber: null }, `cannot be written (${code ?? message})`);
  };

  const write = async (text: string): Promise<void> => {
    check();
    // A sink that fails never drains: whichever comes first lets the next check see it.
    if (!sink.write(text)) await Promise.race([once(sink, 'drain').catch(() => undefined), ended]);
    check();
  };

  return {
    async writeHeader(header) {
      const line = writeHeaderRecord(header);
      if (line !== null) await write(`${line}\n`);
    },
    async writeCalls(calls) {
      if (calls.length > 0) await write(`${calls.map(writeRecord).join('\n')}\n`);
    },
    async close() {
      sink.end();
      await ended;
      check();
    },
  };
}
