import { writeSync } from 'node:fs';
import { fileError, OutputClosedError } from './errors.ts';

/** Text that is gathered before it is written. */
const BUFFER_CHARS = 64 * 1024;
/** Pause before a pipe that is full and does not block is tried again. */
const RETRY_MS = 2;

/** Buffered text for a descriptor. */
export interface Output {
  write(text: string): void;
  /** Writes out what is gathered. */
  flush(): void;
}

/**
 * Opens a descriptor for text. Writing is synchronous: a command that prints a million lines from one loop
 * holds 64 KiB of them, and notices at once when the reader goes.
 * @param name Name in messages.
 * @param encode Makes the bytes of a piece of text; UTF-8 unless given.
 * @throws OutputClosedError from write and flush; UsageError when the descriptor cannot be written.
 */
export function openOutput(fd: number, name: string, encode: (text: string) => Buffer = Buffer.from): Output {
  let gathered = '';
  const flush = (): void => {
    const bytes = encode(gathered);
    gathered = '';
    writeAll(fd, name, bytes);
  };
  return {
    write(text) {
      gathered += text;
      if (gathered.length >= BUFFER_CHARS) flush();
    },
    flush,
  };
}

/** Writes text to stderr at once; a stderr that is gone is nothing to fail for. */
export function writeStderr(text: string): void {
  try {
    writeAll(2, '<stderr>', Buffer.from(text));
  } catch {
    // There is nobody left to tell.
  }
}

function writeAll(fd: number, name: string, bytes: Buffer): void {
  let written = 0;
  while (written < bytes.length) {
    try {
      written += writeSync(fd, bytes, written);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EPIPE') throw new OutputClosedError();
      if (code !== 'EAGAIN') throw fileError(name, error);
      // Another process made the shared pipe non-blocking.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
    }
  }
}
