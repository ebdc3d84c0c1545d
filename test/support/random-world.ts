import { toBigInt } from '../../src/model/address.ts';
import { someArea } from '../../src/model/area-table.ts';
import { chooseProfile, createKernel, execute, NO_EFFECTS, predictedRead } from '../../src/model/index.ts';
import { type Kernel, spaceOf } from '../../src/model/kernel.ts';
import type { Context, KernelObject, OpenFile, Process } from '../../src/model/state.ts';
import type { Call, DescriptorKind } from '../../src/trace/index.ts';
import { buildStruct, CMD, IOMMU_TEST_CMD } from '../../src/uapi/index.ts';
import { type Hardware, headerOn, machineFor } from './random-hardware.ts';
import { PID, type Session, startSession } from './session.ts';
import type { Recording } from './stored.ts';

/** What random calls work on: contexts and processes, and the choice of ids, addresses and lengths. */

export interface World {
  /** Each call is made by the process that is current. */
  readonly session: Session;
  /** The process that calls; all that live are in the kernel's state. */
  pid: number;
  /** Descriptor of the context that is worked on. */
  fd: number;
  nextPid: number;
  /** Makes a call that is neither an ioctl nor a close, and keeps it as recorded. */
  record(call: Unnumbered): void;
  recording(): Recording;
  /** IovaSpaces of contexts that were released while a device was attached by PASID. See `watchLeaks`. */
  readonly leaked: Set<number>;
  /** Devices as "context:id" whose reserved ranges a refused replace may have removed. */
  readonly lost: Set<string>;
}

/** A call without what every record has. */
type Unnumbered = Call extends infer Each ? (Each extends Call ? Omit<Each, Numbering> : never) : never;
type Numbering = 'seq' | 'pid' | 'tid' | 'tNs' | 'extra';

/** Releases that have a profile of their own. */
export const RELEASES = ['6.12', '7.3'] as const;
export type RandomRelease = (typeof RELEASES)[number];

/** Takes numbers one by one; zero when there are no more. */
export interface Draws {
  below(bound: number): number;
}

export const FDS = [3, 4];
export const MEMORY = 0x600000000000n;
export const MEMORY_PAGES = 64n;
export const DATA = 0x7ffd00000000n;
/** Maps begin at a slot and mostly end inside it. */
export const SLOT_BYTES = 4n * 4096n;
export const TEST_LENGTHS = [0n, 1n, 2048n, 4096n, 6000n, 8192n, 65_536n, 2n ** 63n, 2n ** 64n - 1n];

export function openWorld(release: RandomRelease, hardware: Hardware): World {
  const machine = machineFor(hardware, release);
  const own = startSession(createKernel(chooseProfile(release, 4096).profile, true, NO_EFFECTS, machine));
  const { kernel, calls } = own;
  const record: World['record'] = (call) => {
    const base = { seq: calls.length, pid: world.pid, tid: null, tNs: null, extra: null };
    const made = { ...base, ...call } as Call;
    const { ret, errno } = execute(kernel, made);
    const out = made.op === 'read' ? { out: Uint8Array.from(predictedRead(kernel)) } : {};
    const isAnswer = made.op === 'read' || made.op === 'write' || made.op === 'ioctl';
    calls.push(isAnswer ? { ...made, ret, errno, ...out } : made);
    watch();
  };
  const session: Session = {
    ...own,
    open: (fd) => own.open(fd, world.pid),
    close: (fd, kind) => {
      own.close(fd, kind, world.pid);
      watch();
    },
    ioctl: (fd, cmd, arg, mem, _pid, kind) => {
      const answered = own.ioctl(fd, cmd, arg, mem, world.pid, kind);
      watch();
      return answered;
    },
    selftest: (fd, op, id, member = {}) =>
      session.ioctl(fd, CMD.IOMMU_TEST_CMD, buildStruct(IOMMU_TEST_CMD, { op, id }, { member })),
    mmap: (addr, len, prot = 3) => record({ op: 'mmap', ...ANONYMOUS, addr, len, prot, mapped: addr }),
    munmap: (addr, len) => record({ op: 'munmap', ...YES, addr, len }),
  };
  const recording = () => ({ header: headerOn(hardware, release), calls });
  const leaked = new Set<number>();
  const watch = watchLeaks(kernel, leaked);
  const start = { session, pid: PID, fd: FDS[0]!, nextPid: PID + 1 };
  const world: World = { ...start, record, recording, leaked, lost: new Set() };
  for (const fd of FDS) session.open(fd);
  session.mmap(MEMORY, MEMORY_PAGES * 4096n);
  return world;
}

/**
 * The kernel can not release what a device attached by PASID uses when the context goes: it warns and leaks.
 * Answers what to run after each call: it notes the IovaSpaces of contexts that went like that.
 */
function watchLeaks(kernel: Kernel, leaked: Set<number>): () => void {
  let endangered = new Map<number, readonly number[]>();
  return () => {
    const { contexts } = kernel.state;
    for (const [id, spaces] of endangered) {
      if (contexts[id] === undefined) for (const space of spaces) leaked.add(space);
    }
    endangered = new Map();
    for (const { id, groups, objects } of Object.values(contexts)) {
      const hasPasid = Object.values(groups).some(({ slots }) =>
        Object.keys(slots).some((key) => key !== '0'),
      );
      const all = Object.values(objects);
      if (hasPasid)
        endangered.set(
          id,
          all.flatMap((o) => (o.type === 'ioas' ? [o.space] : [])),
        );
    }
  };
}

export const YES = { replied: true, ret: 0, errno: 0 } as const;
const ANONYMOUS = { fd: -1, kind: '?', flags: 0x32n, off: 0n, errno: 0 } as const;

