import { lineOf } from './call-lines.ts';
import { type CallOrder, createCallOrder, type RecordedCall } from './call-order.ts';
import { RECORD } from './channel-layout.ts';
import { createProcessBook } from './process-book.ts';
import { readRecord } from './raw-record.ts';
import { FRAME_END, FRAME_WATERMARK, type Spool } from './spool.ts';

/** Turns the frames of a spool into lines of a capture. */
export interface Converter {
  /** Takes frames until so many milliseconds are over or none is left. False when none is left. */
  work(budgetMs: number): boolean;
  /** No frame comes any more: hands over what is left. */
  finish(): void;
  /** Calls that were handed over, by operation. */
  readonly counts: Readonly<Record<string, number>>;
}

/** @param write Takes a line with its newline. */
export function createConverter(spool: Spool, write: (line: string) => void): Converter {
  const order: CallOrder = createCallOrder();
  const counts: Record<string, number> = {};
  /** Processes of channels: the first record of each tells. */
  const owners = new Map<number, number>();
  let seq = 0;
  const emit = (op: string, keys: string): void => {
    seq += 1;
    counts[op] = (counts[op] ?? 0) + 1;
    write(`{"seq":${seq},${keys}}\n`);
  };
  const book = createProcessBook(emit);

  const emitBefore = (atNs: number): void => {
    for (let call = order.takeBefore(atNs); call !== null; call = order.takeBefore(atNs)) emitCall(call);
  };
  const emitCall = (call: RecordedCall): void => {
    if (book.handle(call)) return;
    const keys = lineOf(call);
    if (keys !== null) emit(call.request.op, keys);
    book.after(call);
  };

  const takeFrame = (): boolean => {
    const frame = spool.take();
    if (frame === null) return false;
    const { index, bytes } = frame;
    if (index === FRAME_WATERMARK) emitBefore(bytes.readDoubleLE(0));
    else if (index === FRAME_END) {
      order.endChannel(bytes.readUInt32LE(0), bytes.readUInt32LE(4), bytes.readDoubleLE(8));
    } else {
      for (let at = 0; at < bytes.length; at += bytes.readUInt32LE(at + RECORD.bytes)) {
        const record = readRecord(bytes, at, owners.get(index) ?? bytes.readUInt32LE(at + RECORD.pid));
        if (record.op === 'attach') owners.set(index, record.pid);
        order.add(index, record);
      }
    }
    return true;
  };

  return {
    counts,
    work(budgetMs) {
      const until = performance.now() + budgetMs;
      do {
        if (!takeFrame()) return false;
      } while (performance.now() < until);
      return true;
    },
    finish() {
      while (takeFrame());
      order.end();
      emitBefore(Number.POSITIVE_INFINITY);
    },
  };
}
