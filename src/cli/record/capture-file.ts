import { once } from 'node:events';
import { closeSync, createWriteStream, fsyncSync, openSync, renameSync, rmSync } from 'node:fs';
import type { Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { fileError } from '../errors.ts';

/** Text that is gathered before it is compressed. */
const GATHERED_CHARS = 256 * 1024;
/** Text that waits for the compression before the writer should wait too. */
const WAITING_BYTES = 4 * 1024 * 1024;

/** A capture that is written while a program runs, and gets its name when it is whole. */
export interface CaptureFile {
  write(line: string): void;
  /** True when lines come faster than they are written. */
  isBehind(): boolean;
  /** What went wrong with the file, if anything did. */
  failure(): unknown;
  /** Ends the file and gives it its name. @throws UsageError when it cannot be written. */
  finish(): Promise<void>;
  /** Leaves nothing behind. */
  discard(): void;
}

/**
 * Opens a capture, gzipped when the name ends in `.gz`.
 * @throws UsageError when the place cannot be written.
 */
export function openCaptureFile(path: string): CaptureFile {
  const temporaryPath = `${path}.${process.pid}.tmp`;
  let fd: number;
  try {
    fd = openSync(temporaryPath, 'wx');
  } catch (error) {
    throw fileError(path, error);
  }
  const file = createWriteStream('', { fd, autoClose: false });
  const gzip = path.endsWith('.gz') ? createGzip({ level: 3 }) : null;
  gzip?.pipe(file);
  const sink: Writable = gzip ?? file;
  let failure: unknown = null;
  const ended = finished(file).catch((error: unknown) => {
    failure = error;
  });
  let gathered = '';
  const flush = (): void => {
    if (failure === null && gathered !== '') sink.write(gathered);
    gathered = '';
  };
  return {
    write(line) {
      gathered += line;
      if (gathered.length >= GATHERED_CHARS) flush();
    },
    isBehind: () => sink.writableLength > WAITING_BYTES || file.writableLength > WAITING_BYTES,
    failure: () => failure,
    async finish() {
      flush();
      if (failure === null && sink.writableNeedDrain) await Promise.race([once(sink, 'drain'), ended]);
      if (failure === null) sink.end();
      await ended;
      try {
        if (failure !== null) throw failure;
        fsyncSync(fd);
        closeSync(fd);
        renameSync(temporaryPath, path);
      } catch (error) {
        rmSync(temporaryPath, { force: true });
        throw fileError(path, error);
      }
    },
    discard() {
      sink.destroy();
      rmSync(temporaryPath, { force: true });
    },
  };
}
