import { describe, expect, test } from 'vitest';
import type { Call } from '../../src/trace/index.ts';
import {
  buildStruct,
  CMD,
  ERRNO,
  IOMMU_DESTROY,
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMU_HWPT_ALLOC,
  IOMMU_TEST_OP,
} from '../../src/uapi/index.ts';
import {
  AUTOMATIC,
  allocIoas,
  edited,
  editedIoctl,
  map,
  opened,
  replay,
  unmap,
  withNumber,
} from '../support/edit.ts';
import { readFaults } from '../support/session.ts';

/** What a record says against the prediction is taken over, so that later calls are judged fairly. */

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

  test('of each of two access objects leads later calls to the right one', () => {
    const session = opened();
    const ioas = allocIoas(session);
    map(session, ioas, 0x10000n);
    const first = session.selftest(3, IOMMU_TEST_OP.CREATE_ACCESS, ioas, { flags: 0 });
    const { seq } = session.calls.at(-1)!;
    session.selftest(3, IOMMU_TEST_OP.CREATE_ACCESS, ioas, { flags: 1 });
    const pin = { iova: 0x10000n, length: 4096n, uptr: 0n };
    const plain = session.selftest(3, IOMMU_TEST_OP.ACCESS_PAGES, 4, pin);
    const pinning = session.selftest(3, IOMMU_TEST_OP.ACCESS_PAGES, 5, pin);
    expect([first.errno, plain.errno, pinning.errno]).toEqual([0, ERRNO.EOPNOTSUPP, 0]);
    // The kernel answers 21 for the first and 20 for the second.
    const numbers = [21, 20];
    const bad = {
      ...session.recording(),
      calls: session.calls.map((call): Call => {
        if (call.op !== 'ioctl' || call.seq < seq) return call;
        const number = numbers[(call.seq - seq) % 2]!;
        if (call.seq < seq + 2) return { ...call, out: withNumber(call.out, 16, number) };
        return { ...call, arg: withNumber(call.arg, 8, number), out: withNumber(call.out, 8, number) };
      }),
    };
    expect(replay(bad)).toMatchObject({ diverged: 0, partial: 2, learned: 2 });
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
