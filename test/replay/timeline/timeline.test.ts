import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bisectTraces, digestOf, openTimeline, SHORT_CALLS, stateAt } from '../../../replay/index.ts';
import type { Call } from '../../../src/trace/index.ts';
import { openStore, type Store, type TraceInfo } from '../../../store/index.ts';
import { useTemporaryFolder } from '../../store/temporary-folder.ts';
import { allocIoas, map, opened, PAGE, unmap } from '../../support/edit.ts';
import { headerOf612 } from '../../support/session.ts';

/** A trace that is long enough for a timeline: any point of it, and where another run parts from it. */

const pathOf = useTemporaryFolder();
const CALLS = SHORT_CALLS + 3000;
const BASE = 0x1000000n;
const SLOTS = 600;

/** Maps and unmaps all over one IOAS of a mock device; from `other` on, of another length now and then. */
function longRun(other = Number.POSITIVE_INFINITY): readonly Call[] {
  const session = opened();
  const ioas = allocIoas(session);
  session.selftest(3, 2, ioas);
  const live = new Set<number>();
  let state = 12_345;
  while (session.calls.length < CALLS) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    const slot = (state >>> 8) % SLOTS;
    const iova = BASE + BigInt(slot) * 16n * PAGE;
    const isOther = session.calls.length >= other && slot % 7 === 0;
    if (live.delete(slot)) unmap(session, ioas, iova, 16n * PAGE);
    else {
      map(session, ioas, iova, undefined, isOther ? 2n * PAGE : PAGE);
      live.add(slot);
    }
  }
  return session.calls;
}

describe('a timeline', () => {
  let store: Store;
  let run: TraceInfo;
  let other: TraceInfo;
  const PARTS_AT = 17_000;

  const keep = (name: string, calls: readonly Call[]): TraceInfo => {
    const writer = store.beginTrace({ name, header: headerOf612() });
    for (let at = 0; at < calls.length; at += 4096) writer.append(calls.slice(at, at + 4096));
    return writer.seal();
  };
  beforeAll(() => {
    store = openStore(pathOf('timeline.db'));
    run = keep('run', longRun());
    other = keep('other', longRun(PARTS_AT));
  });
  afterAll(() => store.close());

  test('gives every point as a replay from the start does, since when and with what sum', () => {
    const timeline = openTimeline(store, run);
    expect(store.query('SELECT count(*) AS points FROM timeline_point')[0]!['points']).toBeGreaterThan(5);
    const straight = timeline.fresh();
    const points = [1, 2047, 2048, 2049, 9000, 16_000, CALLS - 1];
    for (const seq of points) {
      straight.advance(seq);
      const found = timeline.stepperAt(seq);
      expect(digestOf(found.kernel)).toBe(digestOf(straight.kernel));
      expect(found.seq()).toBe(seq);
      expect(found.tracker.lineage).toEqual(straight.tracker.lineage);
      expect(found.tracker.hardware.now).toEqual(straight.tracker.hardware.now);
      expect(found.tracker.chain).toEqual(straight.tracker.chain);
    }
  });

  test('has points so close that little is replayed to reach any call', () => {
    openTimeline(store, run);
    const seqs = store
      .query('SELECT seq FROM timeline_point WHERE trace = 1 ORDER BY seq')
      .map(({ seq }) => Number(seq));
    const gaps = [...seqs, CALLS - 1].map((seq, at) => seq - (seqs[at - 1] ?? -1));
    expect(Math.max(...gaps)).toBeLessThanOrEqual(2048);
  });

  test('tells of each area the call that mapped it', () => {
    const { nodes } = stateAt(store, run, 20_000, { mostAreas: 50 });
    const areas = nodes.find(({ kind }) => kind === 'ioas')!.areas!;
    expect(areas).toHaveLength(50);
    for (const { iova, since } of areas) {
      const [call] = store.readCallsExact(run.id, { fromSeq: since!, toSeq: since! });
      expect(call?.op === 'ioctl' && Buffer.from(call.arg!).readBigUInt64LE(32)).toBe(iova);
    }
  });

  test('is built once, and anew where the kernel is another', () => {
    const looks: number[] = [];
    const open = (kernel: string | null): void =>
      void openTimeline(store, run, { kernel, onProgress: (calls) => looks.push(calls) });
    open(null);
    expect(looks).toEqual([]);
    open('6.8');
    expect(looks.length).toBeGreaterThan(0);
    looks.length = 0;
    open(null);
    expect(looks.length).toBeGreaterThan(0);
  });

  test('of two runs shows where their hardware parts, by a replay of a part of each', () => {
    const [a, b] = [openTimeline(store, run), openTimeline(store, other)];
    const [one, two] = [a.fresh(), b.fresh()];
    let first = 0;
    for (let seq = 1; seq < CALLS && first === 0; seq += 1) {
      if (seq < PARTS_AT - 2) seq = PARTS_AT - 2;
      one.advance(seq);
      two.advance(seq);
      const [x, y] = [one.tracker.hardware.now, two.tracker.hardware.now];
      if (x.high !== y.high || x.low !== y.low) first = seq;
    }
    const found = bisectTraces(a, b)!;
    expect(found.a?.seq).toBe(first);
    expect(found.b?.seq).toBe(first);
    expect(found.replayed).toBeLessThan(1000);
    expect(bisectTraces(a, a)).toBeNull();
  });
});
