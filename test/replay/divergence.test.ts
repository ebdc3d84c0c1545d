import { describe, expect, test } from 'vitest';
import { type ReplayResult, replayTrace } from '../../replay/index.ts';
import type { Call, IoctlCall } from '../../src/trace/index.ts';
import {
  buildStruct,
  CMD,
  ERRNO,
  errnoName,
  IOMMU_DESTROY,
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMU_HWPT_ALLOC,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_IOVA_RANGES,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_UNMAP,
  IOMMU_TEST_OP,
} from '../../src/uapi/index.ts';
import { fixtureNames, readFixture } from '../support/fixtures.ts';
import { buffer, readFaults, type Session, startSession, u32At, u64At } from '../support/session.ts';
import { type Recording, withStored } from '../support/stored.ts';

/** One field of a good trace is edited, as Temporal's negative tests do: that divergence and no other is told. */

const AUTOMATIC = 6;
const FIXED = 7;
const PAGE = 4096n;
const USER = 0x7f0000000000n;

const replay = (recording: Recording): ReplayResult => withStored(recording, replayTrace);

/** The recording with one call changed. */
function edited(recording: Recording, seq: number, change: (call: Call) => Call): Recording {
  return { ...recording, calls: recording.calls.map((call) => (call.seq === seq ? change(call) : call)) };
}

function editedIoctl(
  recording: Recording,
  seq: number,
  change: (call: IoctlCall) => Partial<IoctlCall>,
): Recording {
  return edited(recording, seq, (call) => {
    if (call.op !== 'ioctl') throw new Error(`call ${seq} is no ioctl`);
    return { ...call, ...change(call) };
  });
}

/** Bytes with a little-endian number written over them. */
function withNumber(bytes: Uint8Array | null, at: number, value: number | bigint): Uint8Array {
  const copy = Uint8Array.from(bytes!);
  const view = new DataView(copy.buffer);
  if (typeof value === 'bigint') view.setBigUint64(at, value, true);
  else view.setUint32(at, value, true);
  return copy;
}

function allocIoas(session: Session): number {
  return u32At(session.ioctl(3, CMD.IOMMU_IOAS_ALLOC, buildStruct(IOMMU_IOAS_ALLOC, {})).out, 8);
}

function map(session: Session, ioas_id: number, iova: bigint, flags = FIXED, length = PAGE): bigint {
  const request = buildStruct(IOMMU_IOAS_MAP, { flags, ioas_id, user_va: USER, length, iova });
  return u64At(session.ioctl(3, CMD.IOMMU_IOAS_MAP, request).out, 32);
}

function unmap(session: Session, ioas_id: number, iova: bigint, length = PAGE): number {
  const request = buildStruct(IOMMU_IOAS_UNMAP, { ioas_id, iova, length });
  return session.ioctl(3, CMD.IOMMU_IOAS_UNMAP, request).errno;
}

function opened(): Session {
  const session = startSession();
  session.open(3);
  return session;
}

describe('a trace as recorded', () => {
  test('has no divergence, so that what the edits below cause is theirs', () => {
    const session = opened();
    const ioas = allocIoas(session);
    map(session, ioas, 0x10000n);
    map(session, ioas, 0n, AUTOMATIC);
    unmap(session, ioas, 0x10000n);
    session.close(3);
    expect(replay(session.recording())).toMatchObject({ calls: 6, matched: 6, diverged: 0, divergences: [] });
  });
});

describe('an edited result', () => {
  test('of an ioctl that answers by its return value is told as ret', () => {
    const recording = readFixture('iommufd.simple_ioctls');
    const check = recording.calls.find(
      (c) => c.op === 'ioctl' && c.cmd === CMD.VFIO_CHECK_EXTENSION,
    ) as IoctlCall;
    const { divergences, diverged } = replay(editedIoctl(recording, check.seq, () => ({ ret: 0 })));
    expect(diverged).toBe(1);
    expect(divergences[0]).toMatchObject({
      seq: check.seq,
      call: 'VFIO_CHECK_EXTENSION',
      field: 'ret',
      recorded: '0',
      predicted: '1',
      reason: null,
    });
  });

  test('of a close is told as errno', () => {
    const recording = readFixture('iommufd.simple_close');
    const { seq } = recording.calls.find(({ op }) => op === 'close')!;
    const bad = edited(recording, seq, (call) => ({ ...call, ret: -1, errno: ERRNO.EBADF }) as Call);
    expect(replay(bad).divergences).toEqual([
      expect.objectContaining({ seq, call: 'close', field: 'errno', recorded: 'EBADF', predicted: '0' }),
    ]);
  });

  test('of any refused call is one divergence with both names and the reason of the model', () => {
    let edits = 0;
    for (const name of [
      'iommufd_ioas.mock_domain.area',
      'iommufd.cmd_length',
      'iommufd_ioas.no_domain.area',
    ]) {
      const recording = readFixture(name);
      const refused = recording.calls.filter(
        (call) => call.op === 'ioctl' && call.errno !== 0,
      ) as IoctlCall[];
      for (const { seq, errno } of refused) {
        edits += 1;
        const other = errno === ERRNO.ENOSPC ? ERRNO.EIO : ERRNO.ENOSPC;
        const { divergences } = replay(editedIoctl(recording, seq, () => ({ errno: other })));
        expect(divergences).toHaveLength(1);
        const [found] = divergences;
        const told = { seq, field: 'errno', recorded: errnoName(other), predicted: errnoName(errno) };
        expect(found).toMatchObject(told);
        expect(found!.reason).toMatch(/^[a-z0-9-]+$/);
        expect(found!.source).toMatch(/./);
        expect(found!.says).toMatch(/./);
      }
    }
    expect(edits).toBeGreaterThan(20);
  });
});

