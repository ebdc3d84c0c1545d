import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import {
  CHANNEL_MAGIC,
  FORMAT_VERSION,
  HEADER,
  HEADER_BYTES,
  RECORD,
  RECORD_ALIGN,
  readCount,
  TAIL_BYTES,
  tagOf,
} from './channel-layout.ts';

/** Bytes that one reading takes; larger than any record. */
const READ_BYTES = 1024 * 1024;

/** The ring of one recorded process, seen from the recorder. */
export interface Channel {
  readonly index: number;
  readonly pid: number;
  readonly parentPid: number;
  readonly fd: number;
  readonly dataBytes: number;
  /** Bytes taken so far. */
  tail: number;
  heartbeat: number;
}

/** Takes complete records, which stand one after the other in `bytes`. Valid until the next call. */
export type RecordSink = (channel: Channel, bytes: Buffer) => void;

/** Opens a channel that a process has made; throws when it is none of this version. */
export function openChannel(path: string, index: number): Channel {
  const fd = openSync(path, 'r+');
  const header = Buffer.alloc(64);
  readSync(fd, header, 0, header.length, 0);
  const isOurs =
    header.toString('latin1', 0, 8) === CHANNEL_MAGIC &&
    header.readUInt32LE(HEADER.version) === FORMAT_VERSION;
  if (!isOurs) {
    closeSync(fd);
    throw new Error(
      `${path} is no channel of version ${FORMAT_VERSION}: rebuild with npm run build:recorder`,
    );
  }
  return {
    index,
    pid: header.readUInt32LE(HEADER.pid),
    parentPid: header.readUInt32LE(HEADER.parentPid),
    fd,
    dataBytes: readCount(header, HEADER.dataBytes),
    tail: 0,
    heartbeat: 0,
  };
}

const words = Buffer.alloc(TAIL_BYTES);
const inverted = Buffer.alloc(8);

/** Tells the process how far its ring is taken, that somebody is there, and whether to stop. */
export function acknowledge(channel: Channel, stop = false): void {
  channel.heartbeat += 1;
  words.writeUInt32LE(channel.tail % 2 ** 32, 0);
  words.writeUInt32LE(Math.floor(channel.tail / 2 ** 32), 4);
  for (let at = 0; at < 8; at += 1) inverted[at] = ~words[at]! & 0xff;
  inverted.copy(words, 8);
  words.writeUInt32LE(channel.heartbeat % 2 ** 32, 16);
  words.writeUInt32LE(0, 20);
  words.writeUInt32LE(stop ? 1 : 0, 24);
  words.writeUInt32LE(0, 28);
  writeSync(channel.fd, words, 0, TAIL_BYTES, HEADER.tail);
}

/** How many bytes the process has reserved. A copy is not atomic: two that agree are taken. */
function readHead(channel: Channel): number {
  let before = -1;
  for (;;) {
    readSync(channel.fd, words, 0, 8, HEADER.head);
    const head = readCount(words, 0);
    if (head === before) return head;
    before = head;
  }
}

const chunk = Buffer.alloc(READ_BYTES);

/**
 * Takes all records that were reserved before the call, as far as they are complete.
 * @returns True when all of them were: nothing that was reserved earlier can come later.
 */
export function drainChannel(channel: Channel, sink: RecordSink): boolean {
  const head = readHead(channel);
  while (channel.tail < head) {
    const got = readRing(channel, Math.min(head - channel.tail, READ_BYTES));
    // Other processors may not yet see what was written before the tags, so these bytes are read again.
    const whole = completeBytes(channel.tail, got);
    if (whole === 0) return false;
    if (process.arch !== 'x64') readRing(channel, whole);
    sink(channel, chunk.subarray(0, whole));
    channel.tail += whole;
    acknowledge(channel);
  }
  return true;
}

/**
 * Gives up the record at the tail, which a process reserved that was killed before it had finished it. The
 * next complete record is found by its tag.
 */
export function skipUnfinished(channel: Channel): void {
  const head = readHead(channel);
  for (let from = channel.tail + RECORD_ALIGN; from < head; from += RECORD_ALIGN) {
    const got = readRing({ ...channel, tail: from }, Math.min(head - from, READ_BYTES));
    if (completeBytes(from, got) > 0) {
      channel.tail = from;
      acknowledge(channel);
      return;
    }
  }
  channel.tail = head;
  acknowledge(channel);
}

/** Reads from the tail on into `chunk`; the file has the ring once, so its end is read apart. */
function readRing({ fd, tail, dataBytes }: Channel, bytes: number): number {
  const at = tail % dataBytes;
  const first = Math.min(bytes, dataBytes - at);
  readSync(fd, chunk, 0, first, HEADER_BYTES + at);
  if (first < bytes) readSync(fd, chunk, first, bytes - first, HEADER_BYTES);
  return bytes;
}

/** Bytes of the complete records at the beginning of `chunk`. */
function completeBytes(position: number, got: number): number {
  let at = 0;
  while (at + RECORD.size <= got && chunk.readUInt32LE(at) === tagOf(position + at)) {
    const bytes = chunk.readUInt32LE(at + RECORD.bytes);
    if (bytes < RECORD.size || bytes % RECORD_ALIGN !== 0 || at + bytes > got) break;
    at += bytes;
  }
  return at;
}

/** Lets go of a channel. */
export function closeChannel(channel: Channel): void {
  closeSync(channel.fd);
}
