import { CMD, findIoctl } from '../../../uapi/index.ts';
import type { Call, DescriptorKind, NamedNumber, PartialNote } from '../../call.ts';
import { findSyzCall, type SyzCall } from '../../syzkaller/index.ts';
import { kindOfPath } from '../descriptors.ts';
import type { ImportSink } from '../importer.ts';
import { isOurCommand, kindOfCommand } from '../observed-call.ts';
import { buildArgument, createAddresses, untypedBytes } from './build.ts';
import type { SyzLine, SyzValue } from './parse.ts';

/** One program: its results by name, and the memory that it runs in. */
export interface Program {
  /** Imports a call; false when it is none of iommufd, VFIO or memory. */
  call(line: SyzLine): boolean;
}

/** Where programs have their data: syz-executor maps it before it runs one. */
const DATA_START = 0x7f00_0000_0000n;
const DATA_BYTES = 0x100_0000n;
const PROT_ALL = 7;
const MAP_FIXED = 0x10n;
const MAP_DATA = 0x32n;
/** Descriptors 0 to 2 are taken in every process. */
const FD_FIRST = 3;
const NO_ANSWER = { replied: false, ret: 0, errno: 0 } as const;

/** A path that a description holds constant: programs leave it out. */
const CONSTANT_PATHS: Readonly<Record<string, string>> = {
  openat$iommufd: '/dev/iommu',
  openat$vfio: '/dev/vfio/vfio',
};