describe('an edited id', () => {
  test('of a new IOAS is told once, and calls that use the recorded id match', () => {
    const session = opened();
    const ioas = allocIoas(session);
    map(session, ioas, 0x10000n);
    unmap(session, ioas, 0x10000n);
    session.ioctl(3, CMD.IOMMU_DESTROY, buildStruct(IOMMU_DESTROY, { id: ioas }));
    const renamed = session.calls.map((call): Call => {
      if (call.op !== 'ioctl') return call;
      const at = { [CMD.IOMMU_IOAS_ALLOC]: 8, [CMD.IOMMU_IOAS_MAP]: 8 }[call.cmd] ?? 4;
      const out = withNumber(call.out, at, 7);
      return call.cmd === CMD.IOMMU_IOAS_ALLOC
        ? { ...call, out }
        : { ...call, arg: withNumber(call.arg, at, 7), out };
    });
    const result = replay({ ...session.recording(), calls: renamed });
    expect(result.divergences).toEqual([
      expect.objectContaining({
        seq: 1,
        call: 'IOMMU_IOAS_ALLOC',
        field: 'out_ioas_id',
        recorded: '7',
        predicted: '1',
        reason: null,
      }),
    ]);
    expect(result).toMatchObject({ matched: 4, learned: 1 });
  });

  test('of a mock device and its page table is told once, and they are found under the recorded ids', () => {
    const session = opened();
    const ioas = allocIoas(session);
    session.selftest(3, IOMMU_TEST_OP.MOCK_DOMAIN, ioas);
    const [stdev, hwpt, idev] = [9, 8, 5];
    const made = session.calls.at(-1)!.seq;
    session.selftest(3, IOMMU_TEST_OP.MOCK_DOMAIN_REPLACE, 2, { pt_id: ioas });
    session.ioctl(3, CMD.IOMMU_HWPT_ALLOC, buildStruct(IOMMU_HWPT_ALLOC, { dev_id: 3, pt_id: ioas }));
    const [replaced, alloc] = [made + 1, made + 2];
    let bad = editedIoctl(session.recording(), made, ({ out }) => ({
      out: withNumber(withNumber(withNumber(out, 16, stdev), 20, hwpt), 24, idev),
    }));
    bad = editedIoctl(bad, replaced, ({ arg, out }) => ({
      arg: withNumber(arg, 8, stdev),
      out: withNumber(withNumber(out, 8, stdev), 16, hwpt),
    }));
    // The lowest free id is 2 now.
    bad = editedIoctl(bad, alloc, ({ arg, out }) => ({
      arg: withNumber(arg, 8, idev),
      out: withNumber(withNumber(out, 8, idev), 16, 2),
    }));
    const result = replay(bad);
    expect(result.divergences).toMatchObject([{ seq: made, call: 'IOMMU_TEST_CMD' }]);
    expect(result.divergences).toHaveLength(1);
    expect(result.learned).toBe(3);
  });

  test('of a descriptor that the kernel installs is learned and is no divergence', () => {
    const session = opened();
    allocIoas(session);
    session.ioctl(3, CMD.IOMMU_FAULT_QUEUE_ALLOC, buildStruct(IOMMU_FAULT_QUEUE_ALLOC, {}));
    const { seq } = session.calls.at(-1)!;
    expect(readFaults(session, 4, 40)).toHaveLength(0);
    const bad = edited(
      editedIoctl(session.recording(), seq, ({ out }) => ({ out: withNumber(out, 12, 11) })),
      seq + 1,
      (call) => ({ ...call, fd: 11 }) as Call,
    );
    expect(replay(bad)).toMatchObject({ diverged: 0, partial: 1, learned: 1, matched: 3 });
  });
});

