import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type ReplayOptions, type ReplayResult, replayTrace } from '../../replay/index.ts';
import { chooseProfile, exitProcess, snapshotVersion } from '../../src/model/index.ts';
import type { Capture } from '../../src/trace/index.ts';
import {
  buildStruct,
  CMD,
  ERRNO,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_MAP,
  IOMMU_TEST_OP,
} from '../../src/uapi/index.ts';
import type { Store } from '../../store/index.ts';
import { fixtureNames, readFixture } from '../support/fixtures.ts';
import { PID, startSession } from '../support/session.ts';
import { type Recording, withStored } from '../support/stored.ts';

/**
 * The digest of a final state depends on the calls and on nothing else. A change that moves a digest says so
 * in CHANGELOG.md; `vitest run test/replay/digest.test.ts -u` then writes the golden file again.
 */

const GOLDEN = join(import.meta.dirname, '..', 'golden', 'digests.txt');
const VERSION = snapshotVersion(chooseProfile('6.12', 4096).profile);
const NAMES = fixtureNames();
/** Without the traces that read bitmaps of a million pages: those take seconds a replay-and-snapshot. */
const QUICK = NAMES.filter((name) => !/dirty(64|128)M\.get_dirty_bitmap/.test(name));
/** Import batches, and pages of rows read. */
const BATCHES = [1, 7, 4096];
/** Traces whose every position is a start: one nests and gets faults, one has a child that exits. */
const EVERY_POSITION = [
  'iommufd_ioas.mock_domain.alloc_hwpt_nested',
  'iommufd_ioas.no_domain.area_auto_iova',
];

function replay(capture: Capture, options: ReplayOptions = {}, batchCalls = 4096): ReplayResult {
  return withStored(capture, (store, traceId) => replayTrace(store, traceId, options), batchCalls);
}

/** Snapshots of a trace, one after every so many calls, taken out of the store. */
function takeSnapshots(
  store: Store,
  traceId: number,
  capture: Capture,
  every: number,
  expected: ReplayResult,
): Map<number, Uint8Array> {
  expect(replayTrace(store, traceId, { snapshotEvery: every })).toEqual(expected);
  const snapshots = new Map<number, Uint8Array>();
  for (const { seq } of capture.calls) {
    const found = store.nearestSnapshot(traceId, seq, VERSION);
    if (found !== null) snapshots.set(found.seq, found.state);
  }
  store.deleteSnapshots(traceId);
  return snapshots;
}

/** Replays from one snapshot, and says how that differs from what is left of a replay from the start. */
function replayFrom(store: Store, traceId: number, seq: number, state: Uint8Array): ReplayResult {
  store.deleteSnapshots(traceId);
  store.putSnapshot(traceId, seq, VERSION, state);
  return replayTrace(store, traceId, { fromSnapshot: true });
}

function callsAfter({ calls }: Capture, seq: number): number {
  return calls.filter((call) => call.seq > seq && call.op !== 'note').length;
}

