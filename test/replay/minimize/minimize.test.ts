import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  divergenceGoal,
  errnoGoal,
  type MinimizeGoal,
  type MinimizeStep,
  minimizeTrace,
  NothingToMinimizeError,
  replayTrace,
} from '../../../replay/index.ts';
import { findingGoal, lintTrace, RULES } from '../../../src/audit/index.ts';
import {
  type ApiCall,
  type Call,
  type Capture,
  parseCapture,
  setValueAt,
  sitesOf,
} from '../../../src/trace/index.ts';
import type { Store, TraceInfo } from '../../../store/index.ts';
import { readFixture } from '../../support/fixtures.ts';
import { withStored } from '../../support/stored.ts';

const FIXTURES = join(import.meta.dirname, '../../fixtures');

type GoalOf = (store: Store, trace: TraceInfo) => MinimizeGoal;

function minimized(capture: Pick<Capture, 'header' | 'calls'>, goalOf: GoalOf): MinimizeStep {
  return withStored(capture, (store, id) => {
    const trace = store.findTrace(id)!;
    let last: MinimizeStep | null = null;
    for (const step of minimizeTrace(store, trace, goalOf(store, trace))) last = step;
    return last!;
  });
}

const failedCalls = (calls: readonly Call[], each: number): readonly number[] =>
  calls
    .filter((call) => call.op === 'ioctl' && call.errno !== 0)
    .filter((_, index) => index % each === 0)
    .map(({ seq }) => seq);

/** A trace of a model's answers has no divergence: nothing in it contradicts anything else. */
function expectValid(header: Capture['header'], calls: readonly Call[], what: string): void {
  withStored({ header, calls }, (store, id) => {
    const { divergences } = replayTrace(store, id);
    expect(divergences, what).toEqual([]);
  });
}

describe('a trace minimized to a refused call', () => {
  test.each([
    ['linux-6.12-fuzz-mock', 'seed-3'],
    ['linux-6.12-fuzz-mock', 'seed-42'],
    ['linux-6.12-fuzz-vtd', 'legacy48-seed-3'],
    ['linux-6.12-vfio', 'scalable-seed-3'],
    ['linux-7.3-selftests', 'iommufd_viommu.mock_viommu.viommu_negative_tests'],
    ['linux-6.12-type1', 'memory'],
  ])('holds together, fails the same way, and has nothing to spare: %s/%s', (folder, name) => {
    const { header, calls } = readFixture(name, join(FIXTURES, folder));
    const failed = failedCalls(calls, Math.max(1, Math.floor(calls.length / 40)));
    expect(failed.length).toBeGreaterThan(1);
    for (const seq of failed.slice(0, 24)) {
      const goal: GoalOf = (store, trace) => errnoGoal(store, trace, seq);
      const small = minimized({ header, calls }, goal);
      const what = `${name} call ${seq}: ${small.calls.length} calls`;
      expect(small.isMinimal).toBe(true);
      const recorded = calls.find((call) => call.seq === seq) as Call & { errno: number };
      expect(small.calls.at(-1), what).toMatchObject({ seq, errno: recorded.errno });
      expectValid(header, small.calls, what);
      // Minimizing it again, from a capture as anybody would, finds nothing more.
      const again = minimized({ header, calls: small.calls }, goal);
      expect(
        again.calls.map((call) => call.seq),
        what,
      ).toEqual(small.calls.map((call) => call.seq));
      expect(again.calls, what).toEqual(small.calls);
    }
  });

  test('has ids of its own', () => {
    const { header, calls } = readFixture('seed-1', join(FIXTURES, 'linux-6.12-fuzz-mock'));
    const { calls: small } = minimized({ header, calls }, (store, trace) => errnoGoal(store, trace, 20));
    expect(small.map(({ seq }) => seq)).toEqual([3, 11, 20]);
    // Call 11 made IOAS 2; alone it makes the first object.
    const idAt = (index: number, at: number): number => (small[index] as { out: Uint8Array }).out[at]!;
    expect([idAt(1, 8), idAt(2, 4)]).toEqual([1, 1]);
  });

  test('is refused for a call that did not fail, is no call, or is answered otherwise', () => {
    const { header, calls } = readFixture('seed-1', join(FIXTURES, 'linux-6.12-fuzz-mock'));
    const errnoOf = (seq: number) => () =>
      minimized({ header, calls }, (store, trace) => errnoGoal(store, trace, seq));
    expect(errnoOf(4)).toThrow(new NothingToMinimizeError('call 4 did not fail'));
    expect(errnoOf(2)).toThrow(new NothingToMinimizeError('record 2 is a note, not a call'));
    expect(errnoOf(99_999)).toThrow(new NothingToMinimizeError('no call has the number 99999'));
  });
});