describe('an edited address', () => {
  test('chosen for a map is told once, and the area is where the record says', () => {
    const session = opened();
    const ioas = allocIoas(session);
    const chosen = map(session, ioas, 0n, AUTOMATIC);
    const { seq } = session.calls.at(-1)!;
    expect(unmap(session, ioas, 0x55000n)).toBe(ERRNO.ENOENT);
    let bad = editedIoctl(session.recording(), seq, ({ out }) => ({ out: withNumber(out, 32, 0x55000n) }));
    bad = editedIoctl(bad, seq + 1, ({ arg }) => ({ ret: 0, errno: 0, out: arg }));
    const result = replay(bad);
    expect(result.divergences).toEqual([
      expect.objectContaining({
        seq,
        call: 'IOMMU_IOAS_MAP',
        field: 'iova',
        recorded: '0x55000',
        predicted: `0x${chosen.toString(16)}`,
      }),
    ]);
    expect(result.matched).toBe(result.calls - 1);
  });

  test('of a map that the record says was refused is free again', () => {
    const session = opened();
    const ioas = allocIoas(session);
    map(session, ioas, 0x10000n);
    const { seq } = session.calls.at(-1)!;
    expect(unmap(session, ioas, 0x10000n)).toBe(0);
    map(session, ioas, 0x10000n);
    unmap(session, ioas, 0x10000n);
    let bad = editedIoctl(session.recording(), seq, ({ arg }) => ({
      ret: -1,
      errno: ERRNO.ENOMEM,
      out: arg,
    }));
    bad = editedIoctl(bad, seq + 1, ({ arg }) => ({ ret: -1, errno: ERRNO.ENOENT, out: arg }));
    const result = replay(bad);
    expect(result.divergences).toEqual([
      expect.objectContaining({ seq, field: 'errno', recorded: 'ENOMEM', predicted: '0', reason: null }),
    ]);
    expect(result.matched).toBe(result.calls - 1);
  });

  test('of unmapped bytes is told by the name of its field', () => {
    const session = opened();
    const ioas = allocIoas(session);
    map(session, ioas, 0x10000n);
    unmap(session, ioas, 0x10000n);
    const { seq } = session.calls.at(-1)!;
    const bad = editedIoctl(session.recording(), seq, ({ out }) => ({ out: withNumber(out, 16, 0x2000n) }));
    const told = { seq, call: 'IOMMU_IOAS_UNMAP', field: 'length', recorded: '0x2000', predicted: '0x1000' };
    expect(replay(bad).divergences).toMatchObject([told]);
  });
});

describe('an edited byte', () => {
  test('of a user buffer is told by the index of the buffer', () => {
    const session = opened();
    const ioas = allocIoas(session);
    const room = buffer(0x7f0000001000n, new Uint8Array(16), 'out');
    const request = { ioas_id: ioas, num_iovas: 1, allowed_iovas: room.addr };
    session.ioctl(3, CMD.IOMMU_IOAS_IOVA_RANGES, buildStruct(IOMMU_IOAS_IOVA_RANGES, request), [room]);
    const { seq } = session.calls.at(-1)!;
    expect(replay(session.recording()).diverged).toBe(0);
    const bad = editedIoctl(session.recording(), seq, ({ mem }) => ({
      mem: [{ ...mem[0]!, after: withNumber(mem[0]!.after as Uint8Array, 0, 0x1000n) }],
    }));
    expect(replay(bad).divergences).toEqual([
      expect.objectContaining({
        seq,
        call: 'IOMMU_IOAS_IOVA_RANGES',
        field: 'mem[0]',
        recorded: `0010000000000000${'ff'.repeat(8)}`,
        predicted: `0000000000000000${'ff'.repeat(8)}`,
      }),
    ]);
  });

  test('of what a read of faults gave is told as out', () => {
    const recording = readFixture('iommufd_ioas.mock_domain.alloc_hwpt_nested');
    const { seq } = recording.calls.find(({ op }) => op === 'read')!;
    const bad = edited(recording, seq, (call) => {
      if (call.op !== 'read') throw new Error('no read');
      return { ...call, out: withNumber(call.out as Uint8Array, 12, 99) };
    });
    expect(replay(bad).divergences).toMatchObject([{ seq, call: 'read', field: 'out' }]);
    expect(replay(bad).diverged).toBe(1);
  });

  test('in the struct after any call of a trace is noticed at that call first', () => {
    let edits = 0;
    for (const name of fixtureNames().filter((each) =>
      /^iommufd_mock_domain\.two_domains\.(basic|ro)/.test(each),
    )) {
      const recording = readFixture(name);
      for (const call of recording.calls) {
        if (call.op !== 'ioctl' || call.out === null) continue;
        for (let at = call.seq % 5; at < call.out.length; at += 5) {
          edits += 1;
          const out = Uint8Array.from(call.out);
          out[at]! ^= 0x40;
          const { divergences } = replay(editedIoctl(recording, call.seq, () => ({ out })));
          expect([at, divergences[0]?.seq]).toEqual([at, call.seq]);
        }
      }
    }
    expect(edits).toBeGreaterThan(100);
  });
});

describe('what a divergence keeps', () => {
  test('is counted in full and kept up to the number asked for', () => {
    const recording = readFixture('iommufd_ioas.no_domain.area');
    const calls = recording.calls.map((call) =>
      call.op === 'ioctl' && call.errno !== 0 ? { ...call, errno: ERRNO.ENOSPC } : call,
    );
    const all = replay({ ...recording, calls });
    expect(all.diverged).toBeGreaterThan(3);
    expect(all.divergences).toHaveLength(all.diverged);
    const few = withStored({ ...recording, calls }, (store, id) =>
      replayTrace(store, id, { maxDivergences: 2 }),
    );
    expect(few).toMatchObject({ diverged: all.diverged, divergences: all.divergences.slice(0, 2) });
  });
});