describe('the digest of a replay', () => {
  test('is the one in the golden file for every fixture', async () => {
    const lines = NAMES.map((name) => `${replay(readFixture(name)).digest}  ${name}\n`);
    await expect(lines.join('')).toMatchFileSnapshot(GOLDEN);
  });

  test.each(QUICK)('%s: does not depend on the sizes of import batches and read pages', (name) => {
    const capture = readFixture(name);
    const [expected, ...others] = [
      ...BATCHES.map((batchCalls) => replay(capture, {}, batchCalls)),
      ...BATCHES.map((pageRows) => replay(capture, { pageRows })),
    ];
    for (const other of others) expect(other).toEqual(expected);
  });

  test.each(QUICK)('%s: does not depend on snapshots, taken or started from', (name) => {
    const capture = readFixture(name);
    withStored(capture, (store, traceId) => {
      const expected = replayTrace(store, traceId);
      const distances = capture.calls.length < 100 ? [1, 7, 50] : [50];
      for (const every of distances) {
        for (const [seq, state] of takeSnapshots(store, traceId, capture, every, expected)) {
          const rest = replayFrom(store, traceId, seq, state);
          expect([seq, rest.digest]).toEqual([seq, expected.digest]);
          expect(rest).toMatchObject({ diverged: 0, partial: 0, matched: callsAfter(capture, seq) });
        }
      }
    });
  });

  test('does not depend on snapshots after each single call of a long trace', () => {
    const capture = readFixture('iommufd_ioas.mock_domain.ioas_iova_alloc');
    withStored(capture, (store, traceId) => {
      const expected = replayTrace(store, traceId);
      for (const snapshotEvery of [1, 7]) {
        expect(replayTrace(store, traceId, { snapshotEvery })).toEqual(expected);
        expect(replayTrace(store, traceId, { fromSnapshot: true }).digest).toBe(expected.digest);
        store.deleteSnapshots(traceId);
      }
    });
  });

  test.each(EVERY_POSITION)('%s: is the same from a snapshot after every single call', (name) => {
    const capture = readFixture(name);
    withStored(capture, (store, traceId) => {
      const expected = replayTrace(store, traceId);
      const { digest } = expected;
      const snapshots = takeSnapshots(store, traceId, capture, 1, expected);
      expect(snapshots.size).toBe(expected.calls);
      for (const [seq, state] of snapshots) {
        const rest = replayFrom(store, traceId, seq, state);
        const left = callsAfter(capture, seq);
        expect({ seq, ...rest }).toMatchObject({ seq, digest, calls: left, matched: left });
      }
    });
  });

  test.each(EVERY_POSITION)('%s: at a position is the same from the start and from a snapshot', (name) => {
    const capture = readFixture(name);
    withStored(capture, (store, traceId) => {
      replayTrace(store, traceId, { snapshotEvery: 7 });
      for (const { seq } of capture.calls) {
        const fromStart = replayTrace(store, traceId, { untilSeq: seq });
        const fromSnapshot = replayTrace(store, traceId, { untilSeq: seq, fromSnapshot: true });
        expect([seq, fromSnapshot.digest]).toEqual([seq, fromStart.digest]);
      }
    });
  });

  test('differs after each call that makes an object', () => {
    const capture = readFixture('iommufd_ioas.mock_domain.alloc_hwpt_nested');
    const makes: number[] = [CMD.IOMMU_IOAS_ALLOC, CMD.IOMMU_HWPT_ALLOC, CMD.IOMMU_FAULT_QUEUE_ALLOC];
    const making = capture.calls.filter(
      (call) => call.op === 'ioctl' && call.errno === 0 && makes.includes(call.cmd),
    );
    expect(making.length).toBeGreaterThan(5);
    const digests = making.map(({ seq }) => replay(capture, { untilSeq: seq }).digest);
    expect(new Set(digests).size).toBe(making.length);
  });
});

describe('a snapshot taken while a forked process lives', () => {
  test('does not make the replay miss that the process exits later', () => {
    const recording = forkedMapper();
    withStored(recording, (store, traceId) => {
      const expected = replayTrace(store, traceId);
      expect(expected).toMatchObject({ diverged: 0, assumptions: [expect.stringContaining('process 1001')] });
      for (const { seq } of recording.calls) {
        store.deleteSnapshots(traceId);
        replayTrace(store, traceId, { untilSeq: seq, snapshotEvery: 1 });
        const rest = replayTrace(store, traceId, { fromSnapshot: true });
        expect({ seq, ...rest }).toMatchObject({ seq, digest: expected.digest, diverged: 0 });
      }
    });
  });
});

/** A child maps its memory twice and exits; then nothing of it can be pinned: MOCK_DOMAIN gets EFAULT. */
function forkedMapper(): Recording {
  const child = PID + 1;
  const session = startSession();
  session.open(3);
  session.ioctl(3, CMD.IOMMU_IOAS_ALLOC, buildStruct(IOMMU_IOAS_ALLOC, {}));
  for (const iova of [0x1000000n, 0x2000000n]) {
    const range = { user_va: 0x7f0000000000n, length: 4096n, iova };
    const request = buildStruct(IOMMU_IOAS_MAP, { flags: 7, ioas_id: 1, ...range });
    session.ioctl(3, CMD.IOMMU_IOAS_MAP, request, [], child);
  }
  exitProcess(session.kernel, child);
  const refused = session.selftest(3, IOMMU_TEST_OP.MOCK_DOMAIN, 1);
  expect(refused).toMatchObject({ errno: ERRNO.EFAULT, reason: 'user-memory-not-pinnable' });
  session.close(3);
  return session.recording();
}
