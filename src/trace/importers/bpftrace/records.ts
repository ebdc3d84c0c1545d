import { findIoctl } from '../../../uapi/index.ts';
import type { DescriptorKind } from '../../call.ts';
import { copyDescriptor } from '../copy-descriptor.ts';
import { type DescriptorTable, kindOfPath } from '../descriptors.ts';
import type { ImportSink } from '../importer.ts';
import { kindOfCommand, noteNewDescriptors, observedIoctl } from '../observed-call.ts';
import { type AssembledCall, buffersOf, isWhole, KEPT_BYTES, type Line } from './assembly.ts';
import { intIn, returned, wideIn } from './fields.ts';

/** Turns events into calls, in the order of their time. */
export interface Records {
  isType(type: string): boolean;
  /** Whether an event of one line has all its fields. */
  isRecord(line: Line): boolean;
  record(line: Line): void;
  call(call: AssembledCall): void;
}

/** Numbers that each one-line event has behind the time, in order of its fields. */
const NUMBERS: Readonly<Record<string, number>> = {
  open: 2,
  close: 1,
  dup: 2,
  mmap: 7,
  munmap: 2,
  fork: 1,
  exec: 0,
  gone: 0,
};
const PARTS: ReadonlySet<string> = new Set(['enter', 'exit', 'more', 'buf', 'read', 'write']);

