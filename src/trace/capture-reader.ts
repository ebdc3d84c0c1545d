import type { Call } from './call.ts';
import { readPlainChunks, type SourceOptions, sourceName } from './capture-bytes.ts';
import { TraceError } from './errors.ts';
import type { TraceHeader } from './header.ts';
import { createIoctlLineReader } from './ioctl-line.ts';
import { createLineSplitter } from './line-splitter.ts';
import { EMPTY_HEADER } from './parse-header.ts';
import { parseRecord } from './parse-record.ts';
import { cutOf } from './struct-size.ts';

/** Calls handed over at once unless the caller says otherwise. */
export const BATCH_CALLS_DEFAULT = 1024;

/** Receives a capture as it is read. What a visitor throws ends the reading and reaches the caller. */
export interface CaptureVisitor {
  /** Called once, before any calls; `EMPTY_HEADER` when the capture has none. */
  header?(header: TraceHeader): void;
  /** Called with calls in order. The list is not reused and may be kept. */
  calls?(calls: readonly Call[]): void;
  /**
   * Called with each call in order, in place of `calls`. A frequent call comes in one object that the next
   * one overwrites, with its bytes: what is to be kept of it is copied.
   */
  call?(call: Call): void;
}

/** What was read, once all was read. */
export interface CaptureSummary {
  readonly callCount: number;
  /** Records with an unknown `op`, counted by its name; names in ascending order. */
  readonly skipped: Readonly<Record<string, number>>;
}

/** Options of `readCapture`. */
export interface ReadCaptureOptions extends SourceOptions {
  /** Calls in one batch; 1024 unless given. */
  readonly batchCalls?: number;
}

/** A whole capture in memory. */
export interface Capture extends CaptureSummary {
  readonly header: TraceHeader;
  readonly calls: readonly Call[];
}

/**
 * Reads a capture: a path (plain or gzip) or `-` for standard input, in constant memory.
 * @throws TraceError (as a rejection) naming file and line, when the capture is malformed or cannot be read.
 * Calls before the bad line may have been handed over by then: the caller undoes what it did with them.
 */
export async function readCapture(
  source: string,
  visitor: CaptureVisitor,
  options: ReadCaptureOptions = {},
): Promise<CaptureSummary> {
  const collector = createCollector(sourceName(source), visitor, options.batchCalls ?? BATCH_CALLS_DEFAULT);
  for await (const chunk of readPlainChunks(source, options, collector.lineNumber)) collector.push(chunk);
  return collector.end();
}

/**
 * Reads a capture that is in memory.
 * @param fileName Name in error messages.
 * @throws TraceError naming file and line.
 */
export function parseCapture(text: string, fileName = '<memory>'): Capture {
  const calls: Call[] = [];
  let header = EMPTY_HEADER;
  const visitor: CaptureVisitor = {
    header: (read) => {
      header = read;
    },
    calls: (batch) => {
      for (const call of batch) calls.push(call);
    },
  };
  const collector = createCollector(fileName, visitor, BATCH_CALLS_DEFAULT);
  collector.push(Buffer.from(text));
  const summary = collector.end();
  return { header, calls, ...summary };
}

/** Reads the chunks of a capture. */
export function createCollector(fileName: string, visitor: CaptureVisitor, batchCalls: number) {
  let batch: Call[] = [];
  let callCount = 0;
  let previousSeq = -1;
  let hasHeader = false;
  const skipped = new Map<string, number>();

  const startWith = (header: TraceHeader): void => {
    hasHeader = true;
    visitor.header?.(header);
  };

  const flush = (): void => {
    if (batch.length > 0) visitor.calls?.(batch);
    batch = [];
  };

  const readLine = (line: string, lineNumber: number): void => {
    const record = parseRecord(line, { fileName, lineNumber, previousSeq });
    if (record.type === 'header') {
      if (hasHeader) throw new TraceError({ fileName, lineNumber }, 'the header must be the first record');
      startWith(record.header);
      return;
    }
    if (!hasHeader) startWith(EMPTY_HEADER);
    if (record.type === 'skipped') {
      previousSeq = record.seq;
      skipped.set(record.op, (skipped.get(record.op) ?? 0) + 1);
      return;
    }
    previousSeq = record.call.seq;
    callCount++;
    if (visitor.call !== undefined) visitor.call(record.call);
    else if (batch.push(record.call) >= batchCalls) flush();
  };

  /** Calls that may be overwritten can be read from bytes: what is wrong or unusual is left to `readLine`. */
  const usual = visitor.call === undefined ? null : createIoctlLineReader();
  const readUsual = (bytes: Uint8Array, start: number): number => {
    const next = usual!.read(bytes, start);
    if (next === -1 || !hasHeader || usual!.call.seq <= previousSeq || cutOf(usual!.call) !== null) return -1;
    previousSeq = usual!.call.seq;
    callCount++;
    visitor.call!(usual!.call);
    return next;
  };
  const splitter = createLineSplitter(fileName, readLine, 'strict', usual === null ? null : readUsual);

  return {
    push: splitter.push,
    lineNumber: splitter.lineNumber,
    end(): CaptureSummary {
      splitter.end();
      if (!hasHeader) throw new TraceError({ fileName, lineNumber: null }, 'holds no records');
      flush();
      return { callCount, skipped: Object.fromEntries([...skipped].sort(([a], [b]) => (a < b ? -1 : 1))) };
    },
  };
}
