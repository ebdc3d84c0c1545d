import { findIoctl } from '../../../uapi/index.ts';
import type { DescriptorKind } from '../../call.ts';
import { copyDescriptor } from '../copy-descriptor.ts';
import { createDescriptorTable, kindOfLink, kindOfPath } from '../descriptors.ts';
import type { ImportSink } from '../importer.ts';
import { isOurCommand, kindOfCommand, noteNewDescriptors, observedIoctl } from '../observed-call.ts';
import { createProcesses } from './processes.ts';
import {
  commandIn,
  descriptorIn,
  flagsIn,
  numberIn,
  resultIn,
  type StraceResult,
  smallIn,
  stringIn,
} from './values.ts';

/** One call with its result, as strace shows it. */
export interface StraceCall {
  readonly name: string;
  readonly args: readonly string[];
  /** What stands behind the equals sign; `?` when it never returned. */
  readonly result: string;
  readonly tid: number;
  readonly tNs: bigint | null;
}

export interface StraceCalls {
  call(call: StraceCall): void;
  exited(tid: number): void;
}

/** What every handler gets. */
interface Seen extends StraceCall {
  readonly pid: number;
  readonly at: {
    readonly pid: number;
    readonly tid: number;
    readonly tNs: number | null;
    readonly extra: null;
  };
  readonly done: StraceResult | null;
}

const MAP_FAILED = 0xffff_ffff_ffff_ffffn;

