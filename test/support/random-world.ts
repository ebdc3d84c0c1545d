import type { KernelObject } from '../../src/model/state.ts';
import {
  buildStruct,
  CMD,
  IOMMU_HWPT_ALLOC,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_MAP,
  IOMMU_TEST_OP,
} from '../../src/uapi/index.ts';
import { type Session, startSession, u32At } from './session.ts';

/** What random calls work on: two furnished contexts, and the choice of ids, addresses and lengths. */

export interface World {
  readonly session: Session;
  /** Open descriptors of access objects and fault queues. */
  readonly descriptors: { readonly fd: number; readonly kind: 'access' | 'fault' }[];
  readonly fds: number[];
  fd: number;
}

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

export function openWorld(): World {
  const session = startSession();
  for (const fd of FDS) session.open(fd);
  session.mmap(MEMORY, MEMORY_PAGES * 4096n);
  const world: World = { session, descriptors: [], fds: [...FDS], fd: FDS[0]! };
  for (const fd of FDS) furnish(world, fd);
  return world;
}

/** Two IOASes with an area each, the first with a device, a page table to nest on and an access object. */
export function furnish({ session, descriptors }: World, fd: number): void {
  for (let made = 0; made < 2; made += 1) {
    session.ioctl(fd, CMD.IOMMU_IOAS_ALLOC, buildStruct(IOMMU_IOAS_ALLOC, {}));
  }
  session.selftest(fd, IOMMU_TEST_OP.MOCK_DOMAIN, 1);
  const nests = buildStruct(IOMMU_HWPT_ALLOC, { flags: 1, dev_id: 4, pt_id: 1 });
  session.ioctl(fd, CMD.IOMMU_HWPT_ALLOC, nests);
  for (const [ioas_id, iova] of [
    [1, 0x100_0000n],
    [2, 0x100_4000n],
  ] as const) {
    const request = buildStruct(IOMMU_IOAS_MAP, {
      flags: 7,
      ioas_id,
      user_va: MEMORY,
      length: SLOT_BYTES,
      iova,
    });
    session.ioctl(fd, CMD.IOMMU_IOAS_MAP, request);
  }
  const access = session.selftest(fd, IOMMU_TEST_OP.CREATE_ACCESS, 1, { flags: 1 });
  descriptors.push({ fd: u32At(access.out, 16), kind: 'access' });
}

/** An id of an object of that type in the context of the descriptor, or now and then any small number. */
export function idOf({ session, fd }: World, draws: Draws, ...types: KernelObject['type'][]): number {
  const { state } = session.kernel;
  const file = Object.values(state.processes)[0]?.descriptors[fd];
  const context = file === undefined ? undefined : state.contexts[state.files[file]?.context ?? 0];
  const ids = Object.values(context?.objects ?? {})
    .filter(({ type }) => types.includes(type))
    .map(({ id }) => id);
  const draw = draws.below(64);
  return ids.length === 0 || draw >= 60 ? draws.below(14) : ids[draw % ids.length]!;
}

export function descriptorOf({ descriptors }: World, draws: Draws, kind: 'access' | 'fault'): number {
  const fds = descriptors.filter((each) => each.kind === kind).map(({ fd }) => fd);
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
