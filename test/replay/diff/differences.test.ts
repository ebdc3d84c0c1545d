import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { TraceDiff } from '../../../replay/index.ts';
import type { Capture, IoctlCall } from '../../../src/trace/index.ts';
import { CMD } from '../../../src/uapi/index.ts';
import { bisectRecordings, diffRecordings } from '../../support/diff-captures.ts';
import { allocIoas, editedIoctl, map, opened, PAGE, unmap, withNumber } from '../../support/edit.ts';
import { readFixture } from '../../support/fixtures.ts';
import { renumbered } from '../../support/renumber.ts';
import type { Recording } from '../../support/stored.ts';

/** Every change of meaning is found, where it is, and nothing that only follows from it is reported. */

const FIXTURES = join(import.meta.dirname, '..', '..', 'fixtures');
const VMM = join(FIXTURES, 'linux-6.12-vmm');
const CLIENTS = join(FIXTURES, 'linux-6.12-clients');

const places = ({ calls }: TraceDiff): (readonly [number | undefined, number | undefined])[] =>
  calls.map(({ a, b }) => [a?.seq, b?.seq]);

function without({ calls, ...rest }: Capture, seq: number): Capture {
  return { ...rest, calls: calls.filter((call) => call.seq !== seq) };
}

describe('a trace of a VMM', () => {
  const capture = readFixture('bpf', VMM);
  const maps = capture.calls.filter(
    (call): call is IoctlCall => call.op === 'ioctl' && call.cmd === CMD.IOMMU_IOAS_MAP && call.errno === 0,
  );

  test('without one of its maps, and with other numbers, differs in that map', () => {
    fc.assert(
      fc.property(fc.nat(maps.length - 1), (at) => {
        const { seq } = maps[at]!;
        const found = diffRecordings(capture, renumbered(without(capture, seq)));
        // What was never mapped can not be unmapped: the model says so, the record does not.
        expect(places(found)).toEqual([[seq, undefined]]);
        expect(found.first?.a?.changedHardware).toBe(true);
        expect(found.first?.a?.reached.length).toBeGreaterThan(0);
      }),
      { seed: 7, numRuns: 6 },
    );
  });

  test('with another length of one map differs in that field, and in the state of the end', () => {
    const last = maps.at(-1)!;
    const changed = editedIoctl(capture, last.seq, ({ arg }) => {
      const bytes = withNumber(arg, 24, 0x2000n);
      return { arg: bytes, out: bytes };
    });
    const found = diffRecordings(capture, changed);
    expect(places(found)).toEqual([[last.seq, last.seq]]);
    expect(found.calls[0]!.fields.map(({ name }) => name)).toContain('length');
    expect(found.state.areas).toHaveLength(1);
    expect(found.hardware.length).toBeGreaterThan(0);
    expect(
      diffRecordings(capture, changed, { ignore: ['IOMMU_IOAS_MAP.length', 'answer.length'] }).callCount,
    ).toBe(0);
    expect(diffRecordings(capture, changed, { ignore: ['IOMMU_IOAS_MAP'] }).isEqual).toBe(false);
  });

  test('behind a vIOMMU differs from identity mapping first where the vIOMMU takes the memory away', () => {
    const { calls } = diffRecordings(readFixture('k-pt', VMM), readFixture('k', VMM));
    expect(calls[0]!.a).toBeNull();
    expect(calls[0]!.b).toMatchObject({ name: 'IOMMU_IOAS_UNMAP', seq: 855 });
  });

  test('parts from a longer run of the same program where it ends, and its hardware too', () => {
    const [longer, shorter] = [capture, readFixture('strace', VMM)];
    const found = diffRecordings(longer, shorter);
    expect(found.calls.every(({ a, b }) => a !== null && b === null)).toBe(true);
    const parted = bisectRecordings(longer, shorter)!;
    expect(parted.a?.seq).toBe(found.calls[0]!.a!.seq);
    expect(parted.b).toBeNull();
  });
});

