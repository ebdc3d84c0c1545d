import type { JsonValue } from '../../trace/index.ts';
import type { RecordedCall } from './call-order.ts';
import { type Emit, keysText } from './line-keys.ts';
import { createMemoryBook } from './memory-book.ts';
import {
  argNumberOf,
  argOf,
  descriptorsOf,
  errnoOf,
  kindOf,
  type RawRecord,
  retOf,
  textOf,
  tidOf,
} from './raw-record.ts';

/**
 * What the recorder knows of each process, to say in the capture what no single call says: that a process is
 * a child of another, which descriptors it got from it, and which are closed by exec.
 */
export interface ProcessBook {
  /** Writes what a record means that is no call; true when that was all of it. */
  handle(call: RecordedCall): boolean;
  /** Takes note of a call that was written. */
  after(call: RecordedCall): void;
}

/** Kind and path of what a process has open, by number. */
type Descriptors = Map<number, { readonly kind: string; readonly path: string }>;

/** Starts without processes. */
export function createProcessBook(emit: Emit): ProcessBook {
  const processes = new Map<number, Descriptors>();
  const memory = createMemoryBook(emit);
  let lastPid = 0;

  const say = (record: RawRecord, op: string, keys: Readonly<Record<string, JsonValue>>): void =>
    emit(op, keysText({ pid: record.pid, tid: tidOf(record), t_ns: record.tNs, op, ...keys }));

  const close = (record: RawRecord, fd: number, kind: string, by: string): void => {
    say(record, 'close', { fd, kind, by, ret: 0, errno: 0 });
  };

  const fork = (parent: number, tid: number, tNs: number, child: number): void => {
    emit('fork', keysText({ pid: parent, tid, t_ns: tNs, op: 'fork', child, ret: child, errno: 0 }));
    processes.set(child, new Map(processes.get(parent)));
    memory.fork(parent, child);
  };

  /** The first record of a program: what it has open from before. */
  const attach = (record: RawRecord, isFork: boolean): void => {
    const { pid } = record;
    const isNew = !processes.has(pid);
    const parent = processes.has(argNumberOf(record, 1)) ? argNumberOf(record, 1) : lastPid;
    // Replay takes a new process as a fork of the last one that acted. That is said, and what is not so is
    // closed.
    if (isNew && parent !== 0) fork(parent, parent, record.tNs, pid);
    const known = processes.get(pid) ?? new Map();
    processes.set(pid, known);
    if (!isFork) memory.exec(record);
    const listed = descriptorsOf(record);
    const open = new Set(listed.map(({ fd }) => fd));
    for (const [fd, { kind }] of known) {
      if (open.has(fd)) continue;
      known.delete(fd);
      close(record, fd, kind, isFork ? 'fork' : 'exec');
    }
    for (const { fd, kind, flags, path } of listed) {
      if (known.has(fd) || kind === 'memfd') continue;
      known.set(fd, { kind, path });
      say(record, 'open', { fd, kind, path, flags, via: 'inherited', ret: fd, errno: 0 });
    }
  };

  const exec = (record: RawRecord): void => {
    memory.exec(record);
    const known = processes.get(record.pid);
    for (const { fd, closesOnExec } of descriptorsOf(record)) {
      const file = known?.get(fd);
      if (!closesOnExec || file === undefined) continue;
      known?.delete(fd);
      close(record, fd, file.kind, 'exec');
    }
  };

  /** The new number may have been another descriptor, which dup2 closes. */
  const duplicate = (record: RawRecord): void => {
    const known = processes.get(record.pid);
    const fd = retOf(record);
    const kind = kindOf(record);
    const before = known?.get(fd);
    if (before !== undefined) close(record, fd, before.kind, 'dup');
    known?.delete(fd);
    if (kind === '?') return;
    const path = known?.get(record.fd)?.path ?? '';
    known?.set(fd, { kind, path });
    const copy = { fd, kind, path, flags: '0x0', via: 'dup', of: record.fd };
    say(record, 'open', { ...copy, ret: fd, errno: 0 });
  };

  /** True when the process was not known to be gone. */
  const end = (pid: number): boolean => {
    memory.end(pid);
    return processes.delete(pid);
  };
  /** Nobody waited for it yet. The last one takes everything with it. */
  const gone = (record: RawRecord): void => {
    const { pid } = record;
    if (!end(pid) || processes.size === 0) return;
    const other = processes.has(lastPid) ? lastPid : [...processes.keys()][0]!;
    const ended = { child: pid, status: 0, ret: pid, errno: 0, by: 'exit' };
    emit('waitpid', keysText({ pid: other, tid: other, t_ns: record.tNs, op: 'waitpid', ...ended }));
  };

  const limits = (record: RawRecord): void => {
    const memlock = argOf(record, 0);
    const uid = argNumberOf(record, 1);
    const names = argNumberOf(record, 3) === 1 ? capabilityNames(BigInt(argOf(record, 2))) : [];
    const soft = memlock === UNLIMITED ? 'unlimited' : memlock;
    say(record, 'note', { kind: 'limits', memlock: soft, uid, capabilities: names });
  };

  return {
    handle(call) {
      const { request, answer } = call;
      switch (request.op) {
        case 'attach':
          attach(request, argNumberOf(request, 0) === 1);
          lastPid = request.pid;
          return true;
        case 'fork':
          fork(request.pid, tidOf(request), request.tNs, retOf(request));
          return true;
        case 'exec':
          // A failure has an answer.
          if (answer === null) exec(request);
          return true;
        case 'limits':
          limits(request);
          return true;
        case 'dup':
          if (!processes.has(request.pid)) fork(request.owner, request.owner, request.tNs, request.pid);
          duplicate(request);
          return true;
        case 'gone':
          gone(request);
          return true;
        case 'waitpid':
          return !end(retOf(request));
        case 'maps':
        case 'mprotect':
        case 'mremap':
        case 'mmap':
        case 'munmap':
          memory.take(call);
          return true;
        default:
          // A child of vfork: nothing but its calls tells of it.
          if (!processes.has(request.pid)) fork(request.owner, request.owner, request.tNs, request.pid);
          lastPid = request.pid;
          memory.before(request);
          return false;
      }
    },
    after({ request, answer }) {
      const known = processes.get(request.pid);
      if (known === undefined || answer === null || errnoOf(answer) !== 0) return;
      if (request.op === 'open') {
        known.set(request.fd, { kind: kindOf(request), path: textOf(request) });
      }
      if (request.op === 'close') known.delete(request.fd);
    },
  };
}

const UNLIMITED = '0xffffffffffffffff';

/** Capabilities that the capture format's reader looks at, by number in the kernel's mask. */
const CAPABILITIES: readonly (readonly [bigint, string])[] = [
  [14n, 'IPC_LOCK'],
  [24n, 'SYS_RESOURCE'],
];

function capabilityNames(mask: bigint): readonly string[] {
  return CAPABILITIES.filter(([bit]) => ((mask >> bit) & 1n) === 1n).map(([, name]) => name);
}
