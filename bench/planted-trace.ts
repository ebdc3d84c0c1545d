import { chooseProfile, createKernel, execute, type Kernel, predictedStruct } from '../src/model/index.ts';
import type { Call, IoctlCall } from '../src/trace/index.ts';
import {
  buildStruct,
  CMD,
  IOMMU_DESTROY,
  IOMMU_HWPT_ALLOC,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_UNMAP,
  IOMMU_TEST_CMD,
  IOMMU_TEST_OP,
} from '../src/uapi/index.ts';
import { createRandom, type Random } from './random.ts';

/**
 * Long traces with one bug in them: a program that maps, unmaps and copies in several IOASes, moves devices
 * and makes and destroys objects, all in one context, and that somewhere does one thing wrong. The model
 * answers each request.
 */

/** What the program does wrong; `divergence` and `errno…` are about a call, the rest are rules. */
export const PLANTED = [
  'use-after-destroy',
  'double-destroy',
  'destroy-busy-loop',
  'unmap-nothing',
  'unmap-splits-area',
  'map-over-mapped',
  'reserved-range-hit',
  'detach-order',
  'map-never-unmapped',
  'object-leak-at-close',
  'errno',
  'errno-of-attach',
  'divergence',
] as const;

export type Planted = (typeof PLANTED)[number];

export interface PlantedTrace {
  readonly calls: readonly Call[];
  /** The call that the bug shows at. */
  readonly seq: number;
}

const PID = 1000;
const FD = 3;
const PAGE = 4096n;
/** FIXED_IOVA | WRITEABLE | READABLE. */
const FIXED = 7;
const USER = 0x7f00_0000_0000n;
const APERTURE = 0x100_0000n;
const SLOT_BYTES = 0x10000n;
const SLOTS = 4000;
/** One slot that only the bug uses. */
const OWN_SLOT = APERTURE + BigInt(SLOTS + 7) * SLOT_BYTES;

interface Program {
  readonly kernel: Kernel;
  readonly random: Random;
  readonly calls: Call[];
  readonly spaces: { readonly id: number; readonly live: Uint8Array }[];
  /** Mock devices, by the id that moves them. */
  readonly devices: readonly { readonly stdev: number; readonly idev: number }[];
  readonly targets: number[];
  readonly spare: number[];
}

const COMMON = { pid: PID, tid: null, tNs: null, extra: null, replied: true, ret: 0, errno: 0 } as const;

/** A trace of `count` calls whose bug is at two thirds of it. */
export function plantedTrace(planted: Planted, seed: number, count: number): PlantedTrace {
  const program = startProgram(seed);
  const middle = Math.floor((count * 2) / 3);
  let seq = -1;
  let finish: (() => number) | null = null;
  // What the bug needs is made early, and used late.
  while (program.calls.length < middle >> 1) step(program);
  const plant = PLANTS[planted](program);
  while (program.calls.length < middle) step(program);
  const found = plant();
  if (typeof found === 'number') seq = found;
  else finish = found;
  while (program.calls.length < count - 400) step(program);
  if (finish !== null) seq = finish();
  return { calls: program.calls, seq };
}

function startProgram(seed: number): Program {
  const kernel = createKernel(chooseProfile('6.12', 4096).profile);
  const calls: Call[] = [];
  const open: Call = {
    ...COMMON,
    op: 'open',
    seq: 0,
    ret: FD,
    fd: FD,
    kind: 'iommufd',
    path: '/dev/iommu',
    flags: 2n,
  };
  execute(kernel, open);
  calls.push(open);
  const program: Program = {
    kernel,
    random: createRandom(seed),
    calls,
    spaces: [],
    devices: [],
    targets: [],
    spare: [],
  };
  for (let index = 0; index < 4; index += 1)
    program.spaces.push({ id: alloc(program), live: new Uint8Array(SLOTS) });
  const devices = Array.from({ length: 6 }, (_, index) => {
    const { out } = test(program, IOMMU_TEST_OP.MOCK_DOMAIN, program.spaces[index % 4]!.id);
    return { stdev: u32(out, 16), idev: u32(out, 24) };
  });
  const targets = program.spaces.map(({ id }) => id);
  for (const [index, { idev }] of devices.entries()) {
    const pt_id = program.spaces[index % 4]!.id;
    targets.push(
      u32(
        ioctl(program, CMD.IOMMU_HWPT_ALLOC, buildStruct(IOMMU_HWPT_ALLOC, { dev_id: idev, pt_id })).out,
        16,
      ),
    );
  }
  return { ...program, devices, targets };
}

