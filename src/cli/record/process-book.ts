import type { RecordedCall } from './call-order.ts';
import {
  argNumberOf,
  argOf,
  descriptorsOf,
  errnoOf,
  kindOf,
  type RawRecord,
  retOf,
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

type Emit = (op: string, keys: string) => void;
type Descriptors = Map<number, string>;

/** Starts without processes. */
export function createProcessBook(emit: Emit): ProcessBook {
  const processes = new Map<number, Descriptors>();
  let lastPid = 0;

  const start = (record: RawRecord, op: string): string =>
    `"pid":${record.pid},"tid":${tidOf(record)},"t_ns":${record.tNs},"op":"${op}"`;

  const close = (record: RawRecord, fd: number, kind: string, by: string): void => {
    emit('close', `${start(record, 'close')},"fd":${fd},"kind":"${kind}","by":"${by}","ret":0,"errno":0`);
  };

  const fork = (parent: number, tid: number, tNs: number, child: number): void => {
    emit(
      'fork',
      `"pid":${parent},"tid":${tid},"t_ns":${tNs},"op":"fork","child":${child},"ret":${child},"errno":0`,
    );
    processes.set(child, new Map(processes.get(parent)));
  };

  /** The first record of a program: what it has open from before. */
  const attach = (record: RawRecord, isFork: boolean): void => {
    const { pid } = record;
    const isNew = !processes.has(pid);
    if (isNew && lastPid !== 0) fork(lastPid, lastPid, record.tNs, pid);
    const known = processes.get(pid) ?? new Map<number, string>();
    processes.set(pid, known);
    const listed = descriptorsOf(record);
    const open = new Set(listed.map(({ fd }) => fd));
    for (const [fd, kind] of known) {
      if (open.has(fd)) continue;
      known.delete(fd);
      close(record, fd, kind, isFork ? 'fork' : 'exec');
    }
    for (const { fd, kind, flags, path } of listed) {
      if (known.has(fd) || kind === 'memfd') continue;
      known.set(fd, kind);
      emit(
        'open',
        `${start(record, 'open')},"fd":${fd},"kind":"${kind}","path":${JSON.stringify(path)},"flags":"${flags}","via":"inherited","ret":${fd},"errno":0`,
      );
    }
  };

  const exec = (record: RawRecord): void => {
    const known = processes.get(record.pid);
    for (const { fd, closesOnExec } of descriptorsOf(record)) {
      const kind = known?.get(fd);
      if (!closesOnExec || kind === undefined) continue;
      known?.delete(fd);
      close(record, fd, kind, 'exec');
    }
  };

  const limits = (record: RawRecord): void => {
    const memlock = argOf(record, 0);
    const uid = argNumberOf(record, 1);
    const names = argNumberOf(record, 3) === 1 ? capabilityNames(BigInt(argOf(record, 2))) : [];
    const soft = memlock === UNLIMITED ? 'unlimited' : memlock;
    emit(
      'note',
      `${start(record, 'note')},"kind":"limits","memlock":"${soft}","uid":${uid},"capabilities":${JSON.stringify(names)}`,
    );
  };

  return {
    handle({ request, answer }) {
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
        case 'maps':
        case 'mprotect':
        case 'mremap':
        case 'mmap':
        case 'munmap':
          return true;
        default:
          lastPid = request.pid;
          return false;
      }
    },
    after({ request, answer }) {
      const known = processes.get(request.pid);
      if (known === undefined || answer === null || errnoOf(answer) !== 0) return;
      if (request.op === 'open') known.set(request.fd, kindOf(request));
      if (request.op === 'close') known.delete(request.fd);
      if (request.op === 'dup') known.set(retOf(answer), kindOf(request));
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
