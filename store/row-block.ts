import { crc32 } from 'node:zlib';
import type { Call } from '../src/trace/index.ts';
import { CHECK_BYTES, type RowBlock, rowBytesMax, writeRowBytes } from './row-bytes.ts';
import { createRowEncoder } from './row-encode.ts';

/** Gathers calls into blocks. */
export interface RowBlockBuilder {
  /** Adds a call, which may change afterwards; answers whether the block is full: then it is to be taken. */
  add(call: Call): boolean;
  /** Ends the block and begins another; its memory is the caller's. Null when it has no row. */
  take(): RowBlock | null;
}

/** A block of this many bytes is full, however few rows it has. */
const BLOCK_BYTES = 4 * 1024 * 1024;
const FIRST_BYTES = 64 * 1024;
const FIRST_ROWS = 1024;

/** Makes a builder for the calls of one trace, which come in order. */
export function createRowBlockBuilder(batchCalls: number): RowBlockBuilder {
  const encode = createRowEncoder();
  let bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
  let view = new DataView(bytes.buffer);
  let used = 0;
  let ends = new Uint32Array(FIRST_ROWS);
  let seqs = new Float64Array(FIRST_ROWS);
  let rows = 0;

  const makeRoom = (wanted: number): void => {
    const grown = Buffer.allocUnsafeSlow(Math.max(bytes.length * 2, used + wanted));
    bytes.copy(grown, 0, 0, used);
    bytes = grown;
    view = new DataView(bytes.buffer);
  };

  return {
    add(call) {
      const row = encode(call);
      const wanted = rowBytesMax(row);
      if (used + wanted > bytes.length) makeRoom(wanted);
      used = writeRowBytes(view, bytes, used, row);
      if (rows === ends.length) {
        ends = longer(ends, new Uint32Array(rows * 2));
        seqs = longer(seqs, new Float64Array(rows * 2));
      }
      seqs[rows] = call.seq;
      ends[rows++] = used;
      return rows >= batchCalls || used >= BLOCK_BYTES;
    },
    take() {
      if (rows === 0) return null;
      const checks = Buffer.allocUnsafeSlow(rows * CHECK_BYTES);
      let start = 0;
      for (let row = 0; row < rows; row++) {
        const end = ends[row]!;
        checks.writeUInt32LE(crc32(bytes.subarray(start, end)), row * CHECK_BYTES);
        start = end;
      }
      const block = {
        bytes: bytes.subarray(0, used),
        ends: ends.slice(0, rows),
        seqs: seqs.slice(0, rows),
        checks,
      };
      bytes = Buffer.allocUnsafeSlow(Math.min(bytes.length, BLOCK_BYTES));
      view = new DataView(bytes.buffer);
      used = 0;
      rows = 0;
      return block;
    },
  };
}

function longer<T extends Uint32Array | Float64Array>(values: T, longerOnes: T): T {
  longerOnes.set(values);
  return longerOnes;
}