/** One thing that the program does right. */
function step(program: Program): void {
  const { random, spaces, devices, targets, spare } = program;
  const kind = random.below(100);
  const space = spaces[random.below(spaces.length)]!;
  if (kind < 80) {
    const slot = random.below(SLOTS);
    if (space.live[slot] === 1) unmap(program, space.id, iovaOf(slot), SLOT_BYTES);
    else if (kind < 8) copy(program, space, slot);
    else map(program, space.id, iovaOf(slot), BigInt(1 + random.below(16)) * PAGE, random.below(1 << 20));
    space.live[slot] = space.live[slot] === 1 ? 0 : 1;
  } else if (kind < 86) {
    const device = devices[random.below(devices.length)]!;
    const request = testRequest(IOMMU_TEST_OP.MOCK_DOMAIN_REPLACE, device.stdev);
    new DataView(request.buffer).setUint32(16, targets[random.below(targets.length)]!, true);
    ioctl(program, CMD.IOMMU_TEST_CMD, request);
  } else if (spare.length < 4 || (spare.length < 60 && random.below(2) === 0)) spare.push(alloc(program));
  else destroy(program, spare.splice(random.below(spare.length), 1)[0]!);
}

/** Copies a page of another IOAS, or maps where it has none. */
function copy(program: Program, to: { readonly id: number }, slot: number): void {
  const from = program.spaces.find((space) => space.id !== to.id && space.live[slot] === 1);
  if (from === undefined) {
    map(program, to.id, iovaOf(slot), PAGE, slot);
    return;
  }
  const request = buildStruct(IOMMU_IOAS_COPY, {
    flags: FIXED,
    dst_ioas_id: to.id,
    src_ioas_id: from.id,
    length: PAGE,
    dst_iova: iovaOf(slot),
    src_iova: iovaOf(slot),
  });
  ioctl(program, CMD.IOMMU_IOAS_COPY, request);
}

/** Does the first part of the bug, and answers the second: the call that shows it, or what comes at the end. */
const PLANTS: Readonly<Record<Planted, (program: Program) => () => number | (() => number)>> = {
  'use-after-destroy': (program) => {
    const id = alloc(program);
    map(program, id, OWN_SLOT, PAGE, 1);
    return () => {
      destroy(program, id);
      mapsOnly(program);
      return map(program, id, OWN_SLOT, PAGE, 1);
    };
  },
  'double-destroy': (program) => {
    const id = made(program);
    return () => {
      destroy(program, id);
      mapsOnly(program);
      return destroy(program, id);
    };
  },
  'destroy-busy-loop': (program) => () => {
    const [{ id }] = program.spaces as [Program['spaces'][number]];
    destroy(program, id);
    mapsOnly(program);
    destroy(program, id);
    return destroy(program, id);
  },
  'unmap-nothing': (program) => {
    map(program, program.spaces[1]!.id, OWN_SLOT, PAGE, 1);
    unmap(program, program.spaces[1]!.id, OWN_SLOT, PAGE);
    return () => unmap(program, program.spaces[1]!.id, OWN_SLOT, PAGE);
  },
  'unmap-splits-area': (program) => {
    map(program, program.spaces[2]!.id, OWN_SLOT, 16n * PAGE, 1);
    return () => unmap(program, program.spaces[2]!.id, OWN_SLOT + 4n * PAGE, PAGE);
  },
  'map-over-mapped': (program) => {
    map(program, program.spaces[3]!.id, OWN_SLOT, 4n * PAGE, 1);
    return () => map(program, program.spaces[3]!.id, OWN_SLOT + PAGE, PAGE, 77);
  },
  'reserved-range-hit': (program) => () => map(program, program.spaces[0]!.id, 0x8000_0000n, PAGE, 1),
  'detach-order': (program) => {
    const { id } = program.spaces[1]!;
    return () => destroy(program, id);
  },
  'map-never-unmapped': (program) => {
    const seq = map(program, program.spaces[0]!.id, OWN_SLOT, PAGE, 1);
    return () => () => seq;
  },
  'object-leak-at-close': (program) => {
    const seq = program.calls.length;
    alloc(program);
    return () => () => {
      close(program);
      return seq;
    };
  },
  errno: (program) => {
    const id = alloc(program);
    map(program, id, OWN_SLOT, PAGE, 1);
    return () => {
      const request = {
        flags: FIXED,
        dst_ioas_id: program.spaces[0]!.id,
        src_ioas_id: id,
        length: 2n * PAGE,
      };
      const fields = { ...request, dst_iova: OWN_SLOT, src_iova: OWN_SLOT };
      return ioctl(program, CMD.IOMMU_IOAS_COPY, buildStruct(IOMMU_IOAS_COPY, fields)).seq;
    };
  },
  // Of all that is mapped there one area is in the way, and no call names both.
  'errno-of-attach': (program) => {
    const space = { id: alloc(program), live: new Uint8Array(SLOTS) };
    program.spaces.push(space, space, space);
    map(program, space.id, 0x8000_0000n, PAGE, 1);
    return () => {
      const request = testRequest(IOMMU_TEST_OP.MOCK_DOMAIN_REPLACE, program.devices[0]!.stdev);
      new DataView(request.buffer).setUint32(16, space.id, true);
      return ioctl(program, CMD.IOMMU_TEST_CMD, request).seq;
    };
  },
  divergence: (program) => {
    map(program, program.spaces[2]!.id, OWN_SLOT, 4n * PAGE, 1);
    return () => {
      const seq = unmap(program, program.spaces[2]!.id, OWN_SLOT, 4n * PAGE);
      // A kernel that says that nothing was there.
      program.calls[seq] = { ...(program.calls[seq] as IoctlCall), ret: -1, errno: 2 };
      return seq;
    };
  },
};