export function createProgram(sink: ImportSink, pid: number, scope: number): Program {
  let at: Pick<Call, 'pid' | 'tid' | 'tNs' | 'extra'> = { pid, tid: null, tNs: null, extra: null };
  const files = new Map<string, { readonly fd: number; readonly kind: DescriptorKind }>();
  /** Names of access objects, which are descriptors that a struct answers. */
  const accesses = new Set<string>();
  const addresses = createAddresses(DATA_START + DATA_BYTES / 2n, DATA_START + DATA_BYTES);
  let nextFd = FD_FIRST;
  let hasData = false;
  /** Names of one program are not those of the next. */
  const scoped = (name: string): string => (scope === 0 ? name : `${scope}.${name}`);

  const begin = (): void => {
    if (hasData) return;
    hasData = true;
    const where = { addr: DATA_START, len: DATA_BYTES, prot: PROT_ALL, flags: MAP_DATA, off: 0n };
    const partial = { missing: [], implied: 'syz-executor maps the memory of a program before it runs' };
    sink.call({ op: 'mmap', ...at, fd: -1, kind: '?', ...where, mapped: DATA_START, errno: 0, partial });
  };

  const descriptorOf = (value: SyzValue | undefined) => {
    if (value?.is === 'result') {
      const file = files.get(value.name);
      if (file !== undefined) return { fd: file.fd, kind: file.kind, uses: [], isUnknown: false };
      if (!accesses.has(scoped(value.name))) return { fd: -1, kind: undefined, uses: [], isUnknown: true };
      // An answer of the kernel that a struct had: which number it is shows in a replay.
      const named: NamedNumber = { name: scoped(value.name), in: 'fd', at: 0, bytes: 4 };
      return { fd: -1, kind: 'access' as DescriptorKind, uses: [named], isUnknown: false };
    }
    const fd = value?.is === 'number' ? Number(BigInt.asIntN(32, value.value)) : -1;
    return { fd, kind: undefined, uses: [], isUnknown: false };
  };

  const open = ({ name, defines, args }: SyzLine, pathAt: number): boolean => {
    const path = pathOf(name, args[pathAt]);
    const kind = path === null ? null : kindOfPath(path);
    if (path === null || kind === null) return false;
    begin();
    const fd = nextFd;
    nextFd += 1;
    if (defines !== null) files.set(defines, { fd, kind });
    const flags = numberOf(args[pathAt + 1]) ?? 0n;
    sink.call({ op: 'open', ...at, ...NO_ANSWER, fd, kind, path, flags, partial: { missing: ['ret'] } });
    return true;
  };

  /** The same file under a number of the kernel's choice, or of the program's. */
  const dup = ({ defines, args, name }: SyzLine): boolean => {
    const { fd, kind } = descriptorOf(args[0]);
    if (kind === undefined || kind === 'access') return false;
    const wanted = name.startsWith('dup2') || name.startsWith('dup3') ? args[1] : undefined;
    const number = wanted?.is === 'result' ? descriptorOf(wanted).fd : numberOf(wanted);
    const copy = wanted === undefined || number === null ? nextFd : Number(number);
    if (copy === nextFd) nextFd += 1;
    if (defines !== null) files.set(defines, { fd: copy, kind });
    sink.call({
      ...{ op: 'open', ...at, extra: { ...at.extra, via: 'dup', of: fd }, ...NO_ANSWER },
      ...{ fd: copy, kind, path: '', flags: 0n, partial: { missing: ['path', 'ret'] } },
    });
    return true;
  };

  const close = ({ args }: SyzLine): boolean => {
    const { fd, kind, uses } = descriptorOf(args[0]);
    if (kind === undefined) return false;
    const partial: PartialNote = { missing: ['ret'], ...(uses.length === 0 ? {} : { uses }) };
    sink.call({ op: 'close', ...at, ...NO_ANSWER, fd, kind, partial });
    return true;
  };

  const ioctl = ({ name, args, defines }: SyzLine): boolean => {
    const described: SyzCall | undefined = findSyzCall(name);
    const written = numberOf(args[1]);
    const cmd = written === null ? described?.cmd : Number(BigInt.asUintN(32, written));
    if (cmd === undefined || (described === undefined && !isOurCommand(cmd))) return false;
    begin();
    const descriptor = descriptorOf(args[0]);
    const kind =
      descriptor.uses.length > 0 ? 'access' : (descriptor.kind ?? described?.kind ?? kindOfCommand(cmd));
    const isStruct = (described?.argument ?? findIoctl(kind, cmd)?.argument ?? 'struct') === 'struct';
    const built = isStruct ? buildArgument(described, args[2], addresses, scoped) : null;
    const missing = ['ret', 'out', ...(descriptor.isUnknown ? ['fd'] : []), ...(built?.missing ?? [])];
    const uses = [...descriptor.uses, ...(built?.uses ?? [])];
    const makes: NamedNumber[] = [...(built?.defines ?? [])];
    if (defines !== null) {
      makes.push({ name: scoped(defines), in: 'ret', at: 0, bytes: 4 });
      if (cmd === CMD.VFIO_GROUP_GET_DEVICE_FD) {
        files.set(defines, { fd: nextFd, kind: 'device' });
        nextFd += 1;
      }
    }
    const partial: PartialNote = {
      missing,
      ...(makes.length === 0 ? {} : { defines: makes }),
      ...(uses.length === 0 ? {} : { uses }),
    };
    if (described?.fields.some(({ resource, dir }) => resource === 'fd_access' && dir === 'out'))
      for (const { name: made } of built?.defines ?? []) accesses.add(made);
    sink.call({
      ...{ op: 'ioctl', ...at, ...NO_ANSWER, fd: descriptor.fd, kind, cmd },
      argp: built?.argp ?? numberOf(args[2]) ?? 0n,
      ...{ argFault: false, arg: built?.arg ?? null, out: null, mem: built?.mem ?? [], newFd: null, partial },
    });
    return true;
  };

  const mmap = ({ args }: SyzLine): boolean => {
    const [addr, len] = [addressOf(args[0]), numberOf(args[1])];
    const [prot, flags] = [numberOf(args[2]), numberOf(args[3])];
    if (addr === null || len === null || prot === null || flags === null) return false;
    begin();
    const { fd, kind } = descriptorOf(args[4]);
    const isFixed = (flags & MAP_FIXED) !== 0n;
    const where = { addr, len, prot: Number(BigInt.asUintN(32, prot)), flags, off: numberOf(args[5]) ?? 0n };
    const partial = { missing: ['ret'], ...(isFixed ? { implied: 'a mapping at a fixed address' } : {}) };
    const mapped = isFixed ? addr : null;
    sink.call({ op: 'mmap', ...at, fd, kind: kind ?? '?', ...where, mapped, errno: 0, partial });
    return true;
  };

  const munmap = ({ args }: SyzLine): boolean => {
    const [addr, len] = [addressOf(args[0]), numberOf(args[1])];
    if (addr === null || len === null) return false;
    begin();
    sink.call({ op: 'munmap', ...at, ...NO_ANSWER, addr, len, partial: { missing: ['ret'] } });
    return true;
  };

  const once = (line: SyzLine): boolean => {
    const base = line.name.split('$')[0];
    if (base === 'openat') return open(line, 1);
    if (base === 'open' || base === 'creat') return open(line, 0);
    if (base === 'ioctl') return ioctl(line);
    if (base === 'close') return close(line);
    if (base === 'mmap') return mmap(line);
    if (base === 'dup' || base === 'dup2' || base === 'dup3' || line.name === 'fcntl$dupfd') return dup(line);
    return base === 'munmap' && munmap(line);
  };

  return {
    call(line) {
      // How a call is to be made is no part of the call, and is kept beside it.
      at = { ...at, extra: line.properties === '' ? null : { properties: line.properties } };
      if (!once(line)) return false;
      const again = Math.min(Number(/\brerun: (\d{1,9})/.exec(line.properties)?.[1] ?? 0), RERUNS_MAX);
      // What a repeated call answers is given no name.
      for (let run = 0; run < again; run += 1) once({ ...line, defines: null });
      return true;
    },
  };
}

/** syz-executor makes a call so many times more; a damaged program may ask for any number. */
const RERUNS_MAX = 1000;

/** The path that is opened; null where the program does not tell it. */
function pathOf(name: string, value: SyzValue | undefined): string | null {
  if (value?.is !== 'pointer') return null;
  if (value.to === null) return CONSTANT_PATHS[name] ?? null;
  const bytes = untypedBytes(value.to);
  return bytes === null ? null : textOf(bytes);
}

function numberOf(value: SyzValue | undefined): bigint | null {
  if (value?.is === 'number') return value.value;
  return value?.is === 'nil' ? 0n : null;
}

function addressOf(value: SyzValue | undefined): bigint | null {
  return value?.is === 'pointer' ? value.addr : numberOf(value);
}

function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return Buffer.from(end === -1 ? bytes : bytes.subarray(0, end)).toString('latin1');
}