describe('what KVM is told of devices', () => {
  const capture = readFixture('k-pt', VMM);
  const taken = capture.calls.filter(
    (call): call is IoctlCall => call.op === 'ioctl' && call.kind === 'kvm-vfio' && call.arg![8] === 2,
  );

  test('is compared: a device that is not taken back', () => {
    const { seq } = taken[0]!;
    const found = diffRecordings(capture, renumbered(without(capture, seq)));
    expect(places(found)).toEqual([[seq, undefined]]);
    const { name, fields } = found.calls[0]!.a!;
    expect(name).toBe('KVM_SET_DEVICE_ATTR');
    expect(fields).toContainEqual(expect.objectContaining({ name: 'attr', text: 'KVM_DEV_VFIO_FILE_DEL' }));
  });

  test('is compared by the device that it means', () => {
    const { seq, mem } = taken[0]!;
    const another = capture.calls.find((call) => call.op === 'open' && call.kind === 'iommufd')!;
    const fd = 'ret' in another ? another.ret : 0;
    const changed = editedIoctl(capture, seq, () => ({
      mem: mem.map((buffer) => ({ ...buffer, before: withNumber(buffer.before as Uint8Array, 0, fd) })),
    }));
    const { calls } = diffRecordings(capture, changed);
    expect(calls.map(({ fields }) => fields.map(({ name }) => name))).toEqual([['file']]);
  });
});

describe('what IOTLBs hold in the end', () => {
  const folder = join(FIXTURES, 'linux-6.12-vtd');
  const capture = readFixture('scalable-dma', folder);
  const dma = capture.calls.filter((call) => call.op === 'note' && call.kind === 'edu_dma');

  test('is compared, and is all that differs where a device made one access more', () => {
    // Up to an access: nothing takes away what it left behind.
    const last = dma[2]!;
    const cut = { ...capture, calls: capture.calls.slice(0, capture.calls.indexOf(last) + 1) };
    expect(diffRecordings(cut, renumbered(cut)).isEqual).toBe(true);
    const found = diffRecordings(cut, renumbered(without(cut, last.seq)));
    expect([found.isEqual, found.callCount, found.state.differences, found.hardware]).toEqual([
      false,
      0,
      [],
      [],
    ]);
    expect(found.caches.map(({ device, pasid, cache }) => [device, pasid, cache])).toEqual([
      ['0000:00:02.0', 0, 'iotlb'],
    ]);
    const [{ onlyA, onlyB }] = found.caches as [(typeof found.caches)[number]];
    expect(onlyB).toEqual([]);
    expect(onlyA[0]).toMatch(/^0x[0-9a-f]+-0x[0-9a-f]+ rw? to .*mapping of 0x/);
  });
});

test('a run on the classic driver differs from one on iommufd in what they say, and in the BAR', () => {
  const [a, b] = [readFixture('classic-qemu72-edu', CLIENTS), readFixture('compat-qemu72-edu', CLIENTS)];
  const { calls } = diffRecordings(a, b);
  const names = calls.map((call) => call.a?.name);
  expect(names).toEqual(['VFIO_IOMMU_GET_INFO', 'VFIO_IOMMU_GET_INFO', 'VFIO_IOMMU_MAP_DMA']);
  expect(calls[2]!.fields).toEqual([{ name: 'answer', a: '0', b: 'EFAULT' }]);
});

describe('a program', () => {
  const run = (extra: boolean, mapped = 3n): Recording => {
    const session = opened();
    if (extra) allocIoas(session);
    const ioas = allocIoas(session);
    for (let at = 0n; at < mapped; at += 1n) map(session, ioas, 0x1000000n + at * PAGE);
    unmap(session, ioas, 0x1000000n);
    return session.recording();
  };

  test('that makes one object more differs in that call alone, though all ids after it are others', () => {
    const found = diffRecordings(run(false), run(true));
    expect(found.callCount).toBe(1);
    expect(found.calls[0]!.b?.name).toBe('IOMMU_IOAS_ALLOC');
    expect(found.state.differences).toHaveLength(2);
  });

  test('that maps one page more differs in that call alone', () => {
    const found = diffRecordings(run(true), run(false, 4n));
    expect(found.calls.map(({ a, b }) => [a?.name, b?.name])).toEqual([
      ['IOMMU_IOAS_ALLOC', undefined],
      [undefined, 'IOMMU_IOAS_MAP'],
    ]);
  });
});