/** A descriptor of a process, and the file behind it. */
export interface Descriptor {
  readonly fd: number;
  readonly file: OpenFile;
}

export function descriptorsOf({ session }: World, { descriptors }: Process): Descriptor[] {
  const { files } = session.kernel.state;
  return Object.entries(descriptors).flatMap(([fd, id]) => {
    const file = files[id];
    return file === undefined ? [] : [{ fd: Number(fd), file }];
  });
}

/** Descriptors of the current process that are open on one of these. */
export function openOn(world: World, ...kinds: OpenFile['kind'][]): Descriptor[] {
  const process = world.session.kernel.state.processes[world.pid];
  const all = process === undefined ? [] : descriptorsOf(world, process);
  return all.filter(({ file }) => kinds.includes(file.kind));
}

/** How a recorder calls what a descriptor is open on. */
export function kindOf({ kind }: OpenFile): DescriptorKind {
  return kind === 'other' ? 'memfd' : kind;
}

/** The lowest free number of the current process: what the kernel gives to the next open. */
export function freeDescriptor({ session, pid }: World): number {
  const taken = session.kernel.state.processes[pid]?.descriptors ?? {};
  let fd = 3;
  while (taken[fd] !== undefined) fd += 1;
  return fd;
}

/** The context behind the current descriptor. */
export function contextOf(world: World): Context | undefined {
  const file = openOn(world, 'iommufd').find(({ fd }) => fd === world.fd)?.file;
  return file === undefined ? undefined : world.session.kernel.state.contexts[file.context];
}

/** An id of an object of that type in the context of the descriptor, or now and then any small number. */
export function idOf(world: World, draws: Draws, ...types: KernelObject['type'][]): number {
  const ids = Object.values(contextOf(world)?.objects ?? {})
    .filter(({ type }) => types.includes(type))
    .map(({ id }) => id);
  const draw = draws.below(64);
  return ids.length === 0 || draw >= 60 ? draws.below(14) : ids[draw % ids.length]!;
}

export function descriptorOf(world: World, draws: Draws, kind: OpenFile['kind']): number {
  const fds = openOn(world, kind).map(({ fd }) => fd);
  return fds.length === 0 || draws.below(16) === 0 ? draws.below(9) : fds[draws.below(fds.length)]!;
}

export const IOVAS = [
  0n,
  0x1000n,
  0xff_f000n,
  0x100_0000n,
  0x7fff_f000n,
  2n ** 63n,
  2n ** 64n - 4096n,
  2n ** 64n - 1n,
];

export function iovaOf(draws: Draws): bigint {
  const draw = draws.below(60);
  if (draw < IOVAS.length) return IOVAS[draw]!;
  if (draw === 39) return 0x100_0800n + BigInt(draws.below(12)) * 4096n;
  return 0x100_0000n + BigInt(draws.below(6)) * SLOT_BYTES;
}

export function lengthOf(draws: Draws): bigint {
  const draw = draws.below(40);
  return TEST_LENGTHS[draw] ?? BigInt(1 + draws.below(4)) * 4096n;
}

/** A range of memory addresses of a device. */
export interface IovaSpan {
  readonly iova: bigint;
  readonly length: bigint;
}

/** Mostly an area that the IOAS has, else a range drawn without a look. */
export function spanOf(world: World, draws: Draws, ioasId: number): IovaSpan {
  const ioas = contextOf(world)?.objects[ioasId];
  const spans: IovaSpan[] = [];
  if (ioas?.type === 'ioas' && draws.below(4) > 0) {
    const { areas } = spaceOf(world.session.kernel, ioas);
    someArea(areas, (slot) => {
      const iova = toBigInt(areas.startPage[slot]!, areas.startOffset[slot]!);
      const last = toBigInt(areas.lastPage[slot]!, areas.lastOffset[slot]!);
      return spans.push({ iova, length: last - iova + 1n }) > 8;
    });
  }
  const drawn = { iova: iovaOf(draws), length: unmapLengthOf(draws) };
  return spans[draws.below(Math.max(1, spans.length))] ?? drawn;
}

/** Mostly the whole of a slot, so that whatever was mapped there lies inside. */
export function unmapLengthOf(draws: Draws): bigint {
  return draws.below(4) === 0 ? lengthOf(draws) : SLOT_BYTES;
}

export function userOf(draws: Draws): bigint {
  const draw = draws.below(24);
  if (draw === 0) return 0n;
  return MEMORY + BigInt(draws.below(66)) * 4096n + (draw === 1 ? 2048n : 0n);
}

export const { FIXED, AUTOMATIC } = { FIXED: 1, AUTOMATIC: 0 } as const;

export function mapFlags(draws: Draws): number {
  const draw = draws.below(16);
  if (draw === 0) return draws.below(16);
  return (draws.below(2) === 0 ? FIXED : AUTOMATIC) | [2, 4, 6, 6][draw % 4]!;
}

/** Eight bytes twice: an inclusive range in user memory. */
export function rangeBytes(first: bigint, last: bigint): Uint8Array {
  const view = new DataView(new ArrayBuffer(16));
  view.setBigUint64(0, first, true);
  view.setBigUint64(8, last, true);
  return new Uint8Array(view.buffer);
}

/** Reads that many bytes of some queue of faults or events. */
export function readQueue(world: World, draws: Draws, len: number): void {
  const queues = openOn(world, 'fault', 'veventq');
  const queue = queues[draws.below(Math.max(1, queues.length))];
  if (queue === undefined) return;
  const { fd, file } = queue;
  world.record({ op: 'read', ...YES, fd, kind: kindOf(file), addr: DATA, len, off: null, out: null });
}
