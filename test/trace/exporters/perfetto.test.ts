import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { exportPerfetto } from '../../../src/trace/index.ts';
import { describeCall, sourceOfCapture, textOf } from '../../support/export-source.ts';
import { readFixture } from '../../support/fixtures.ts';

interface TraceEvent {
  readonly ph: string;
  readonly pid: number;
  readonly tid: number;
  readonly name: string;
  readonly ts: number;
  readonly dur?: number;
  readonly id?: number;
  readonly args?: Readonly<Record<string, unknown>>;
}

const FIXTURES = join(import.meta.dirname, '../../fixtures');

function eventsOf(name: string, folder: string, marks: Parameters<typeof exportPerfetto>[2]['marks'] = []) {
  const capture = readFixture(name, join(FIXTURES, folder));
  const { text } = textOf((write) =>
    exportPerfetto(sourceOfCapture(capture), write, { describe: describeCall, marks }),
  );
  const { traceEvents } = JSON.parse(text) as { traceEvents: readonly TraceEvent[] };
  return { capture, events: traceEvents };
}

describe('the trace events for Perfetto', () => {
  // Times of QEMU's threads, and a capture without times.
  const traces = [
    ['linux-6.12-vmm', 'a'],
    ['linux-6.12-selftests', 'iommufd_ioas.mock_domain.fork_gone'],
  ] as const;

  test.each(traces)('have no slices that overlap on a track: %s/%s', (folder, name) => {
    const { capture, events } = eventsOf(name, folder);
    const ends = new Map<string, number>();
    const slices = events.filter(({ ph }) => ph === 'X');
    for (const { pid, tid, ts, dur = 0 } of slices) {
      const key = `${pid} ${tid}`;
      // Times of the format are doubles of microseconds.
      expect(ts).toBeGreaterThanOrEqual((ends.get(key) ?? 0) - 1e-3);
      ends.set(key, ts + dur);
    }
    const pids = new Set(capture.calls.map(({ pid }) => pid));
    expect(slices.filter(({ pid }) => pids.has(pid))).toHaveLength(capture.calls.length);
  });

  test('give each object a life, and a slice for each call that names it', () => {
    const { events } = eventsOf('iommufd_mock_domain.two_domains.basic', 'linux-6.12-selftests');
    const begins = events.filter(({ ph }) => ph === 'b');
    const ends = events.filter(({ ph }) => ph === 'e');
    expect(begins.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['ioas 1', 'hwpt 4', 'selftest-device 5', 'device 6', 'iommufd 3']),
    );
    expect(ends.map(({ id }) => id).sort()).toEqual(begins.map(({ id }) => id).sort());
    const track = begins.find(({ name }) => name === 'hwpt 4')!;
    const onTrack = events.filter(({ ph, pid, tid }) => ph === 'X' && pid === track.pid && tid === track.tid);
    // Two MOCK_DOMAIN answer it, and the checks of the maps name it.
    expect(onTrack.map(({ args }) => args!['seq']).slice(0, 4)).toEqual([57, 58, 60, 61]);
  });

  test('mark findings at their calls', () => {
    const mark = { seq: 60, name: 'some-rule', severity: 'error', message: 'because' };
    const { events } = eventsOf('iommufd_mock_domain.two_domains.basic', 'linux-6.12-selftests', [mark]);
    const call = events.find(({ ph, args }) => ph === 'X' && args!['seq'] === 60)!;
    const instants = events.filter(({ ph }) => ph === 'i');
    expect(instants).toHaveLength(1);
    expect(instants[0]).toMatchObject({
      name: 'some-rule',
      ts: call.ts,
      pid: call.pid,
      args: { seq: 60, severity: 'error', message: 'because' },
    });
  });
});
