import { describe, expect, test } from 'vitest';
import { replayTrace } from '../../replay/index.ts';
import type { Call, IoctlCall } from '../../src/trace/index.ts';
import { buildStruct, CMD, ERRNO, errnoName, IOMMU_IOAS_IOVA_RANGES } from '../../src/uapi/index.ts';
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
import { fixtureNames, readFixture } from '../support/fixtures.ts';
import { buffer } from '../support/session.ts';
import { withStored } from '../support/stored.ts';

/** One field of a good trace is edited: that divergence and no other is told. */

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
