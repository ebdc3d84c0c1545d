import { closeSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** A file of the spool is given back to the disk as soon as this much of it is read. */
const FILE_BYTES = 64 * 1024 * 1024;
const FRAME_BYTES = 8;

/** What a frame of the spool holds, besides the records of a channel. */
export const FRAME_WATERMARK = 0xffff_ffff;
export const FRAME_END = 0xffff_fffe;

/**
 * Records on their way from the channels to the capture: first in, first out, on disk. A program is never made
 * to wait for the compression of what it did, and memory stays bounded however far that lags behind.
 */
export interface Spool {
  /** Adds a frame of a channel, or with one of the constants above. */
  append(index: number, bytes: Buffer): void;
  /** Takes the oldest frame; null when there is none. The bytes are valid until the next call. */
  take(): { readonly index: number; readonly bytes: Buffer } | null;
  close(): void;
}

/** Opens an empty spool in a folder. */
export function openSpool(folder: string): Spool {
  const pathOf = (number: number): string => join(folder, `spool.${number}`);
  const open = (number: number): SpoolFile => ({
    number,
    fd: openSync(pathOf(number), 'wx+'),
    written: 0,
    read: 0,
  });
  const files = [open(0)];
  const frame = Buffer.alloc(FRAME_BYTES);
  let content = Buffer.alloc(1024 * 1024);

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
        rmSync(pathOf(first.number));
        files.shift();
        first = files[0]!;
      }
      readAll(first.fd, frame, FRAME_BYTES, first.read);
      const length = frame.readUInt32LE(4);
      if (content.length < length) content = Buffer.alloc(length);
      readAll(first.fd, content, length, first.read + FRAME_BYTES);
      first.read += FRAME_BYTES + length;
      return { index: frame.readUInt32LE(0), bytes: content.subarray(0, length) };
    },
    close() {
      for (const { fd, number } of files.splice(0)) {
        closeSync(fd);
        rmSync(pathOf(number), { force: true });
      }
    },
  };
}

interface SpoolFile {
  readonly number: number;
  readonly fd: number;
  written: number;
  read: number;
}

function writeAll(fd: number, bytes: Buffer, position: number): void {
  for (let done = 0; done < bytes.length; ) {
    done += writeSync(fd, bytes, done, bytes.length - done, position + done);
  }
}

function readAll(fd: number, to: Buffer, length: number, position: number): void {
  for (let done = 0; done < length; ) done += readSync(fd, to, done, length - done, position + done);
}
