import type { JsonValue } from '../../trace/index.ts';
import { type AddressSpace, type Area, areasOfMaps, createAddressSpace } from './address-space.ts';
import type { RecordedCall } from './call-order.ts';
import { SECTION, SECTION_WHAT } from './channel-layout.ts';
import { type Emit, keysText } from './line-keys.ts';
import {
  argNumberOf,
  argOf,
  contentText,
  errnoOf,
  findSection,
  gotBytes,
  kindOf,
  type RawRecord,
  retHexOf,
  retOf,
  tidOf,
} from './raw-record.ts';

/** Memory of the recorded processes, and which of it the capture tells. */
export interface MemoryBook {
  /** Takes a record about memory; writes what the capture has to say of it. */
  take(call: RecordedCall): void;
  /** A call is about to be written: memory that it maps is told first. */
  before(request: RawRecord): void;
  fork(parent: number, child: number): void;
  end(pid: number): void;
  /** Another program runs in the process: its memory is gone. */
  exec(record: RawRecord): void;
}

const MAP_FIXED = 0x10;
const MAP_ANONYMOUS = 0x20;
const PAGE_BYTES = 4096;

/** Where a command that maps user memory has its address and length in its struct. */
const MAPPING: Readonly<Record<number, readonly [number, number]>> = { 15237: [16, 24], 15217: [8, 24] };

/** Starts without processes. */
export function createMemoryBook(emit: Emit): MemoryBook {
  const spaces = new Map<number, AddressSpace>();
  const lists = new Map<number, string>();

  const say = (record: RawRecord, op: string, keys: Readonly<Record<string, JsonValue>>): void =>
    emit(op, keysText({ pid: record.pid, tid: tidOf(record), t_ns: record.tNs, op, ...keys, errno: 0 }));
  const tellArea = (record: RawRecord, { start: first, end, prot, flags }: Area): void => {
    const at = `0x${first.toString(16)}`;
    const all = `0x${(flags | MAP_FIXED | MAP_ANONYMOUS).toString(16)}`;
    const area = { fd: -1, kind: '?', addr: at, len: end - first, prot, flags: all, off: '0x0', ret: at };
    say(record, 'mmap', { ...area, from: 'space' });
  };
  const tellUnmap = (record: RawRecord, first: number, bytes: number): void => {
    say(record, 'munmap', { addr: `0x${first.toString(16)}`, len: bytes, ret: 0 });
  };

  const mmap = (record: RawRecord, space: AddressSpace): void => {
    const first = retOf(record);
    const bytes = pages(argNumberOf(record, 1));
    const [flags, prot] = [argNumberOf(record, 2) % 2 ** 32, Math.floor(argNumberOf(record, 2) / 2 ** 32)];
    const kind = kindOf(record);
    const isTold = kind !== '?' || space.isTold(first, first + bytes);
    space.add({ start: first, end: first + bytes, prot, flags, told: isTold });
    if (!isTold) return;
    say(record, 'mmap', {
      fd: record.fd,
      kind,
      addr: argOf(record, 0),
      len: argNumberOf(record, 1),
      prot,
      flags: `0x${flags.toString(16)}`,
      off: argOf(record, 3),
      ret: retHexOf(record),
    });
  };
  const munmap = (record: RawRecord, first: number, bytes: number, space: AddressSpace): void => {
    if (space.isTold(first, first + bytes)) tellUnmap(record, first, bytes);
    space.remove(first, first + bytes);
  };
  const mremap = (record: RawRecord, space: AddressSpace): void => {
    const [old, oldBytes] = [argNumberOf(record, 0), pages(argNumberOf(record, 1))];
    const [first, bytes] = [retOf(record), pages(argNumberOf(record, 2))];
    munmap(record, old, oldBytes, space);
    // Its protection is not known any more; memory that is moved is nearly always to be written.
    space.add({ start: first, end: first + bytes, prot: 3, flags: 2, told: false });
  };
  const maps = (record: RawRecord): void => {
    const section = findSection(record, SECTION_WHAT.maps);
    const text = section < 0 ? '' : contentText(record.bytes, section);
    const list = (lists.get(record.pid) ?? '') + text;
    lists.set(record.pid, list);
    if (text !== '') return;
    lists.delete(record.pid);
    // A child of fork has its parent's memory, and what was told of it holds.
    if (!spaces.has(record.pid)) spaces.set(record.pid, createAddressSpace(areasOfMaps(list)));
  };

  return {
    take({ request, answer }) {
      if (request.op === 'maps') {
        maps(request);
        return;
      }
      const space = spaces.get(request.pid);
      if (space === undefined || answer === null || errnoOf(answer) !== 0) return;
      const [first, bytes] = [argNumberOf(request, 0), pages(argNumberOf(request, 1))];
      if (request.op === 'mmap') mmap(request, space);
      else if (request.op === 'munmap') munmap(request, first, bytes, space);
      else if (request.op === 'mremap') mremap(request, space);
      else
        for (const area of space.protect(first, first + bytes, argNumberOf(request, 2)))
          tellArea(request, area);
    },
    before(request) {
      if (request.op !== 'ioctl') return;
      const space = spaces.get(request.pid);
      // A struct in read-only memory cannot be written back.
      for (const area of space?.tellReadOnly(argNumberOf(request, 1)) ?? []) tellArea(request, area);
      const places = MAPPING[argNumberOf(request, 0)];
      const section = places === undefined ? -1 : findSection(request, SECTION_WHAT.struct);
      if (places === undefined || section < 0 || gotBytes(request.bytes, section) < 32) return;
      const at = section + SECTION.size;
      const first = Number(request.bytes.readBigUInt64LE(at + places[0]));
      const bytes = Number(request.bytes.readBigUInt64LE(at + places[1]));
      for (const area of space?.tell(first, first + bytes) ?? []) tellArea(request, area);
    },
    fork(parent, child) {
      const space = spaces.get(parent);
      if (space !== undefined) spaces.set(child, space.copy());
    },
    end: (pid) => void spaces.delete(pid),
    exec(record) {
      for (const { start: first, end } of spaces.get(record.pid)?.told() ?? []) {
        tellUnmap(record, first, end - first);
      }
      spaces.delete(record.pid);
    },
  };
}

const pages = (bytes: number): number => Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES;
