import { describe, expect, test } from 'vitest';
import { type Explanation, explainCall, replayTrace } from '../../replay/index.ts';
import { fixtureNames, readFixture } from '../support/fixtures.ts';
import { withStored } from '../support/stored.ts';

/** Traces that refuse, nest, get faults, and use access objects: explained at each of their calls. */
const NAMES = fixtureNames().filter((name) => /alloc_hwpt_nested|mock_domain\.area|access_pin/.test(name));

function explainEvery(name: string, options: { snapshots?: boolean; kernel?: string } = {}): Explanation[] {
  const capture = readFixture(name);
  return withStored(capture, (store, traceId) => {
    if (options.snapshots) replayTrace(store, traceId, { snapshotEvery: 7 });
    return capture.calls.map(({ seq }) => explainCall(store, traceId, seq, options)!);
  });
}

describe('explaining a call', () => {
  test('has traces to work on', () => {
    expect(NAMES.length).toBeGreaterThan(3);
  });

  test.each(NAMES)('answers every call of %s as the kernel did, with a reason for each refusal', (name) => {
    for (const { call, modelled, errno, reason, divergence } of explainEvery(name)) {
      expect(divergence).toBeNull();
      if (!modelled || !('errno' in call)) continue;
      expect(errno).toBe(call.errno);
      expect(reason?.errno ?? 0).toBe(errno);
    }
  });

  test('does not take descriptors that were open before for opened ones', () => {
    const changes = explainEvery('iommufd_ioas.mock_domain.area').flatMap(
      (explanation) => explanation.changes,
    );
    const opened = changes.filter((change) => / descriptor \d+ opened/.test(change));
    expect(opened.length).toBeGreaterThan(0);
    expect(opened.filter((change) => / descriptor [012] /.test(change))).toEqual([]);
  });

  test('names the call that made what stands in the way', () => {
    const [first] = explainEvery('iommufd_ioas.mock_domain.area').filter(
      ({ reason }) => reason?.id === 'iova-already-mapped',
    );
    const [area] = first!.refusal!.findings;
    expect(area).toMatchObject({ what: 'area 0x1010000-0x1011fff of IOAS 1', madeBy: 89 });
    expect(area!.madeBy).toBeLessThan(first!.call.seq);
  });

  test('says the same from a snapshot as from the start', () => {
    const name = 'iommufd_ioas.mock_domain.alloc_hwpt_nested';
    expect(explainEvery(name, { snapshots: true })).toEqual(explainEvery(name));
  });

  test('takes the kernel that it is told', () => {
    const [first] = explainEvery('iommufd_ioas.mock_domain.area', { kernel: '7.3' });
    expect(first).toMatchObject({ profile: 'linux-7.3' });
  });

  test('knows no call that the trace has not', () => {
    const capture = readFixture('iommufd_ioas.mock_domain.area');
    expect(withStored(capture, (store, traceId) => explainCall(store, traceId, 1e6))).toBeNull();
  });
});
