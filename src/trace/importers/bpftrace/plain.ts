import { EMPTY_HEADER } from '../../parse-header.ts';
import { createDescriptorTable, kindOfPath } from '../descriptors.ts';
import type { ForeignFormat, ImportSink, LineImporter } from '../importer.ts';
import {
  isReplyTo,
  kindOfCommand,
  noteNewDescriptors,
  observedIoctl,
  unseenParts,
} from '../observed-call.ts';
import { createTimeline } from '../timeline.ts';
import { bytesIn, CHATTER, intIn, LOST, returned, wideIn } from './fields.ts';

/**
 * The output of a bpftrace script that prints the entry and the exit of each ioctl apart, with the struct:
 *
 *     E TID PID NS FD CMD ARGP | BYTES
 *     X TID NS RET | BYTES
 *     o TID PID NS FD PATH         c TID PID NS FD         m TID PID NS FD ADDR LEN OFF
 *
 * An exit names no entry: it belongs to the last entry of its thread. Where events were lost that may be the
 * entry of another call, and nothing in the log tells; see `doubt`.
 */
export const BPFTRACE_PLAIN: ForeignFormat = {
  name: 'bpftrace',
  title: 'bpftrace with one line for entry and exit of each ioctl',
  header: { ...EMPTY_HEADER, producer: 'bpftrace' },
  detects: (line) =>
    /^E \d+ \d+ \d+ -?\d+ 0x[0-9a-f]+ 0x[0-9a-f]+ \|/.test(line) || /^X \d+ \d+ -?\d+ \|/.test(line),
  start: startPlain,
};

interface Entry {
  readonly tid: number;
  readonly pid: number;
  readonly ns: bigint;
  readonly fd: number;
  readonly cmd: number;
  readonly argp: bigint;
  readonly arg: Uint8Array | null;
  /** How many losses had been noticed when it was read. */
  readonly losses: number;
}

interface Exit {
  readonly ns: bigint;
  readonly ret: bigint;
  readonly out: Uint8Array | null;
}

const THREADS_MAX = 65_536;
/**
 * bpftrace tells a loss when it reads the buffer of that CPU again: after at most what the buffers of all
 * other CPUs hold, 64 pages each unless asked for more.
 */
const LINES_HELD = 16_384;

