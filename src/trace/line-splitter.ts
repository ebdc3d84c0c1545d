import { isUtf8 } from 'node:buffer';
import { TraceError } from './errors.ts';
import { LINE_BYTES_MAX } from './parse-record.ts';

const NEWLINE = 10;

/** Cuts a byte stream at line ends. At most one line and one chunk are held. */
export interface LineSplitter {
  /** Adds bytes, and hands over the lines that are complete now. */
  push(chunk: Buffer): void;
  /** Hands over the last line, if it has no newline. */
  end(): void;
  /** Number of the line that is being read, from 1. */
  lineNumber(): number;
}

/**
 * Reads a line from its bytes, and answers where the next one begins; -1 for a line that is wanted as text.
 * The bytes are those of whole lines.
 */
export type ByteLineReader = (bytes: Uint8Array, start: number, lineNumber: number) => number;

/**
 * Makes a splitter that calls `visit` for each line that is not blank. `lenient`: bytes that are not UTF-8
 * become replacement characters, as a log may hold them.
 * @param readBytes Is asked first for each line, if given.
 * @throws TraceError from push and end: a line that is too long, or that is not UTF-8.
 */
export function createLineSplitter(
  fileName: string,
  visit: (line: string, lineNumber: number) => void,
  text: 'strict' | 'lenient' = 'strict',
  readBytes: ByteLineReader | null = null,
): LineSplitter {
  let pieces: Buffer[] = [];
  let heldBytes = 0;
  let lineNumber = 1;

  const fail = (problem: string): never => {
    throw new TraceError({ fileName, lineNumber }, problem);
  };

  const visitText = (lines: string): void => {
    let start = lineNumber === 1 && lines.charCodeAt(0) === 0xfeff ? 1 : 0;
    while (start < lines.length) {
      const newline = lines.indexOf('\n', start);
      const end = newline === -1 ? lines.length : newline;
      const line = lines.slice(start, end);
      // Short enough to be blank: anything longer starts with a record or is an error that parsing names.
      if (line.length > 2 || line.trim() !== '') visit(line, lineNumber);
      lineNumber++;
      start = end + 1;
    }
  };

  /** Lines one by one, as bytes where that is enough. */
  const visitLines = (block: Buffer, read: ByteLineReader): void => {
    for (let start = 0; start < block.length; ) {
      const next = read(block, start, lineNumber);
      if (next !== -1) {
        lineNumber++;
        start = next;
        continue;
      }
      const newline = block.indexOf(NEWLINE, start);
      const end = newline === -1 ? block.length : newline + 1;
      visitText(block.toString('utf8', start, end));
      start = end;
    }
  };

  const visitBytes = (block: Buffer): void => {
    if (text === 'lenient' || isUtf8(block)) {
      if (readBytes === null) visitText(block.toString('utf8'));
      else visitLines(block, readBytes);
      return;
    }
    // What stands before the bad line is read first, so that an earlier error is the one that is reported.
    let start = 0;
    for (;;) {
      const newline = block.indexOf(NEWLINE, start);
      const line = block.subarray(start, newline === -1 ? block.length : newline + 1);
      if (!isUtf8(line)) fail('is not UTF-8 text; a capture is JSON lines, plain or gzip');
      visitText(line.toString('utf8'));
      start += line.length;
    }
  };

  const take = (last: Buffer): Buffer => {
    const block = pieces.length === 0 ? last : Buffer.concat([...pieces, last]);
    pieces = [];
    heldBytes = 0;
    return block;
  };

  return {
    push(chunk) {
      const newline = chunk.lastIndexOf(NEWLINE);
      if (newline !== -1) visitBytes(take(chunk.subarray(0, newline + 1)));
      const rest = chunk.subarray(newline + 1);
      if (rest.length === 0) return;
      pieces.push(rest);
      heldBytes += rest.length;
      if (heldBytes > LINE_BYTES_MAX) fail(`line is longer than ${LINE_BYTES_MAX} bytes; is this a capture?`);
    },
    end() {
      const block = take(Buffer.alloc(0));
      if (block.length > 0) visitBytes(block);
    },
    lineNumber: () => lineNumber,
  };
}
