import { closeSync, openSync, readSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** A file of the spool is given back to the disk as soon as this much of it is read. */
const FILE_BYTES = 64 * 1024 * 1024;
const FRAME_BYTES = 8;
/** Files of the spool that may be in memory at a time. */
const MEMORY_FILES = 4;

/** What a frame of the spool holds, besides the records of a channel. */
export const FRAME_WATERMARK = 0xffff_ffff;
export const FRAME_END = 0xffff_fffe;

/**
 * Records on their way from the channels to the capture: first in, first out, in memory and then on disk. A
 * program is never made to wait for the compression of what it did, and memory stays bounded however far
 * that lags behind.
 */
export interface Spool {
  /** Adds a frame of a channel, or with one of the constants above. */
  append(index: number, bytes: Buffer): void;
  /** Takes the oldest frame; null when there is none. The bytes are the caller's. */
  take(): { readonly index: number; readonly bytes: Buffer } | null;
  close(): void;
}

/**
 * Opens an empty spool.
 * @param memoryFolder Folder of a memory file system, for the first files; the disk is for what is more.
 */
export function openSpool(folder: string, memoryFolder: string): Spool {
  const open = (number: number): SpoolFile => {
    const inMemory = files.filter(({ isInMemory }) => isInMemory).length;
    const isInMemory = inMemory < MEMORY_FILES && freeBytes(memoryFolder) > 4 * FILE_BYTES;
    const path = join(isInMemory ? memoryFolder : folder, `spool.${number}`);
    return { number, path, isInMemory, fd: openSync(path, 'wx+'), written: 0, read: 0 };
  };
  const files: SpoolFile[] = [];
  files.push(open(0));
  const frame = Buffer.alloc(FRAME_BYTES);

  return {
    append(index, bytes) {
      let last = files.at(-1)!;
      if (last.written >= FILE_BYTES) {
        last = open(last.number + 1);
        files.push(last);
      }
      frame.writeUInt32LE(index, 0);
      frame.writeUInt32LE(bytes.length, 4);
      writeAll(last.fd, frame, last.written);
      writeAll(last.fd, bytes, last.written + FRAME_BYTES);
      last.written += FRAME_BYTES + bytes.length;
    },
    take() {
      let first = files[0]!;
      if (first.read === first.written) {
        if (files.length === 1) return null;
        closeSync(first.fd);
        rmSync(first.path);
        files.shift();
        first = files[0]!;
      }
      readAll(first.fd, frame, FRAME_BYTES, first.read);
      const length = frame.readUInt32LE(4);
      const content = Buffer.allocUnsafeSlow(length);
      readAll(first.fd, content, length, first.read + FRAME_BYTES);
      first.read += FRAME_BYTES + length;
      return { index: frame.readUInt32LE(0), bytes: content };
    },
    close() {
      for (const { fd, path } of files.splice(0)) {
        closeSync(fd);
        rmSync(path, { force: true });
      }
    },
  };
}

interface SpoolFile {
  readonly number: number;
  readonly path: string;
  readonly isInMemory: boolean;
  readonly fd: number;
  written: number;
  read: number;
}

function freeBytes(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}

function writeAll(fd: number, bytes: Buffer, position: number): void {
  for (let done = 0; done < bytes.length; ) {
    done += writeSync(fd, bytes, done, bytes.length - done, position + done);
  }
}

function readAll(fd: number, to: Buffer, length: number, position: number): void {
  for (let done = 0; done < length; ) done += readSync(fd, to, done, length - done, position + done);
}
