import { describe, expect, test } from 'vitest';
import type { Call } from '../../src/trace/index.ts';
import { allocIoas, map, opened, unmap } from '../support/edit.ts';
import { lint } from '../support/lint.ts';
import type { Recording } from '../support/stored.ts';

/** Two threads on one range: what their clocks tell. */

const IOVA = 0x1000000n;
/** Nanoseconds that each call takes. */
const TOOK = 1000;

/** A map, its unmap and the same map again, each by a thread and from a time on. */
function run(...when: readonly (readonly [tid: number, tNs: number])[]): Recording {
  const session = opened();
  const ioas = allocIoas(session);
  const first = session.calls.length;
  map(session, ioas, IOVA);
  unmap(session, ioas, IOVA);
  map(session, ioas, IOVA);
  unmap(session, ioas, IOVA);
  const { header, calls } = session.recording();
  const timed = calls.map((call, at): Call => {
    const [tid, tNs] = when[at - first] ?? [1, 1_000_000_000 + at * 1_000_000];
    return { ...call, tid, tNs, extra: { dt_ns: TOOK } };
  });
  return { header, calls: timed };
}

const hazards = (recording: Recording) => lint(recording).filter(({ id }) => id === 'order-hazard');

describe('a range that two threads map and unmap', () => {
  test('at the same time is a hazard, though nothing was refused', () => {
    const [found, ...more] = hazards(run([1, 10_000_000], [2, 10_000_500]));
    expect(more).toEqual([]);
    expect(found!.message).toContain('depends on which of the two came first');
    expect(found!.chain.map(({ role }) => role)).toEqual(['thread 1', 'thread 2']);
  });

  test('first the one, then the other, is none', () => {
    expect(hazards(run([1, 10_000_000], [2, 10_000_000 + TOOK]))).toEqual([]);
  });

  test('is none in one thread, whatever the clock says', () => {
    expect(hazards(run([1, 10_000_000], [1, 10_000_500]))).toEqual([]);
  });

  test('is a hazard the other way round too: mapped while the unmap ran', () => {
    const found = hazards(run([1, 10_000_000], [1, 20_000_000], [2, 20_000_999]));
    expect(found).toHaveLength(1);
    expect(found[0]!.message).toMatch(/^IOMMU_IOAS_MAP of thread 2 ran while .* was unmapped by thread 1/);
  });
});
