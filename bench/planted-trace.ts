import { execute } from '../src/model/index.ts';
import type { Call, IoctlCall } from '../src/trace/index.ts';
import { buildStruct, CMD, IOMMU_HWPT_ALLOC, IOMMU_IOAS_COPY, IOMMU_TEST_OP } from '../src/uapi/index.ts';
import {
  alloc,
  COMMON,
  destroy,
  FD,
  FIXED,
  ioctl,
  iovaOf,
  map,
  OWN_SLOT,
  PAGE,
  type Program,
  SLOTS,
  startProgram,
  step,
  testRequest,
  u32,
  unmap,
} from './planted-program.ts';

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

/** Does the first part of the bug, and answers the second: the call that shows it, or what comes last. */
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