/** Turns calls into records; what is none of iommufd, VFIO or memory is counted by its name. */
export function createCalls(sink: ImportSink): StraceCalls {
  const table = createDescriptorTable();
  const processes = createProcesses();
  let firstNs: bigint | null = null;

  const timeOf = (tNs: bigint | null): number | null => {
    if (tNs === null) return null;
    firstNs ??= tNs;
    const since = Number(tNs - firstNs);
    return Number.isSafeInteger(since) && since >= 0 ? since : null;
  };

  /** What a descriptor is: as the log opened it, or as -y shows it. */
  const kindOf = (pid: number, fd: number, link: string | null): DescriptorKind | undefined => {
    const known = table.kindOf(pid, fd);
    if (known !== undefined) return known;
    const shown = link === null ? null : kindOfLink(link);
    if (shown !== null) table.opened(pid, fd, shown);
    return shown ?? undefined;
  };

  const replyOf = (done: StraceResult | null) => ({
    replied: done !== null,
    ret: done === null ? 0 : Number(done.ret),
    errno: done?.errno ?? 0,
  });

  const ioctl = ({ pid, at, args, done }: Seen): boolean => {
    const descriptor = descriptorIn(args[0]);
    const cmd = commandIn(args[1]);
    if (descriptor === null) return false;
    const { fd, link } = descriptor;
    const known = kindOf(pid, fd, link);
    if (cmd === null || (known === undefined && !isOurCommand(cmd))) return false;
    const kind = known ?? kindOfCommand(cmd);
    const argument = findIoctl(kind, cmd)?.argument;
    const missing: string[] = [];
    const argp = numberIn(args[2]);
    if (argument === 'struct' || argument === 'string' || argument === undefined) missing.push('arg', 'out');
    if (argp === null && argument !== 'none') missing.push('argp');
    if (done?.unnamed) missing.push('errno');
    const result = done === null ? null : { ret: Number(done.ret), errno: done.errno };
    const bytes = { arg: null, out: null };
    const call = observedIoctl({
      ...at,
      fd,
      kind,
      cmd,
      argp: BigInt.asUintN(64, argp ?? 0n),
      ...bytes,
      result,
      missing,
    });
    sink.call(call);
    noteNewDescriptors(table, call);
    return true;
  };

  const open = ({ at, pid, done }: Seen, path: string | null, flagsText: string | undefined): boolean => {
    const kind = path === null ? null : kindOfPath(path);
    if (path === null || kind === null || done === null) return false;
    const flags = flagsIn(flagsText);
    const reply = replyOf(done);
    const partial = flags === null ? { partial: { missing: ['flags'] } } : {};
    sink.call({
      op: 'open',
      ...at,
      ...reply,
      fd: reply.ret,
      kind,
      path,
      flags: BigInt(flags ?? 0),
      ...partial,
    });
    if (reply.ret >= 0) table.opened(pid, reply.ret, kind, ((flags ?? 0) & O_CLOEXEC) !== 0);
    return true;
  };

  const close = ({ at, pid, args, done }: Seen): boolean => {
    const descriptor = descriptorIn(args[0]);
    if (descriptor === null) return false;
    const { fd, link } = descriptor;
    const kind = kindOf(pid, fd, link);
    if (kind === undefined) return false;
    if (done !== null && done.ret >= 0n) table.closed(pid, fd);
    sink.call({ op: 'close', ...at, ...replyOf(done), fd, kind });
    return true;
  };

  const copy = ({ at, pid, args, done }: Seen): boolean => {
    const from = descriptorIn(args[0]);
    if (from === null || done === null || done.ret < 0n) return false;
    kindOf(pid, from.fd, from.link);
    return copyDescriptor(sink, table, at, from.fd, Number(done.ret));
  };

  const mmap = ({ at, pid, args, done }: Seen): boolean => {
    const addr = numberIn(args[0]);
    const len = numberIn(args[1]);
    const prot = flagsIn(args[2]);
    const flags = flagsIn(args[3]);
    const file = descriptorIn(args[4]);
    const off = numberIn(args[5]);
    if (addr === null || len === null || prot === null || flags === null || off === null) return false;
    if (file === null || done === null || len < 0n || addr < 0n || off < 0n) return false;
    const kind = file.fd < 0 ? '?' : (kindOf(pid, file.fd, file.link) ?? '?');
    const failed = done.ret < 0n || done.ret === MAP_FAILED;
    const where = { addr, len, prot, flags: BigInt(flags), off };
    sink.call({
      op: 'mmap',
      ...at,
      fd: file.fd,
      kind,
      ...where,
      mapped: failed ? null : done.ret,
      errno: done.errno,
    });
    return true;
  };

  const munmap = ({ at, args, done }: Seen): boolean => {
    const addr = numberIn(args[0]);
    const len = numberIn(args[1]);
    if (addr === null || len === null || addr < 0n || len < 0n) return false;
    sink.call({ op: 'munmap', ...at, ...replyOf(done), addr, len });
    return true;
  };

  const transfer = ({ at, pid, name, args, done }: Seen): boolean => {
    const descriptor = descriptorIn(args[0]);
    const len = smallIn(args[2]);
    if (descriptor === null || len === null || len < 0) return false;
    const { fd, link } = descriptor;
    const kind = kindOf(pid, fd, link);
    if (kind === undefined) return false;
    const placed = name.endsWith('64');
    const off = placed ? numberIn(args[3]) : null;
    const shared = { ...at, ...replyOf(done), fd, kind, addr: 0n, len, off };
    if (name.startsWith('p') === placed && name.includes('read')) {
      const op = placed ? 'pread' : 'read';
      sink.call({ op, ...shared, out: null, partial: { missing: ['addr', 'out'] } });
      return true;
    }
    const op = placed ? 'pwrite' : 'write';
    sink.call({ op, ...shared, arg: null, partial: { missing: ['addr', 'arg'] } });
    return true;
  };

  const fork = ({ at, pid, name, args, done }: Seen): boolean => {
    if (done === null || done.ret <= 0n) return false;
    const child = Number(done.ret);
    const isThread = name.startsWith('clone') && args.some(makesThread);
    processes.started(child, isThread ? pid : child);
    if (isThread) return false;
    table.forked(pid, child);
    sink.call({ op: 'fork', ...at, child, ...replyOf(done) });
    return true;
  };

  /** Another program runs now, without what was opened to be closed then. */
  const exec = ({ at, pid, done }: Seen): boolean => {
    if (done === null || done.ret < 0n) return false;
    const closed = table.executed(pid);
    const partial = { missing: [], implied: 'closed on exec' };
    for (const { fd, kind } of closed)
      sink.call({ op: 'close', ...at, replied: true, ret: 0, errno: 0, fd, kind, partial });
    return closed.length > 0;
  };

  const wait = ({ at, done }: Seen): boolean => {
    if (done === null || done.ret <= 0n) return false;
    const child = Number(done.ret);
    if (!processes.isKnownChild(child)) return false;
    table.gone(child);
    sink.call({ op: 'waitpid', ...at, child, status: 0, ...replyOf(done), partial: { missing: ['status'] } });
    return true;
  };

  const imported = (seen: Seen): boolean => {
    switch (seen.name) {
      case 'ioctl':
        return ioctl(seen);
      case 'openat':
      case 'openat2':
        return open(seen, stringIn(seen.args[1]), seen.args[2]);
      case 'open':
        return open(seen, stringIn(seen.args[0]), seen.args[1]);
      case 'close':
        return close(seen);
      case 'mmap':
        return mmap(seen);
      case 'munmap':
        return munmap(seen);
      case 'read':
      case 'write':
      case 'pread64':
      case 'pwrite64':
        return transfer(seen);
      case 'fork':
      case 'vfork':
      case 'clone':
      case 'clone3':
        return fork(seen);
      case 'execve':
      case 'execveat':
        return exec(seen);
      case 'wait4':
      case 'waitid':
        return wait(seen);
      case 'dup':
      case 'dup2':
      case 'dup3':
        return copy(seen);
      case 'fcntl':
        return isDuplication(seen.args[1]) && copy(seen);
      default:
        return false;
    }
  };

  return {
    call(call) {
      const pid = processes.processOf(call.tid);
      const done = resultIn(call.result);
      const at = { pid, tid: call.tid, tNs: timeOf(call.tNs), extra: null } as const;
      if (!imported({ ...call, pid, at, done })) sink.skip(call.name);
    },
    exited: (tid) => processes.ended(tid),
  };
}

const O_CLOEXEC = 0o2000000;
const CLONE_THREAD = 0x10000n;
const F_DUPFD = 0n;
const F_DUPFD_CLOEXEC = 1030n;

/** Whether an argument of clone says that it makes a thread, by name or (`-X raw`) by number. */
function makesThread(argument: string): boolean {
  if (argument.includes('CLONE_THREAD')) return true;
  const flags = /\bflags=(0x[0-9a-f]{1,16})/.exec(argument)?.[1];
  return flags !== undefined && (BigInt(flags) & CLONE_THREAD) !== 0n;
}

function isDuplication(command: string | undefined): boolean {
  const number = numberIn(command);
  return number === F_DUPFD || number === F_DUPFD_CLOEXEC || /^F_DUPFD/.test(command ?? '');
}