describe('a trace minimized to a divergence', () => {
  const fixture = readFixture('seed-5', join(FIXTURES, 'linux-6.12-fuzz-mock'));
  const targets = fixture.calls.filter((call) => call.op === 'ioctl' && call.cmd === 0x3b85).slice(3, 12);

  test('shows the same difference at the same call', () => {
    for (const { seq } of targets) {
      // What the recorded kernel answers is changed: EBUSY, which no MAP gives.
      const calls = fixture.calls.map((call) =>
        call.seq === seq ? ({ ...call, ret: -1, errno: 16 } as Call) : call,
      );
      const small = minimized({ ...fixture, calls }, (store, trace) => divergenceGoal(store, trace, seq));
      expect(small.calls.length).toBeLessThanOrEqual(6);
      withStored({ ...fixture, calls: small.calls }, (store, id) => {
        const { divergences } = replayTrace(store, id);
        expect(divergences.map((each) => [each.seq, each.field])).toEqual([[seq, 'errno']]);
      });
    }
  });

  test('is refused for a call that does not diverge', () => {
    const goal: GoalOf = (store, trace) => divergenceGoal(store, trace, targets[0]!.seq);
    expect(() => minimized(fixture, goal)).toThrow(NothingToMinimizeError);
  });
});

describe('a trace minimized to a finding', () => {
  const fixture = readFixture('seed-1', join(FIXTURES, 'linux-6.12-fuzz-mock'));
  const found = withStored(fixture, (store, id) => lintTrace(store, id).findings);
  const rules = [...new Set(found.map(({ id }) => id))];

  test.each(rules)('still shows it, at the same call: %s', (id) => {
    const rule = RULES.find((each) => each.id === id)!;
    const { seq } = found.find((each) => each.id === id)!;
    const small = minimized(fixture, (store, trace) => findingGoal(store, trace, { rule, seq }));
    expect(small.isMinimal).toBe(true);
    expect(small.calls.length).toBeLessThanOrEqual(12);
    const left = withStored(
      { ...fixture, calls: small.calls },
      (store, trace) => lintTrace(store, trace).findings,
    );
    expect(left.map((each) => [each.id, each.seq])).toContainEqual([id, seq]);
  });
});

describe('a trace of a generation without structs', () => {
  test('holds together, and keeps what its calls build on', () => {
    const name = join(import.meta.dirname, '../../../examples/proposal/july-conflict-one-slot.jsonl');
    const { header, calls } = parseCapture(readFileSync(name, 'utf8'), name);
    const small = minimized({ header, calls }, (store, trace) => errnoGoal(store, trace, 13));
    expectValid(header, small.calls, name);
    expect(small.calls.map(({ seq }) => seq)).toEqual([1, 2, 3, 6, 8, 10, 11, 13]);
    expect((small.calls.at(-1) as ApiCall).args['ioasid']).toBe(1);
  });
});

describe('IOVAs that the kernel chose', () => {
  test('are those of the shorter trace where a later call names them', () => {
    const name = 'iommufd_ioas.mock_domain.area_auto_iova';
    const { header, calls } = readFixture(name);
    // The last unmap is made to fail: its length is no longer that of an area.
    const unmaps = calls.filter((call) => call.op === 'ioctl' && call.cmd === 0x3b86 && call.errno === 0);
    const last = unmaps.at(-1) as Extract<Call, { op: 'ioctl' }>;
    const arg = Uint8Array.from(last.arg!);
    const length = { ...sitesOf(last).find(({ role }) => role === 'iova')!, offset: 16 };
    setValueAt(arg, length, 1n);
    const changed = calls.map((call) =>
      call.seq === last.seq ? { ...last, arg, out: arg, ret: -1, errno: 2 } : call,
    );
    const small = minimized({ header, calls: changed }, (store, trace) => errnoGoal(store, trace, last.seq));
    expectValid(header, small.calls, name);
    expect(small.calls.length).toBeLessThan(6);
  });
});
