import { CMD, IOMMU_TEST_OP } from '../../../uapi/index.ts';
import type { Call, IoctlCall } from '../../call.ts';
import { createResourceTracker, type InitialMemory, type Resource, wordAt } from '../../resources/index.ts';
import type { ExportSource } from '../source.ts';

/** What has to be known of a trace before the first line of its program can be written. */
export interface Plan {
  /** Memory that the calls use and that no recorded call made. */
  readonly memory: readonly InitialMemory[];
  /** Processes by pid: their number in the program. */
  readonly processes: ReadonlyMap<number, number>;
  /** Processes that end right after the call with a `seq`, because nothing later needs them. */
  readonly exits: ReadonlyMap<number, readonly number[]>;
  /** Whether limits and capabilities of processes are told. */
  readonly hasLimits: boolean;
}

const PAGE = 4096n;
/** End of user addresses with four levels of page tables. */
const USER_END = 1n << 47n;

/** Reads a trace once. */
export function planProgram(source: ExportSource): Plan {
  const tracker = createResourceTracker();
  const needed: InitialMemory[] = [];
  const processes = new Map<number, number>();
  const lastSeq = new Map<number, number>();
  const stays = new Set<number>();
  let lastUse = -1;
  let hasLimits = false;
  const begin = (pid: number): void => {
    if (!processes.has(pid)) processes.set(pid, processes.size);
  };
  for (const call of source.calls()) {
    tracker.next(call);
    if (processes.size === 0) stays.add(call.pid);
    begin(call.pid);
    lastSeq.set(call.pid, call.seq);
    if (call.op === 'open') stays.add(call.pid);
    if (call.op === 'fork' || call.op === 'waitpid') stays.add(call.child);
    if (call.op === 'fork' && call.child > 0) begin(call.child);
    if (call.op === 'cap_set_proc' || (call.op === 'note' && call.kind === 'limits')) hasLimits = true;
    if (call.op === 'ioctl' && usesMemory(call)) lastUse = call.seq;
    for (const { start, lengthBytes } of rangesOf(call))
      needed.push(...tracker.gaps(call.pid, start, lengthBytes));
    for (const range of mappedBy(call)) {
      const gaps = tracker.gaps(call.pid, range.start, range.lengthBytes);
      // A MAP without a domain looks at no page. Where part of the range is known, the rest was not there.
      if (gaps.length === 1 && gaps[0]?.lengthBytes === range.lengthBytes) needed.push(range);
    }
  }
  const exits = new Map<number, number[]>();
  for (const [pid, seq] of lastSeq) {
    // As the replay takes it: gone after its last record, unless somebody still reads its memory later.
    if (stays.has(pid) || lastUse > seq) continue;
    exits.set(seq, [...(exits.get(seq) ?? []), pid]);
  }
  return { memory: joinRanges(needed), processes, exits, hasLimits };
}

/** The selftest reads or pins user memory through an access. */
function usesMemory({ cmd, arg }: IoctlCall): boolean {
  if (cmd !== CMD.IOMMU_TEST_CMD || arg === null || arg.length < 8) return false;
  const op = wordAt(arg, 4, 4);
  return op === IOMMU_TEST_OP.ACCESS_RW || op === IOMMU_TEST_OP.ACCESS_PAGES;
}

/** User memory that must be there, because the kernel used it. */
function rangesOf(call: Call): InitialMemory[] {
  switch (call.op) {
    case 'ioctl':
      return buffersOf(call);
    case 'read':
    case 'pread':
    case 'write':
    case 'pwrite':
      return call.ret > 0 ? [{ start: call.addr, lengthBytes: BigInt(call.len) }] : [];
    case 'note': {
      const { va, len } = call.fields;
      if (call.kind !== 'usermem' || typeof va !== 'string' || typeof len !== 'number') return [];
      return [{ start: BigInt(va), lengthBytes: BigInt(len) }];
    }
    default:
      return [];
  }
}

function buffersOf({ mem }: IoctlCall): InitialMemory[] {
  return mem
    .filter(({ len, fault }) => len > 0 && !fault)
    .map(({ addr, len }) => ({ start: addr, lengthBytes: BigInt(Math.min(len, 1 << 26)) }));
}

/** The user memory of a MAP that succeeded. */
function mappedBy(call: Call): InitialMemory[] {
  if (call.op !== 'ioctl' || call.arg === null || !call.replied || call.ret !== 0) return [];
  return rangeOfMap(call, call.arg).filter(({ start, lengthBytes }) => start + lengthBytes <= USER_END);
}

function rangeOfMap({ kind, cmd }: IoctlCall, arg: Uint8Array): InitialMemory[] {
  const view = new DataView(arg.buffer, arg.byteOffset, arg.byteLength);
  if (cmd === CMD.IOMMU_IOAS_MAP && kind !== 'device' && arg.length >= 32)
    return [{ start: view.getBigUint64(16, true), lengthBytes: view.getBigUint64(24, true) }];
  const isDma = cmd === CMD.VFIO_IOMMU_MAP_DMA && (kind === 'container' || kind === 'iommufd');
  if (isDma && arg.length >= 32)
    return [{ start: view.getBigUint64(8, true), lengthBytes: view.getBigUint64(24, true) }];
  return [];
}

/** Whole pages, ascending, joined where they touch. */
function joinRanges(ranges: readonly InitialMemory[]): readonly InitialMemory[] {
  const pages = ranges
    .map(({ start, lengthBytes }) => ({
      start: (start / PAGE) * PAGE,
      end: ((start + lengthBytes + PAGE - 1n) / PAGE) * PAGE,
    }))
    .sort((one, other) => (one.start < other.start ? -1 : one.start > other.start ? 1 : 0));
  const joined: { start: bigint; end: bigint }[] = [];
  for (const range of pages) {
    const last = joined.at(-1);
    if (last !== undefined && range.start <= last.end) last.end = range.end > last.end ? range.end : last.end;
    else joined.push({ ...range });
  }
  return joined.map(({ start, end }) => ({ start, lengthBytes: end - start }));
}

/** Names of resources in the program: `ioas_2`, `device_0`, `memory_1`, by kind. */
export function createNames(): (resource: Resource) => string {
  const names = new Map<number, string>();
  const counts = new Map<string, number>();
  return (resource) => {
    const known = names.get(resource.index);
    if (known !== undefined) return known;
    const kind = resource.kind === '?' ? 'fd' : resource.kind.replaceAll('-', '_');
    // A descriptor and an object may be of the same kind: a device is both.
    const word = resource.type === 'descriptor' && !kind.endsWith('fd') ? `${kind}_fd` : kind;
    const count = counts.get(word) ?? 0;
    counts.set(word, count + 1);
    const name = `${word}_${count}`;
    names.set(resource.index, name);
    return name;
  };
}
