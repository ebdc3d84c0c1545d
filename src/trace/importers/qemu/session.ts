import type { DescriptorKind, IoctlCall, PartialNote } from '../../call.ts';
import type { ImportSink } from '../importer.ts';

/** A device that the log names. */
interface KnownDevice {
  readonly name: string;
  readonly fd: number;
}

/** An ioctl as an event tells it. */
export interface EventIoctl {
  readonly fd: number;
  readonly kind: DescriptorKind;
  readonly cmd: number;
  readonly arg: Uint8Array;
  /** Null when the event does not tell all of the struct after the call. */
  readonly out: Uint8Array | null;
  /** Null when the event does not tell whether it succeeded. */
  readonly result: EventResult | null;
  /** What is missing beside the address of the struct. */
  readonly missing?: readonly string[];
  readonly newFd?: number;
}

export interface EventResult {
  readonly ret: number;
  readonly errno: number;
  /** The event says that it failed, and not how. */
  readonly unnamed: boolean;
}

/** One log: the process behind it, and what its events say of descriptors. */
export interface QemuSession {
  /** The line that is being read: its thread and time. */
  at(tid: number | null, tNs: number | null): void;
  ioctl(call: EventIoctl): void;
  open(path: string, kind: DescriptorKind, fd: number | null): void;
  close(fd: number, kind: DescriptorKind, implied?: string): void;
  /** Devices and iommufds by what the log called them. */
  readonly names: Names;
}

/** What is known of the objects that events name. */
export interface Names {
  /** Path of a device that was opened and whose name is not yet known. */
  opened: { readonly path: string; readonly fd: number } | null;
  readonly devices: Map<string, KnownDevice>;
  /** Ids that bindings answered. */
  readonly deviceIds: Set<number>;
  /** Users of each iommufd that QEMU opened itself. */
  readonly users: Map<number, number>;
  /** The device that a disconnection is about, and its iommufd. */
  leaving: { readonly fd: number; readonly iommufd: number } | null;
}

/** The descriptor of a container that no event gives a number. No descriptor of a process is below zero. */
export const UNKNOWN_CONTAINER_FD = -2;
const UNKNOWN_GROUP_FD = -3;

/** What the return value of an event says. */
export function resultOf(value: number | null): EventResult | null {
  if (value === null) return null;
  if (value === 0) return { ret: 0, errno: 0, unnamed: false };
  // ioctl's own -1 says nothing; other versions print errno, or its negative.
  if (value === -1) return { ret: -1, errno: 0, unnamed: true };
  const errno = Math.abs(value);
  return { ret: -1, errno, unnamed: errno > 4095 };
}

export const SUCCESS: EventResult = { ret: 0, errno: 0, unnamed: false };

/** Starts with nothing known. */
export function createSession(sink: ImportSink): QemuSession {
  let tid: number | null = null;
  let tNs: number | null = null;
  let pid = 0;
  const shared = () => ({ pid, tid, tNs, extra: null });
  const names: Names = {
    ...{ opened: null, devices: new Map(), deviceIds: new Set() },
    ...{ users: new Map(), leaving: null },
  };
  return {
    names,
    at(thread, time) {
      tid = thread;
      tNs = time;
      // The first event comes from the main thread, whose number is that of the process.
      if (pid === 0 && thread !== null) pid = thread;
    },
    ioctl({ fd, kind, cmd, arg, out, result, missing = NOTHING, newFd = null }) {
      const call: Omit<IoctlCall, 'seq'> = {
        op: 'ioctl',
        pid,
        tid,
        tNs,
        extra: null,
        replied: result !== null,
        ret: result === null ? 0 : result.ret,
        errno: result === null ? 0 : result.errno,
        fd,
        kind,
        cmd,
        argp: 0n,
        argFault: false,
        arg,
        out,
        mem: NO_BUFFERS,
        newFd,
        partial: noteOf(out, result, missing),
      };
      sink.call(call);
    },
    open(path, kind, fd) {
      const missing = fd === null ? ['fd', 'flags', 'ret'] : ['flags'];
      const reply = { replied: fd !== null, ret: fd ?? 0, errno: 0 };
      const number = fd ?? UNKNOWN_GROUP_FD;
      sink.call({
        op: 'open',
        ...shared(),
        ...reply,
        fd: number,
        kind,
        path,
        flags: 2n,
        partial: { missing },
      });
    },
    close(fd, kind, implied) {
      const partial: PartialNote = { missing: ['ret'], ...(implied === undefined ? {} : { implied }) };
      sink.call({ op: 'close', ...shared(), replied: false, ret: 0, errno: 0, fd, kind, partial });
    },
  };
}

const NOTHING: readonly string[] = [];
const NO_BUFFERS: IoctlCall['mem'] = [];

/** Notes that were made, by what they say: a log has few different ones and many calls. */
const NOTES = new Map<readonly string[], PartialNote[]>();

function noteOf(out: Uint8Array | null, result: EventResult | null, more: readonly string[]): PartialNote {
  const which = (out === null ? 1 : 0) + (result === null ? 2 : result.unnamed ? 4 : 0);
  const known = NOTES.get(more);
  const found = known?.[which];
  if (found !== undefined) return found;
  const missing = ['argp', ...more];
  if (out === null) missing.push('out');
  if (result === null) missing.push('ret');
  if (result?.unnamed) missing.push('errno');
  const made: PartialNote = { missing };
  // Lists that a handler made for one call are no key: they would be kept for ever.
  if (SHARED_LISTS.has(more)) NOTES.set(more, Object.assign(known ?? [], { [which]: made }));
  return made;
}

/** What a map lacks: the only lists that are worth remembering. */
export const MEMORY_MISSING: readonly string[] = ['memory'];
const SHARED_LISTS: ReadonlySet<readonly string[]> = new Set([NOTHING, MEMORY_MISSING]);