export function createRecords(sink: ImportSink, table: DescriptorTable): Records {
  let firstNs: bigint | null = null;
  /** Children whose first line is still to come: it tells whether they are processes or threads. */
  const born = new Map<number, { readonly parent: number; readonly tid: number; readonly ns: bigint }>();

  const timeOf = (ns: bigint): number | null => {
    firstNs ??= ns;
    const since = Number(ns - firstNs);
    return Number.isSafeInteger(since) && since >= 0 ? since : null;
  };

  /** A process shows itself: it was forked where the fork line stood. */
  const seen = (pid: number): void => {
    const birth = born.get(pid);
    if (birth === undefined) return;
    born.delete(pid);
    const at = { pid: birth.parent, tid: birth.tid, tNs: timeOf(birth.ns), extra: null };
    sink.call({ op: 'fork', ...at, child: pid, replied: true, ret: pid, errno: 0 });
  };

  const kindOf = (pid: number, fd: number): DescriptorKind | undefined => table.kindOf(pid, fd);

  const ioctl = (call: AssembledCall): void => {
    const { pid, tid, ns, fd, cmd, addr, size, before, after, ret } = call;
    const kind = kindOf(pid, fd) ?? kindOfCommand(cmd);
    const takesStruct = /struct|string/.test(findIoctl(kind, cmd)?.argument ?? 'struct');
    const missing: string[] = [];
    let arg = size > 0 && before.bytes.length > 0 ? padded(before.bytes, size) : null;
    const out = after.bytes.length > 0 ? padded(after.bytes, Math.max(size, after.bytes.length)) : null;
    if (arg !== null && !isWhole(before, size)) missing.push('arg.rest');
    if (arg === null && takesStruct) {
      arg = out === null ? null : requestOf(kind, cmd, out, missing);
      if (arg === null) missing.push('arg');
    }
    if (ret !== null && takesStruct && (out === null || !isWhole(after, size))) missing.push('out');
    const mem = buffersOf(call);
    if (mem === null) missing.push('mem');
    const same = arg !== null && out !== null && Buffer.compare(arg, out) === 0;
    const made = observedIoctl({
      ...{ pid, tid, tNs: timeOf(ns), fd, kind, cmd, argp: BigInt.asUintN(64, addr), arg },
      ...{ out: missing.includes('out') ? null : same ? arg : out, mem: mem ?? [], missing },
      result: ret === null ? null : returned(ret),
    });
    sink.call(made);
    noteNewDescriptors(table, made);
  };

  const transfer = (call: AssembledCall): void => {
    const { type, pid, tid, ns, fd, addr, size, ret } = call;
    const kind = kindOf(pid, fd);
    if (kind === undefined) {
      sink.skip(`${type} of something else`);
      return;
    }
    const result = ret === null ? { replied: false, ret: 0, errno: 0 } : { replied: true, ...returned(ret) };
    const at = {
      pid,
      tid,
      tNs: timeOf(ns),
      extra: null,
      fd,
      kind,
      addr: BigInt.asUintN(64, addr),
      len: size,
      off: null,
    };
    const moved = type === 'read' ? result.ret : size;
    const pieces = type === 'read' ? call.after : call.before;
    const bytes = !pieces.gap && pieces.known >= moved ? pieces.bytes.slice(0, Math.max(0, moved)) : null;
    const missing = [
      ...(ret === null ? ['ret'] : []),
      ...(bytes === null ? [type === 'read' ? 'out' : 'arg'] : []),
    ];
    const partial = missing.length === 0 ? {} : { partial: { missing } };
    if (type === 'read') sink.call({ op: 'read', ...at, ...result, out: bytes, ...partial });
    else sink.call({ op: 'write', ...at, ...result, arg: bytes, ...partial });
  };

  const open = ({ pid, fields, ns, tid }: Line): void => {
    const ret = wideIn(fields[5])!;
    const flags = wideIn(fields[6])!;
    const path = fields.slice(7).join(' ');
    const kind = kindOfPath(path);
    if (kind === null) {
      sink.skip('open of something else');
      return;
    }
    const done = returned(ret);
    const at = { pid, tid, tNs: timeOf(ns), extra: null };
    sink.call({
      op: 'open',
      ...at,
      replied: true,
      ...done,
      fd: done.ret,
      kind,
      path,
      flags: BigInt.asUintN(64, flags),
    });
    const CLOSE_ON_EXEC = 0o2000000n;
    if (done.ret >= 0) table.opened(pid, done.ret, kind, (flags & CLOSE_ON_EXEC) !== 0n);
  };

  const close = (pid: number, tid: number, ns: bigint, fd: number, implied?: string): void => {
    const kind = table.closed(pid, fd);
    if (kind === undefined) {
      if (implied === undefined) sink.skip('close of something else');
      return;
    }
    const partial = { missing: ['ret'], ...(implied === undefined ? {} : { implied }) };
    const at = { pid, tid, tNs: timeOf(ns), extra: null };
    sink.call({ op: 'close', ...at, replied: false, ret: 0, errno: 0, fd, kind, partial });
  };

  const mmap = ({ pid, tid, ns, fields }: Line): void => {
    const [fd, addr, len, prot, flags, off, ret] = fields
      .slice(5, 12)
      .map((field) => wideIn(field)!) as bigint[];
    const number = Number(BigInt.asIntN(32, fd!));
    const kind = number < 0 ? '?' : (kindOf(pid, number) ?? '?');
    const address = BigInt.asUintN(64, ret!);
    const error = -BigInt.asIntN(64, ret!);
    const failed = error > 0n && error <= 4095n;
    sink.call({
      ...{ op: 'mmap', pid, tid, tNs: timeOf(ns), extra: null, fd: number, kind },
      ...{
        addr: BigInt.asUintN(64, addr!),
        len: BigInt.asUintN(64, len!),
        prot: Number(BigInt.asIntN(32, prot!)),
      },
      ...{ flags: BigInt.asUintN(64, flags!), off: BigInt.asUintN(64, off!) },
      ...{ mapped: failed ? null : address, errno: failed ? Number(error) : 0 },
    });
  };

  const copied = ({ pid, tid, ns, fields }: Line): boolean => {
    const [from, to] = [intIn(fields[5])!, intIn(fields[6])!];
    return to >= 0 && copyDescriptor(sink, table, { pid, tid, tNs: timeOf(ns) }, from, to);
  };

  const record = (line: Line): void => {
    const { type, pid, tid, ns, fields } = line;
    seen(pid);
    switch (type) {
      case 'open':
        open(line);
        return;
      case 'close':
        close(pid, tid, ns, intIn(fields[5])!);
        return;
      case 'mmap':
        mmap(line);
        return;
      case 'munmap': {
        const [addr, len] = [wideIn(fields[5])!, wideIn(fields[6])!];
        const where = { addr: BigInt.asUintN(64, addr), len: BigInt.asUintN(64, len) };
        const partial = { missing: ['ret'] };
        const reply = { replied: false, ret: 0, errno: 0, partial };
        sink.call({ op: 'munmap', pid, tid, tNs: timeOf(ns), extra: null, ...where, ...reply });
        return;
      }
      case 'dup':
        if (!copied(line)) sink.skip('dup of something else');
        return;
      case 'fork': {
        const child = intIn(fields[5])!;
        table.forked(pid, child);
        if (born.size < CHILDREN_MAX) born.set(child, { parent: pid, tid, ns });
        sink.skip('fork: told by the first line of the child');
        return;
      }
      case 'exec': {
        const why = 'closed on exec';
        for (const { fd, kind } of table.executed(pid)) {
          table.opened(pid, fd, kind);
          close(pid, tid, ns, fd, why);
        }
        sink.skip('exec');
        return;
      }
      default:
        if (tid === pid) {
          const at = { pid, tid, tNs: timeOf(ns), extra: null };
          const partial = { missing: ['status'], implied: 'the process ended' };
          sink.call({
            op: 'waitpid',
            ...at,
            child: pid,
            status: 0,
            replied: true,
            ret: pid,
            errno: 0,
            partial,
          });
          table.gone(pid);
        } else sink.skip('end of a thread');
    }
  };

  return {
    isType: (type) => type in NUMBERS || PARTS.has(type),
    isRecord: ({ type, fields }) => {
      const count = NUMBERS[type];
      if (count === undefined) return false;
      return (
        fields.slice(5, 5 + count).length === count &&
        fields.slice(5, 5 + count).every((f) => wideIn(f) !== null)
      );
    },
    record,
    call(call) {
      seen(call.pid);
      if (call.type === 'enter') ioctl(call);
      else transfer(call);
    },
  };
}

const CHILDREN_MAX = 65_536;

/** The bytes at the length that the struct has; what the script did not keep is zero. */
function padded(bytes: Uint8Array, size: number): Uint8Array {
  const length = Math.min(size, 8 * KEPT_BYTES);
  if (bytes.length >= length) return bytes.slice(0, Math.max(length, bytes.length));
  const longer = new Uint8Array(length);
  longer.set(bytes);
  return longer;
}

/**
 * The request, where its page was not in memory and only the struct after the call is known: what the kernel
 * never writes stood there before. Fields that it may have changed are missing.
 */
function requestOf(kind: DescriptorKind, cmd: number, out: Uint8Array, missing: string[]): Uint8Array | null {
  const layout = findIoctl(kind, cmd)?.layout;
  if (layout == null || layout.union !== undefined) return null;
  const arg = Uint8Array.from(out);
  for (const { name, dir, offset, kind: width } of layout.fields) {
    if (dir === 'out') arg.fill(0, offset, offset + (width === 'u64' ? 8 : width === 'u8' ? 1 : 4));
    if (dir === 'inout') missing.push(`arg.${name}`);
  }
  return arg;
}
