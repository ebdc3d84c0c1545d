import { EMPTY_HEADER } from '../../parse-header.ts';
import { createDescriptorTable } from '../descriptors.ts';
import type { ForeignFormat, ImportSink, LineImporter } from '../importer.ts';
import { createTimeline } from '../timeline.ts';
import { type AssembledCall, addBuffer, addBytes, type Line, newCall } from './assembly.ts';
import { bytesIn, CHATTER, intIn, LOST, wideIn } from './fields.ts';
import { createRecords } from './records.ts';

/**
 * The output of recorder/bpftrace/ioasis.bt, version 1: recorder/bpftrace/README.md. Lines of one event
 * share the number of that event in its thread, so nothing is paired by order, and each number that no line
 * has is a loss that is known for certain.
 */
export const BPFTRACE_RECORDER: ForeignFormat = {
  name: 'ioasis-bpftrace',
  title: "ioasis's own bpftrace script",
  header: { ...EMPTY_HEADER, producer: 'ioasis.bt' },
  detects: (line) => /^ioasis-bpftrace 1 \d+$/.test(line),
  start: startRecorder,
};

/** Lines of one event may have lines of other CPUs between them. */
const LINES_HELD = 8192;
const THREADS_MAX = 65_536;

interface Thread {
  /** Number of the last event that was seen. */
  last: number;
  /** The ioctl or write that has not ended; at most one. */
  open: AssembledCall | null;
  /** The call that the last lines belong to: more of them may come. */
  recent: AssembledCall | null;
}

function startRecorder(sink: ImportSink): LineImporter {
  const threads = new Map<number, Thread>();
  const timeline = createTimeline(LINES_HELD);
  const records = createRecords(sink, createDescriptorTable());
  let lastNs = 0n;

  const lost = (events: number | null): void => timeline.add(lastNs, () => sink.lost(events));

  const threadOf = (tid: number): Thread | null => {
    const found = threads.get(tid);
    if (found !== undefined) return found;
    if (threads.size >= THREADS_MAX) return null;
    const made: Thread = { last: 0, open: null, recent: null };
    threads.set(tid, made);
    return made;
  };

  /** A new event of a thread: the numbers between it and the one before are lost. */
  const begin = (thread: Thread, n: number): void => {
    if (n > thread.last + 1) lost(n - thread.last - 1);
    if (n > thread.last) thread.last = n;
    if (thread.open === null) return;
    // Its end was lost: a thread does one thing at a time.
    const { open } = thread;
    thread.open = null;
    lost(1);
    timeline.add(open.ns, () => records.call(open));
  };

  const finish = (thread: Thread, call: AssembledCall, ns: bigint): void => {
    thread.open = null;
    thread.recent = call;
    timeline.add(ns, () => records.call(call));
  };

  /** `exit`: of the event with that number, or of none that is known. */
  const exit = (line: Line, thread: Thread, bytes: Uint8Array): boolean => {
    const ret = wideIn(line.fields[5]);
    if (ret === null) return false;
    const { open } = thread;
    if (open === null || open.n !== line.n) {
      begin(thread, line.n);
      thread.recent = null;
      lost(1);
      sink.skip('exit of a call whose beginning was lost');
      return true;
    }
    open.ret = ret;
    addBytes(open, 'after', 0, bytes);
    finish(thread, open, line.ns);
    return true;
  };

  /** `more` and `buf`: of the event with that number. */
  const continued = (fields: readonly string[], bytes: Uint8Array): boolean => {
    const [tid, n] = [intIn(fields[1]), intIn(fields[3])];
    const when = fields[4];
    if (tid === null || n === null || (when !== 'before' && when !== 'after')) return false;
    const thread = threads.get(tid);
    const call = thread?.open?.n === n ? thread.open : thread?.recent?.n === n ? thread.recent : null;
    if (call === null) {
      sink.skip('part of an event that was lost');
      return true;
    }
    if (fields[0] === 'more') {
      const offset = intIn(fields[5]);
      return offset !== null && addBytes(call, when, offset, bytes);
    }
    const [addr, length, offset] = [wideIn(fields[5]), intIn(fields[6]), intIn(fields[7])];
    if (addr === null || length === null || offset === null) return false;
    return addBuffer(call, when, addr, length, offset, bytes);
  };

  const event = (text: string, fields: readonly string[], bytes: Uint8Array): boolean => {
    const [tid, pid, n] = [intIn(fields[1]), intIn(fields[2]), intIn(fields[3])];
    const ns = wideIn(fields[4]);
    if (tid === null || pid === null || n === null || ns === null || n < 1 || tid < 0 || pid < 0)
      return false;
    const thread = threadOf(tid);
    if (thread === null) return false;
    lastNs = ns;
    const line: Line = { type: fields[0]!, tid, pid, n, ns, fields, text };
    if (line.type === 'exit') return exit(line, thread, bytes);
    begin(thread, n);
    thread.recent = null;
    if (line.type === 'enter' || line.type === 'write') {
      const call = newCall(line, bytes);
      if (call === null) return false;
      thread.open = call;
      return true;
    }
    if (line.type === 'read') {
      const call = newCall(line, bytes);
      if (call === null) return false;
      finish(thread, call, ns);
      return true;
    }
    if (!records.isRecord(line)) return false;
    timeline.add(ns, () => records.record(line));
    if (line.type === 'gone') threads.delete(tid);
    return true;
  };

  /** `@n[TID]: N` at the end: how many events a thread had. */
  const total = (text: string): boolean => {
    const match = /^@n\[(\d{1,10})\]: (\d{1,15})$/.exec(text);
    if (match === null) return false;
    const missing = Number(match[2]) - (threads.get(Number(match[1]))?.last ?? 0);
    if (missing > 0) lost(missing);
    return true;
  };

  return {
    line(text) {
      timeline.tick();
      const bar = text.indexOf('|');
      const fields = (bar === -1 ? text : text.slice(0, bar)).split(' ');
      const type = fields[0]!;
      if (records.isType(type)) {
        // The rest of an open or exec is a path, and may hold anything.
        const bytes =
          bar === -1 || type === 'open' || type === 'exec' ? NO_BYTES : bytesIn(text.slice(bar + 1));
        const isPart = type === 'more' || type === 'buf';
        if (bytes === null || !(isPart ? continued(fields, bytes) : event(text, fields, bytes)))
          sink.skip('damaged line');
      } else if (LOST.test(text)) {
        // How many it were is counted by the numbers of the events.
        sink.skip('report of a loss');
      } else if (total(text)) {
        sink.skip('count of the events of a thread');
      } else if (type === 'ioasis-bpftrace') {
        sink.skip('first line');
      } else {
        sink.skip(CHATTER.test(text) ? 'words of bpftrace' : 'message');
      }
    },
    end() {
      for (const thread of threads.values()) {
        const { open } = thread;
        if (open !== null) timeline.add(open.ns, () => records.call(open));
      }
      timeline.end();
    },
  };
}

const NO_BYTES = new Uint8Array(0);