function startPlain(sink: ImportSink): LineImporter {
  const table = createDescriptorTable();
  const open = new Map<number, Entry>();
  const timeline = createTimeline(LINES_HELD);
  let losses = 0;
  let firstNs: bigint | null = null;
  let lastNs = 0n;

  const timeOf = (ns: bigint): number | null => {
    firstNs ??= ns;
    lastNs = ns;
    const since = Number(ns - firstNs);
    return Number.isSafeInteger(since) && since >= 0 ? since : null;
  };
  const lost = (events: number | null): void => {
    losses += 1;
    timeline.add(lastNs, () => sink.lost(events));
  };

  /**
   * Why the answer may be another call's: something was lost since the entry, or before at an unknown place.
   */
  const doubt = (spans: boolean): string | null => {
    if (spans) return 'events were lost between this entry and the exit';
    return losses > 0 ? 'events were lost, and an exit does not name its entry' : null;
  };

  const emit = (entry: Entry, exit: Exit | null): void => {
    const { tid, pid, ns, fd, cmd, argp, arg } = entry;
    const kind = table.kindOf(pid, fd) ?? kindOfCommand(cmd);
    const missing = [...unseenParts(kind, cmd, arg)];
    const result = exit === null ? null : returned(exit.ret);
    const out = exit?.out ?? null;
    if (exit !== null && arg !== null && out === null) missing.push('out');
    const spans = entry.losses < losses;
    const seen = {
      ...{ pid, tid, tNs: timeOf(ns), fd, kind, cmd, argp, arg },
      out: out !== null && arg !== null && Buffer.compare(arg, out) === 0 ? arg : out,
      ...{ result, missing },
    };
    noteNewDescriptors(table, observedIoctl(seen));
    // A loss may be told after the exits that it puts in doubt: they wait for it.
    timeline.add(exit?.ns ?? ns, () => {
      sink.call(observedIoctl({ ...seen, doubtful: exit === null ? null : doubt(spans) }));
    });
  };

  const entered = (
    [, tidText, pidText, nsText, fdText, cmdText, argpText]: string[],
    tail: string,
  ): boolean => {
    const [tid, pid, fd, cmd] = [intIn(tidText), intIn(pidText), intIn(fdText), intIn(cmdText)];
    const [ns, argp] = [wideIn(nsText), wideIn(argpText)];
    const bytes = bytesIn(tail);
    if (tid === null || pid === null || fd === null || cmd === null || ns === null || argp === null)
      return false;
    if (bytes === null || cmd < 0 || cmd > 0xffff_ffff) return false;
    const before = open.get(tid);
    if (before !== undefined) {
      // A thread makes one call at a time: the exit of the one before was lost.
      lost(null);
      open.delete(tid);
      emit(before, null);
    }
    // Eight bytes are read where nothing says how long the struct is: at a null pointer they are nothing.
    const arg = argp === 0n || bytes.length === 0 ? null : bytes;
    if (open.size < THREADS_MAX) open.set(tid, { tid, pid, ns, fd, cmd, argp, arg, losses });
    else sink.skip('entry of one thread too many');
    return true;
  };

  const exited = ([, tidText, nsText, retText]: string[], tail: string): boolean => {
    const [tid, ns, ret] = [intIn(tidText), wideIn(nsText), wideIn(retText)];
    const bytes = bytesIn(tail);
    if (tid === null || ns === null || ret === null || bytes === null) return false;
    const entry = open.get(tid);
    open.delete(tid);
    if (entry === undefined || ns < entry.ns) {
      if (entry !== undefined) emit(entry, null);
      lost(null);
      sink.skip('exit without its entry');
      return true;
    }
    const { arg, fd, pid, cmd } = entry;
    const kind = table.kindOf(pid, fd) ?? kindOfCommand(cmd);
    const out = arg === null || bytes.length === 0 ? null : bytes;
    if (arg !== null && out !== null && !isReplyTo(kind, cmd, arg, out)) {
      emit(entry, null);
      lost(null);
      sink.skip('exit with the struct of another call');
      return true;
    }
    emit(entry, { ns, ret, out });
    return true;
  };

  const other = (line: string): boolean => {
    const fields = line.split(' ');
    const [tid, pid, fd] = [intIn(fields[1]), intIn(fields[2]), intIn(fields[4])];
    const ns = wideIn(fields[3]);
    if (tid === null || pid === null || fd === null || ns === null) return false;
    const at = { pid, tid, tNs: timeOf(ns), extra: null };
    if (fields[0] === 'o') {
      const path = fields.slice(5).join(' ');
      const kind = kindOfPath(path);
      if (kind === null) {
        sink.skip('open of something else');
        return true;
      }
      const partial = { missing: ['flags'] };
      const reply = { replied: true, ret: fd, errno: 0 };
      timeline.add(ns, () => sink.call({ op: 'open', ...at, ...reply, fd, kind, path, flags: 0n, partial }));
      table.opened(pid, fd, kind);
      return true;
    }
    if (fields[0] === 'c') {
      const kind = table.closed(pid, fd);
      if (kind === undefined) sink.skip('close of something else');
      else {
        const reply = { replied: false, ret: 0, errno: 0, partial: { missing: ['ret'] } };
        timeline.add(ns, () => sink.call({ op: 'close', ...at, ...reply, fd, kind }));
      }
      return true;
    }
    const kind = table.kindOf(pid, fd);
    const [addr, len, off] = [wideIn(fields[5]), wideIn(fields[6]), wideIn(fields[7])];
    if (addr === null || len === null || off === null || addr < 0n || len < 0n || off < 0n) return false;
    if (kind === undefined) {
      sink.skip('mmap of something else');
      return true;
    }
    const partial = { missing: ['prot', 'flags', 'ret'] };
    const where = { addr, len, prot: 0, flags: 0n, off, mapped: null, errno: 0 };
    timeline.add(ns, () => sink.call({ op: 'mmap', ...at, fd, kind, ...where, partial }));
    return true;
  };

  return {
    line(line) {
      timeline.tick();
      const bar = line.indexOf('|');
      const head = (bar === -1 ? line : line.slice(0, bar)).trim().split(' ');
      const tail = bar === -1 ? '' : line.slice(bar + 1);
      const type = line.slice(0, 2);
      let read = true;
      if (type === 'E ') read = entered(head, tail);
      else if (type === 'X ') read = exited(head, tail);
      else if (type === 'o ' || type === 'c ' || type === 'm ') read = other(line);
      else if (LOST.test(line)) lost(Number(LOST.exec(line)![1]));
      else sink.skip(CHATTER.test(line) ? 'words of bpftrace' : 'message');
      if (!read) sink.skip('damaged line');
    },
    end() {
      for (const entry of open.values()) emit(entry, null);
      open.clear();
      timeline.end();
    },
  };
}