/** Calls that give nobody the id of an object that is gone. */
function mapsOnly(program: Program): void {
  for (let slot = SLOTS + 20; slot < SLOTS + 70; slot += 1)
    map(program, program.spaces[1]!.id, iovaOf(slot), PAGE, slot);
}

function close({ kernel, calls }: Program): number {
  const call: Call = { ...COMMON, op: 'close', seq: calls.length, fd: FD, kind: 'iommufd' };
  execute(kernel, call);
  calls.push(call);
  return call.seq;
}

/** An object that is no IOAS: a page table. */
function made(program: Program): number {
  const { idev } = program.devices[0]!;
  const request = buildStruct(IOMMU_HWPT_ALLOC, { dev_id: idev, pt_id: program.spaces[0]!.id });
  return u32(ioctl(program, CMD.IOMMU_HWPT_ALLOC, request).out, 16);
}

const iovaOf = (slot: number): bigint => APERTURE + BigInt(slot) * SLOT_BYTES;

function alloc(program: Program): number {
  return u32(ioctl(program, CMD.IOMMU_IOAS_ALLOC, buildStruct(IOMMU_IOAS_ALLOC, {})).out, 8);
}

function destroy(program: Program, id: number): number {
  return ioctl(program, CMD.IOMMU_DESTROY, buildStruct(IOMMU_DESTROY, { id })).seq;
}

function map(program: Program, ioas_id: number, iova: bigint, length: bigint, page: number): number {
  const user_va = USER + BigInt(page) * PAGE;
  const request = buildStruct(IOMMU_IOAS_MAP, { flags: FIXED, ioas_id, user_va, length, iova });
  return ioctl(program, CMD.IOMMU_IOAS_MAP, request).seq;
}

function unmap(program: Program, ioas_id: number, iova: bigint, length: bigint): number {
  return ioctl(program, CMD.IOMMU_IOAS_UNMAP, buildStruct(IOMMU_IOAS_UNMAP, { ioas_id, iova, length })).seq;
}

function test(program: Program, op: number, id: number): IoctlCall {
  return ioctl(program, CMD.IOMMU_TEST_CMD, testRequest(op, id));
}

function testRequest(op: number, id: number): Uint8Array {
  return buildStruct(IOMMU_TEST_CMD, { op, id });
}

/** Makes a call, with the model's answer. */
function ioctl({ kernel, calls }: Program, cmd: number, arg: Uint8Array): IoctlCall {
  const request: IoctlCall = {
    ...COMMON,
    op: 'ioctl',
    seq: calls.length,
    fd: FD,
    kind: 'iommufd',
    cmd,
    argp: 0x7ffc_0000_1000n,
    argFault: false,
    arg,
    out: null,
    mem: [],
    newFd: null,
  };
  const { ret, errno } = execute(kernel, request);
  const call = { ...request, ret, errno, out: predictedStruct(kernel, request) ?? arg };
  calls.push(call);
  return call;
}

function u32(bytes: IoctlCall['out'], at: number): number {
  const { buffer, byteOffset } = bytes as Uint8Array;
  return new DataView(buffer, byteOffset).getUint32(at, true);
}
