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
 * A program that does everything right: it maps, unmaps and copies in several IOASes, moves devices and makes
 * and destroys objects, all in one context. The model answers each request.
 */

const PID = 1000;
export const FD = 3;
export const PAGE = 4096n;
/** FIXED_IOVA | WRITEABLE | READABLE. */
export const FIXED = 7;
const USER = 0x7f00_0000_0000n;
const APERTURE = 0x100_0000n;
const SLOT_BYTES = 0x10000n;
export const SLOTS = 4000;
/** One slot that only the bug uses. */
export const OWN_SLOT = APERTURE + BigInt(SLOTS + 7) * SLOT_BYTES;

export interface Program {
  readonly kernel: Kernel;
  readonly random: Random;
  readonly calls: Call[];
  readonly spaces: { readonly id: number; readonly live: Uint8Array }[];
  /** Mock devices, by the id that moves them. */
  readonly devices: readonly { readonly stdev: number; readonly idev: number }[];
  readonly targets: number[];
  readonly spare: number[];
}

export const COMMON = {
  pid: PID,
  tid: null,
  tNs: null,
  extra: null,
  replied: true,
  ret: 0,
  errno: 0,
} as const;

export function startProgram(seed: number): Program {
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
export function step(program: Program): void {
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

export const iovaOf = (slot: number): bigint => APERTURE + BigInt(slot) * SLOT_BYTES;

export function alloc(program: Program): number {
  return u32(ioctl(program, CMD.IOMMU_IOAS_ALLOC, buildStruct(IOMMU_IOAS_ALLOC, {})).out, 8);
}

export function destroy(program: Program, id: number): number {
  return ioctl(program, CMD.IOMMU_DESTROY, buildStruct(IOMMU_DESTROY, { id })).seq;
}

export function map(program: Program, ioas_id: number, iova: bigint, length: bigint, page: number): number {
  const user_va = USER + BigInt(page) * PAGE;
  const request = buildStruct(IOMMU_IOAS_MAP, { flags: FIXED, ioas_id, user_va, length, iova });
  return ioctl(program, CMD.IOMMU_IOAS_MAP, request).seq;
}

export function unmap(program: Program, ioas_id: number, iova: bigint, length: bigint): number {
  return ioctl(program, CMD.IOMMU_IOAS_UNMAP, buildStruct(IOMMU_IOAS_UNMAP, { ioas_id, iova, length })).seq;
}

function test(program: Program, op: number, id: number): IoctlCall {
  return ioctl(program, CMD.IOMMU_TEST_CMD, testRequest(op, id));
}

export function testRequest(op: number, id: number): Uint8Array {
  return buildStruct(IOMMU_TEST_CMD, { op, id });
}

/** Makes a call, with the model's answer. */
export function ioctl({ kernel, calls }: Program, cmd: number, arg: Uint8Array): IoctlCall {
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

export function u32(bytes: IoctlCall['out'], at: number): number {
  const { buffer, byteOffset } = bytes as Uint8Array;
  return new DataView(buffer, byteOffset).getUint32(at, true);
}
