import { createReadStream, type Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { createGunzip, type Gunzip } from 'node:zlib';
import { TraceError } from './errors.ts';

/**
 * Bytes of one read. Large enough that the cost of a chunk does not show, small enough to be constant memory.
 */
const CHUNK_BYTES = 256 * 1024;

/**
 * Told after each chunk: bytes consumed as they lie on disk (compressed), and of how many; null when unknown.
 */
export type ProgressListener = (consumedBytes: number, totalBytes: number | null) => void;

/** Options of reading a source. */
export interface SourceOptions {
  readonly onProgress?: ProgressListener;
  /** Read when the source is `-`; the standard input of the process unless given. */
  readonly stdin?: Readable;
}

/** Name of a source in messages. */
export function sourceName(source: string): string {
  return source === '-' ? '<stdin>' : source;
}

/**
 * Streams the plain bytes of a file or of standard input (`-`), unpacking gzip, which is told by its magic
 * bytes and not by the file's name.
 * @throws TraceError for a missing file, a directory, an unreadable file, damaged or truncated gzip. Its line
 * is what `lineNumber` answers at that moment.
 */
export async function* readPlainChunks(
  source: string,
  options: SourceOptions,
  lineNumber: () => number,
): AsyncGenerator<Buffer, void, undefined> {
  const fileName = sourceName(source);
  const input = await openInput(source, options);
  let gunzip: Gunzip | null = null;
  try {
    const raw = meter(input.stream, input.totalBytes, options.onProgress);
    const first = await readFirst(raw);
    if (first.length >= 2 && first[0] === 0x1f && first[1] === 0x8b) {
      gunzip = createGunzip({ chunkSize: CHUNK_BYTES });
      void pump(first, raw, gunzip);
      for await (const chunk of gunzip) yield chunk as Buffer;
    } else {
      if (first.length > 0) yield first;
      yield* raw;
    }
  } catch (error) {
    if (isZlibError(error)) throw new TraceError({ fileName, lineNumber: lineNumber() }, zlibProblem(error));
    if (isSystemError(error)) throw new TraceError({ fileName, lineNumber: null }, systemProblem(error));
    throw error;
  } finally {
    gunzip?.destroy();
    input.stream.destroy();
  }
}

async function openInput(
  source: string,
  options: SourceOptions,
): Promise<{ stream: Readable; totalBytes: number | null }> {
  if (source === '-') return { stream: options.stdin ?? process.stdin, totalBytes: null };
  let stats: Stats;
  try {
    stats = await stat(source);
  } catch (error) {
    if (isSystemError(error))
      throw new TraceError({ fileName: source, lineNumber: null }, systemProblem(error));
    throw error;
  }
  if (stats.isDirectory())
    throw new TraceError({ fileName: source, lineNumber: null }, 'is a directory, not a capture');
  return {
    stream: createReadStream(source, { highWaterMark: CHUNK_BYTES }),
    totalBytes: stats.isFile() ? stats.size : null,
  };
}

async function* meter(
  stream: Readable,
  totalBytes: number | null,
  onProgress: ProgressListener | undefined,
): AsyncGenerator<Buffer, void, undefined> {
  let consumedBytes = 0;
  for await (const chunk of stream) {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : (chunk as Buffer);
    consumedBytes += bytes.length;
    onProgress?.(consumedBytes, totalBytes);
    yield bytes;
  }
}

/** The first chunk, joined with more while it is too short to show its magic bytes. */
async function readFirst(raw: AsyncGenerator<Buffer, void, undefined>): Promise<Buffer> {
  let first: Buffer = Buffer.alloc(0);
  while (first.length < 2) {
    const next = await raw.next();
    if (next.done) break;
    first = first.length === 0 ? next.value : Buffer.concat([first, next.value]);
  }
  return first;
}

/** Feeds the unpacker. A read error destroys it, so that the reader of its output sees that error. */
async function pump(
  first: Buffer,
  raw: AsyncGenerator<Buffer, void, undefined>,
  gunzip: Gunzip,
): Promise<void> {
  try {
    let next: IteratorResult<Buffer, void> = { done: false, value: first };
    while (!next.done) {
      if (gunzip.destroyed) return;
      if (!gunzip.write(next.value)) await drained(gunzip);
      next = await raw.next();
    }
    gunzip.end();
  } catch (error) {
    gunzip.destroy(error as Error);
  }
}

function drained(gunzip: Gunzip): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      gunzip.off('drain', done);
      gunzip.off('close', done);
      resolve();
    };
    gunzip.on('drain', done);
    gunzip.on('close', done);
  });
}

function isZlibError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && String((error as NodeJS.ErrnoException).code).startsWith('Z_');
}

function zlibProblem(error: NodeJS.ErrnoException): string {
  if (error.code === 'Z_BUF_ERROR') return 'the gzip data ends too early: the file was cut off';
  return `the gzip data is damaged (${error.message})`;
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).syscall === 'string';
}

function systemProblem(error: NodeJS.ErrnoException): string {
  if (error.code === 'ENOENT') return 'no such file';
  if (error.code === 'EACCES') return 'permission denied';
  return `cannot be read (${error.code})`;
}
