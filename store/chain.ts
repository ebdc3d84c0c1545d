import { createHash, type Hash } from 'node:crypto';
import { COLUMN_COUNT, type Row, writeWord } from './row.ts';

/** Calls that one link of the chain covers, counted from the start of the trace. */
export const LINK_CALLS = 4096;

const TAG_NULL = 0;
const TAG_INTEGER = 1;
const TAG_TEXT = 2;
/** A value of a type that no column has: somebody changed it by hand. */
const TAG_OTHER = 3;

const SCRATCH_BYTES = 64 * 1024;
/** Room for a row without text: for each column a tag and eight bytes. */
const ROW_BYTES_MAX = COLUMN_COUNT * 9;

/** A link: the hash over all rows up to and with it. */
export interface Link {
  readonly index: number;
  /** Null for the closing link of an empty trace. */
  readonly lastSeq: number | null;
  readonly hash: Buffer;
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
  /** Closes the chain of a trace that gets no more rows. */
  end(end: ChainEnd): Link;
}

/** Hash that the chain of a trace starts from: it covers the header. */
export function firstHash(header: string | null): Buffer {
  return createHash('sha256')
    .update(`ioasis-log-1\n${header ?? ''}`)
    .digest();
}

/** Starts a chain at the beginning of a trace. */
export function createChainBuilder(header: string | null): ChainBuilder {
  const scratch = Buffer.alloc(SCRATCH_BYTES);
  const view = new DataView(scratch.buffer, scratch.byteOffset, scratch.length);
  let usedBytes = 0;
  let hash: Hash = createHash('sha256').update(firstHash(header));
  let linkIndex = 0;
  let linkCalls = 0;
  let lastSeq: number | null = null;

  const flush = (): void => {
    hash.update(scratch.subarray(0, usedBytes));
    usedBytes = 0;
  };

  const addText = (text: string): void => {
    const bytes = Buffer.from(text);
    view.setUint32(usedBytes, bytes.length, true);
    usedBytes += 4;
    flush();
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

  const link = (): Link => {
    flush();
    const digest = hash.digest();
    hash = createHash('sha256').update(digest);
    linkCalls = 0;
    return { index: linkIndex++, lastSeq, hash: digest };
  };

  return {
    add(row) {
      if (usedBytes + ROW_BYTES_MAX > SCRATCH_BYTES) flush();
      for (let column = 0; column < COLUMN_COUNT; column++) addValue(row[column]);
      lastSeq = row[0] as number;
      return ++linkCalls === LINK_CALLS ? link() : null;
    },
    end({ callCount, skipped }) {
      flush();
      hash.update(`end ${callCount} ${skipped}`);
      return link();
    },
  };
}
