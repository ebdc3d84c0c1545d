import type { Call, JsonValue } from '../call.ts';
import { readPlainChunks, sourceName } from '../capture-bytes.ts';
import {
  BATCH_CALLS_DEFAULT,
  type CaptureSummary,
  type CaptureVisitor,
  createCollector,
  type ReadCaptureOptions,
} from '../capture-reader.ts';
import { TraceError } from '../errors.ts';
import { createLineSplitter } from '../line-splitter.ts';
import { detectFormat, findFormat } from './formats.ts';
import type { ForeignFormat, ImportSink } from './importer.ts';
import { createSimpleTraceReader, QEMU_LOG, SIMPLE_MAGIC } from './qemu/index.ts';
import { createSkipCounter } from './skip-counter.ts';
import { isSound } from './sound.ts';

/** What was read, and what is not known of it. */
export interface TraceSummary extends CaptureSummary {
  /** Format that was read: `capture`, or the name of a foreign one. */
  readonly format: string;
  /** Calls that were recorded in part. */
  readonly partial: number;
  /** Calls whose answer may be that of another call. */
  readonly doubtful: number;
  /** Calls that the log does not show, and that other lines leave no doubt about. */
  readonly implied: number;
  /** Events that the recorder lost, as far as it told how many. */
  readonly lost: number;
}

export interface ReadTraceOptions extends ReadCaptureOptions {
  /** A name of `FORMAT_NAMES`; told by the content unless given. */
  readonly format?: string;
}

/** Bytes that are looked at to tell a format. */
const HEAD_BYTES = 128 * 1024;

/** Takes the chunks of a source once its format is known. */
interface ChunkReader {
  push(chunk: Buffer): void;
  lineNumber(): number;
  end(): TraceSummary;
}

/**
 * Reads a trace of any format, a path (plain or gzip) or `-` for standard input, in constant memory. A
 * foreign format is told by its first lines, in the order of `FOREIGN_FORMATS`.
 * @throws TraceError (as a rejection) when the source cannot be read, or is no trace of that format.
 */
export async function readTrace(
  source: string,
  visitor: CaptureVisitor,
  options: ReadTraceOptions = {},
): Promise<TraceSummary> {
  const fileName = sourceName(source);
  const batchCalls = options.batchCalls ?? BATCH_CALLS_DEFAULT;
  let reader: ChunkReader | null = null;
  let head: Buffer[] = [];
  let headBytes = 0;
  const open = (): ChunkReader => {
    const beginning = Buffer.concat(head);
    const isBinary = isBinaryTrace(beginning);
    const text = beginning.toString('utf8', 0, HEAD_BYTES);
    const named = options.format === undefined ? detectFormat(text) : (findFormat(options.format) ?? null);
    const format = isBinary ? QEMU_LOG : named;
    const opened = format === null ? captureReader : foreignReader(format, isBinary);
    const made = opened(fileName, visitor, batchCalls);
    for (const chunk of head) made.push(chunk);
    head = [];
    return made;
  };
  const lineNumber = (): number => reader?.lineNumber() ?? 1;
  for await (const chunk of readPlainChunks(source, options, lineNumber)) {
    if (reader !== null) {
      reader.push(chunk);
      continue;
    }
    head.push(chunk);
    headBytes += chunk.length;
    if (headBytes >= HEAD_BYTES || startsCapture(head[0]!)) reader = open();
  }
  reader ??= open();
  return reader.end();
}

/** A file of the simple backend is told by its magic number. */
function isBinaryTrace(beginning: Buffer): boolean {
  return beginning.subarray(0, SIMPLE_MAGIC.length).equals(SIMPLE_MAGIC);
}

/** A capture is told at once, so that it is read as it arrives. */
function startsCapture(first: Buffer): boolean {
  return first[0] === 0x7b;
}

const NOTHING_MISSING = { partial: 0, doubtful: 0, implied: 0, lost: 0 };

function captureReader(fileName: string, visitor: CaptureVisitor, batchCalls: number): ChunkReader {
  const collector = createCollector(fileName, visitor, batchCalls);
  return {
    push: collector.push,
    lineNumber: collector.lineNumber,
    end: () => ({ format: 'capture', ...NOTHING_MISSING, ...collector.end() }),
  };
}

const foreignReader =
  (format: ForeignFormat, isBinary: boolean) =>
  (fileName: string, visitor: CaptureVisitor, batchCalls: number): ChunkReader => {
    const counts = { callCount: 0, ...NOTHING_MISSING };
    const skips = createSkipCounter();
    let seq = 0;
    let lines = 0;
    let batch: Call[] = [];
    visitor.header?.(format.header);

    const add = (call: Call): void => {
      seq += 1;
      if (visitor.call !== undefined) {
        visitor.call(call);
        return;
      }
      if (batch.push(call) < batchCalls) return;
      visitor.calls?.(batch);
      batch = [];
    };
    const sink: ImportSink = {
      call(unplaced) {
        if (!isSound(unplaced)) {
          skips.add('call with a number that no call can have');
          return -1;
        }
        // The importer gives the object away: a copy of each would cost more than all the rest here.
        const call = Object.assign(unplaced, { seq }) as Call;
        counts.callCount += 1;
        const { partial } = call;
        if (partial !== undefined) {
          counts.partial += 1;
          if (partial.doubtful !== undefined) counts.doubtful += 1;
          if (partial.implied !== undefined) counts.implied += 1;
        }
        add(call);
        return call.seq;
      },
      skip: (name) => skips.add(name),
      lost(events) {
        counts.lost += events ?? 1;
        const fields: Record<string, JsonValue> = events === null ? {} : { events };
        add({ op: 'note', seq, pid: 0, tid: null, tNs: null, extra: null, kind: 'lost', fields });
      },
    };
    const importer = format.start(sink);
    const readBytes = (bytes: Uint8Array, start: number): number => {
      const next = importer.bytes!(bytes, start);
      if (next !== -1) lines += 1;
      return next;
    };
    const readLine = (line: string): void => {
      lines += 1;
      importer.line(line.endsWith('\r') ? line.slice(0, -1) : line);
    };
    const splitter = isBinary
      ? createSimpleTraceReader(fileName, readLine, sink.lost)
      : createLineSplitter(fileName, readLine, 'lenient', importer.bytes === undefined ? null : readBytes);
    return {
      push: splitter.push,
      lineNumber: splitter.lineNumber,
      end() {
        splitter.end();
        importer.end();
        if (lines === 0) throw new TraceError({ fileName, lineNumber: null }, 'holds no lines');
        const skipped = skips.counts();
        // A log in which nothing happened is one; a file without a line of the format is another thing.
        if (seq === 0 && skipped['message'] === lines) {
          const problem = `holds no line of ${format.title}`;
          throw new TraceError({ fileName, lineNumber: null }, problem);
        }
        if (batch.length > 0) visitor.calls?.(batch);
        return { format: format.name, ...counts, skipped };
      },
    };
  };
