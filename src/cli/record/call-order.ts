import { RECORD_TYPE } from './channel-layout.ts';
import { argNumberOf, goneRecord, kindOf, type RawRecord } from './raw-record.ts';

/** A call with its answer, if it was given. */
export interface RecordedCall {
  readonly request: RawRecord;
  /** The same record where one holds both; null while the call runs, and for ever when the process ended. */
  answer: RawRecord | null;
  /** The moment at which it stands in the capture. */
  readonly atNs: number;
  /** Where two moments are the same. */
  readonly arrival: number;
  isOver: boolean;
}

/**
 * Puts the records of all channels into one order.
 *
 * Calls that overlap have no order that a recorder could see. What must hold is that a number is not given
 * out before it was given back: so a call that takes something away (close, munmap, destroy, unmap, detach)
 * stands where it began, and any other where it ended. Whatever order the kernel had, a close then stands
 * before the open that got its number, and a call that happened after another one stands after it.
 */
export interface CallOrder {
  /** Adds the next record of a channel. */
  add(channel: number, record: RawRecord): void;
  /** The process of a channel is gone: what it was about to do stays unanswered. */
  endChannel(channel: number, pid: number, atNs: number): void;
  /** Takes the next call that stands before a moment; null when there is none, or one is still running. */
  takeBefore(atNs: number): RecordedCall | null;
  /** No record comes any more: calls that run stay unanswered. */
  end(): void;
}

/** Starts without calls. */
export function createCallOrder(): CallOrder {
  const running = new Map<number, Map<number, { request: RawRecord; call: RecordedCall | null }>>();
  const heap: RecordedCall[] = [];
  let arrivals = 0;

  const place = (request: RawRecord, answer: RawRecord | null, atNs: number): RecordedCall => {
    const call = { request, answer, atNs, arrival: arrivals, isOver: answer !== null };
    arrivals += 1;
    push(heap, call);
    return call;
  };

  const dropChannel = (channel: number): void => {
    for (const { request, call } of running.get(channel)?.values() ?? []) {
      if (call === null) place(request, null, request.tNs).isOver = true;
      else call.isOver = true;
    }
    running.delete(channel);
  };

  return {
    add(channel, record) {
      if (record.type === RECORD_TYPE.whole) {
        place(record, record, record.tNs);
        return;
      }
      let ours = running.get(channel);
      if (ours === undefined) {
        ours = new Map();
        running.set(channel, ours);
      }
      if (record.type === RECORD_TYPE.enter) {
        const call = takesAway(record) ? place(record, null, record.tNs) : null;
        ours.set(record.call, { request: record, call });
        return;
      }
      const found = ours.get(record.call);
      // Its request was lost with an unfinished record.
      if (found === undefined) return;
      ours.delete(record.call);
      if (found.call === null) {
        place(found.request, record, record.tNs);
        return;
      }
      found.call.answer = record;
      found.call.isOver = true;
    },
    endChannel(channel, pid, atNs) {
      dropChannel(channel);
      place(goneRecord(pid, atNs), null, atNs).isOver = true;
    },
    takeBefore(atNs) {
      const first = heap[0];
      if (first === undefined || first.atNs >= atNs) return null;
      return first.isOver || isReplaced(first, atNs) ? pop(heap) : null;
    },
    end() {
      for (const channel of [...running.keys()]) dropChannel(channel);
    },
  };
}

/** A successful exec does not return: one that has not failed by then has succeeded. */
const EXEC_NS = 1e9;

function isReplaced({ request, atNs }: RecordedCall, nowNs: number): boolean {
  return request.op === 'exec' && nowNs - atNs > EXEC_NS;
}

/** Commands that take something away, by kind of descriptor. */
const TAKING: Readonly<Record<string, readonly number[]>> = {
  iommufd: [0x3b80, 0x3b86, 0x3b72],
  container: [0x3b80, 0x3b86, 0x3b72],
  group: [0x3b69],
  device: [0x3b78],
};

function takesAway(request: RawRecord): boolean {
  const { op } = request;
  if (op === 'ioctl') return TAKING[kindOf(request)]?.includes(argNumberOf(request, 0)) === true;
  return op === 'close' || op === 'munmap' || op === 'exec';
}

function isBefore(one: RecordedCall, other: RecordedCall): boolean {
  return one.atNs < other.atNs || (one.atNs === other.atNs && one.arrival < other.arrival);
}

function push(heap: RecordedCall[], call: RecordedCall): void {
  let at = heap.length;
  heap.push(call);
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (!isBefore(call, heap[parent]!)) break;
    heap[at] = heap[parent]!;
    at = parent;
  }
  heap[at] = call;
}

function pop(heap: RecordedCall[]): RecordedCall {
  const first = heap[0]!;
  const last = heap.pop()!;
  if (heap.length === 0) return first;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child += 1;
    if (!isBefore(heap[child]!, last)) break;
    heap[at] = heap[child]!;
    at = child;
  }
  heap[at] = last;
  return first;
}
