import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Call, EMPTY_HEADER, type IoctlCall, type PartialNote } from '../../src/trace/index.ts';
import { CMD } from '../../src/uapi/index.ts';
import { replayCalls } from '../support/imported-replay.ts';
import { OBSERVERS, readObserved } from '../support/observed.ts';

const at = (seq: number) => ({ seq, pid: 1, tid: null, tNs: null, extra: null });
const OPEN: Call = {
  ...{ op: 'open', ...at(0), replied: true, ret: 3, errno: 0, fd: 3, kind: 'iommufd' },
  ...{ path: '/dev/iommu', flags: 2n },
};

/** IOMMU_IOAS_ALLOC, which the kernel answers with object 1. */
function alloc(seq: number, more: Partial<IoctlCall> = {}): IoctlCall {
  const arg = new Uint8Array([12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  const out = new Uint8Array([12, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
  return {
    ...{ op: 'ioctl', ...at(seq), replied: true, ret: 0, errno: 0, fd: 3, kind: 'iommufd' },
    ...{ cmd: CMD.IOMMU_IOAS_ALLOC, argp: 0n, argFault: false, arg, out, mem: [], newFd: null },
    ...more,
  };
}

/** IOMMU_DESTROY of an id. */
function destroy(seq: number, id: number, ret: number, errno: number, partial?: PartialNote): IoctlCall {
  const arg = new Uint8Array([8, 0, 0, 0, id, 0, 0, 0]);
  const call = alloc(seq, { cmd: CMD.IOMMU_DESTROY, arg, out: arg, ret, errno });
  return partial === undefined ? call : { ...call, partial };
}

const replay = (...calls: readonly Call[]) => replayCalls(EMPTY_HEADER, calls);

describe('a call that was recorded in part', () => {
  test('matches when nothing that counts is missing', () => {
    const result = replay(OPEN, alloc(1, { partial: { missing: ['argp', 'memory'] } }));
    expect(result).toMatchObject({ matched: 2, partial: 0, diverged: 0, assumptions: [] });
  });

  test('diverges when it was answered otherwise and nothing missing explains it', () => {
    const result = replay(OPEN, destroy(1, 9, 0, 0, { missing: ['argp'] }));
    expect(result).toMatchObject({ matched: 1, diverged: 1 });
  });

  test('of which only the failure is known is compared in that', () => {
    const missing = ['argp', 'errno'];
    expect(replay(OPEN, destroy(1, 9, -1, 0, { missing }))).toMatchObject({ partial: 1, diverged: 0 });
    expect(replay(OPEN, alloc(1), destroy(2, 1, -1, 0, { missing }))).toMatchObject({ diverged: 1 });
  });

  test('with a doubtful answer diverges in nothing, and its answer is not adopted', () => {
    const doubtful = 'events were lost';
    const result = replay(
      OPEN,
      alloc(1),
      destroy(2, 1, -1, 16, { missing: [], doubtful }),
      destroy(3, 1, -1, 2),
    );
    expect(result).toMatchObject({ matched: 3, partial: 1, diverged: 0 });
  });

  test('without its struct is not applied, and what comes after is no divergence', () => {
    const unseen = { arg: null, out: null, partial: { missing: ['arg', 'out'] } };
    const result = replay(OPEN, alloc(1, unseen), destroy(2, 1, 0, 0));
    expect(result).toMatchObject({ matched: 1, partial: 2, diverged: 0, notModelled: {} });
    expect(result.assumptions.join()).toContain('from call 1 on');
  });

  test('without its struct leaves the state certain when it was refused or changes nothing', () => {
    const partial = { missing: ['arg', 'out'] };
    const refused = alloc(1, { arg: null, out: null, ret: -1, errno: 22, partial });
    const asks = alloc(2, { cmd: CMD.IOMMU_GET_HW_INFO, arg: null, out: null, partial });
    expect(replay(OPEN, refused, asks, destroy(3, 1, 0, 0))).toMatchObject({ diverged: 1 });
  });

  test('takes numbers from the answers before it', () => {
    const defines = [{ name: 'r1', in: 'arg', at: 8, bytes: 4 } as const];
    const uses = [{ name: 'r1', in: 'arg', at: 4, bytes: 4 } as const];
    const unanswered = { replied: false, out: null, partial: { missing: ['ret'], defines } };
    const result = replay(OPEN, alloc(1, unanswered), destroy(2, 0, 0, 0, { missing: [], uses }));
    expect(result).toMatchObject({ matched: 2, partial: 1, diverged: 0 });
  });
});

test('events that a recorder lost leave the state uncertain from there on', () => {
  const lost: Call = { op: 'note', ...at(1), kind: 'lost', fields: { events: 5 } };
  expect(replay(OPEN, lost, destroy(2, 7, 0, 0))).toMatchObject({ diverged: 0, partial: 1 });
  expect(replay(OPEN, destroy(2, 7, 0, 0))).toMatchObject({ diverged: 1 });
});

describe('a log of a real run', () => {
  test.each([
    ['qemu-a', 71],
    ['qemu-b', 90],
    ['qemu-bpf', 49],
    ['qemu-k-pt', 331],
    ['qemu-strace', 27],
  ])('%s replays without a divergence', async (name, matched) => {
    const { calls } = await readObserved(join(OBSERVERS, `${name}.log.gz`));
    const result = replayCalls(EMPTY_HEADER, calls);
    expect(result).toMatchObject({ diverged: 0, notModelled: {} });
    expect(result.matched).toBe(matched);
    expect(result.assumptions.filter((says) => says.startsWith('from call'))).toEqual([]);
  });

  test('of bpftrace is as good as a capture: its structs are whole', async () => {
    const { calls } = await readObserved(join(OBSERVERS, 'bpftrace-bpf.txt.gz'));
    expect(replayCalls(EMPTY_HEADER, calls)).toMatchObject({ diverged: 0, matched: 254 });
  });

  test('of strace matches where no struct is needed', async () => {
    const { calls } = await readObserved(join(OBSERVERS, 'strace-strace.txt.gz'));
    expect(replayCalls(EMPTY_HEADER, calls)).toMatchObject({ diverged: 0, matched: 281 });
  });
});
