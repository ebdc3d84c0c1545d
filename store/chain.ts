import { createHash, type Hash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { COLUMN_COUNT, type Row, writeWord } from './row.ts';
import {
  CHECK_BYTES,
  ROW_BYTES_MAX,
  type RowBlock,
  TAG_INTEGER,
  TAG_NULL,
  TAG_OTHER,
  TAG_TEXT,
} from './row-bytes.ts';

/** Calls that one link of the chain covers, counted from the start of the trace. */
export const LINK_CALLS = 4096;

const SCRATCH_BYTES = 64 * 1024;

/**
 * How the hashes of a trace are made. 1: each link hashes the link before and its rows. 2: each link hashes
 * the link before, the hash of its rows and the hash of their checks, so that a part of the log can be proven
 * with hashes of the rest, and a changed row can be named.
 */
export type LogVersion = 1 | 2;

/** What new traces get. */
export const LOG_VERSION: LogVersion = 2;

/** The rows of one link, as hashes. */
export interface LinkBody {
  /** SHA-256 of the rows. */
  readonly rows: Buffer;
  /** One check for each row. */
  readonly checks: Buffer;
}

/** A link: the hash over all rows up to and with it. */
export interface Link {
  readonly index: number;
  /** Null for the closing link of an empty trace. */
  readonly lastSeq: number | null;
  readonly hash: Buffer;
  /** Null in a log of version 1. */
  readonly body: LinkBody | null;
}

/** What the closing link covers beside the rows. */
export interface ChainEnd {
  readonly callCount: number;
  /** The `skipped` column as it stands. */
  readonly skipped: string;
}

/** Folds rows into links. The same rows give the same links, however they were batched. */
export interface ChainBuilder {
  /** Adds a row; answers the link that it completes. */
  add(row: Row): Link | null;
  /** Adds rows of a block, `end` exclusive, at most `rowsLeft()`; answers the link that they complete. */
  addRows(block: RowBlock, from: number, end: number): Link | null;
  /** How many rows complete the link. */
  rowsLeft(): number;
  /** Closes the chain of a trace that gets no more rows. */
  end(end: ChainEnd): Link;
}

const sha256 = (): Hash => createHash('sha256');

/** Hash that the chain of a trace starts from: it covers the header. */
export function firstHash(header: string | null, log: LogVersion): Buffer {
  return sha256()
    .update(`ioasis-log-${log}\n${header ?? ''}`)
    .digest();
}

/** Hash of a link of a version 2 log. `end` is given for the closing one. */
export function hashLink(before: Buffer, rows: Buffer, checksHash: Buffer, end: ChainEnd | null): Buffer {
  const hash = sha256().update(before).update(rows).update(checksHash);
  if (end !== null) hash.update(endText(end));
  return hash.digest();
}

/** What a link hashes of the checks of its rows. */
export function hashChecks(checks: Buffer): Buffer {
  return sha256().update(checks).digest();
}

const endText = ({ callCount, skipped }: ChainEnd): string => `end ${callCount} ${skipped}`;

/** Starts a chain at the beginning of a trace. */
export function createChainBuilder(header: string | null, log: LogVersion): ChainBuilder {
  const rows = createRowHasher();
  let before = firstHash(header, log);
  let linkIndex = 0;
  let lastSeq: number | null = null;
  if (log === 1) rows.start(before);
  else rows.start(null);

  const link = (end: ChainEnd | null): Link => {
    let body: LinkBody | null = null;
    if (log === 1) {
      before = rows.finish(end === null ? null : endText(end)).rows;
      rows.start(before);
    } else {
      body = rows.finish(null);
      before = hashLink(before, body.rows, hashChecks(body.checks), end);
      rows.start(null);
    }
    return { index: linkIndex++, lastSeq, hash: before, body };
  };

  return {
    add(row) {
      lastSeq = row[0] as number;
      return rows.add(row) === LINK_CALLS ? link(null) : null;
    },
    addRows(block, from, end) {
      lastSeq = block.seqs[end - 1]!;
      return rows.addRows(block, from, end) === LINK_CALLS ? link(null) : null;
    },
    rowsLeft: () => LINK_CALLS - rows.count(),
    end: link,
  };
}

/** Hashes the rows of one link after another. */
export interface RowHasher {
  /** Begins a link, with a hash that goes before its rows. */
  start(before: Buffer | null): void;
  /** Adds a row; answers how many the link has. */
  add(row: Row): number;
  /** Adds rows of a block, `end` exclusive; answers how many the link has. */
  addRows(block: RowBlock, from: number, end: number): number;
  /** How many rows the link has. */
  count(): number;
  /** Ends the link, with a text that comes after its rows. */
  finish(end: string | null): LinkBody;
}

/** Makes a hasher with its own scratch memory. */
export function createRowHasher(): RowHasher {
  const scratch = Buffer.alloc(SCRATCH_BYTES);
  const view = new DataView(scratch.buffer, scratch.byteOffset, scratch.length);
  const checks = Buffer.alloc(LINK_CALLS * CHECK_BYTES);
  let hash = sha256();
  let usedBytes = 0;
  let rowStart = 0;
  let check = 0;
  let rowCount = 0;

  const flush = (): void => {
    if (usedBytes > rowStart) check = crc32(scratch.subarray(rowStart, usedBytes), check);
    hash.update(scratch.subarray(0, usedBytes));
    usedBytes = 0;
    rowStart = 0;
  };

  const addText = (text: string): void => {
    const bytes = Buffer.from(text);
    view.setUint32(usedBytes, bytes.length, true);
    usedBytes += 4;
    flush();
    check = crc32(bytes, check);
    hash.update(bytes);
  };

  const addValue = (value: Row[number] | undefined): void => {
    if (value === null || value === undefined) {
      scratch[usedBytes++] = TAG_NULL;
    } else if (typeof value === 'bigint' || (typeof value === 'number' && Number.isInteger(value))) {
      scratch[usedBytes] = TAG_INTEGER;
      writeWord(view, usedBytes + 1, value);
      usedBytes += 9;
    } else {
      scratch[usedBytes++] = typeof value === 'string' ? TAG_TEXT : TAG_OTHER;
      addText(String(value));
    }
  };

  return {
    start(before) {
      hash = sha256();
      if (before !== null) hash.update(before);
      rowCount = 0;
    },
    add(row) {
      if (usedBytes + ROW_BYTES_MAX > SCRATCH_BYTES) flush();
      rowStart = usedBytes;
      check = 0;
      for (let column = 0; column < COLUMN_COUNT; column++) addValue(row[column]);
      check = crc32(scratch.subarray(rowStart, usedBytes), check);
      // What is checked is not checked again when the scratch memory is full.
      rowStart = usedBytes;
      checks.writeUInt32LE(check, rowCount * CHECK_BYTES);
      rowCount += 1;
      return rowCount;
    },
    addRows({ bytes, ends, checks: made }, from, end) {
      flush();
      hash.update(bytes.subarray(from === 0 ? 0 : ends[from - 1]!, ends[end - 1]!));
      checks.set(made.subarray(from * CHECK_BYTES, end * CHECK_BYTES), rowCount * CHECK_BYTES);
      rowCount += end - from;
      return rowCount;
    },
    count: () => rowCount,
    finish(end) {
      flush();
      if (end !== null) hash.update(end);
      return { rows: hash.digest(), checks: Buffer.from(checks.subarray(0, rowCount * CHECK_BYTES)) };
    },
  };
}
