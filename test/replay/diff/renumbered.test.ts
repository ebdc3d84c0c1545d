import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { diffTraces, openTimeline, type TraceDiff } from '../../../replay/index.ts';
import type { Capture } from '../../../src/trace/index.ts';
import { fixtureNames, readFixture } from '../../support/fixtures.ts';
import { renumbered } from '../../support/renumber.ts';
import { withStored } from '../../support/stored.ts';

/** Two recordings of one run, whatever their numbers, are equal; and every change of meaning is found. */

const FIXTURES = join(import.meta.dirname, '..', '..', 'fixtures');

function diffCaptures(a: Capture, b: Capture): TraceDiff {
  return withStored(a, (storeA, idA) =>
    withStored(b, (storeB, idB) => {
      const point = (store: typeof storeA, id: number) => ({
        timeline: openTimeline(store, store.findTrace(id)!),
        untilSeq: Number.MAX_SAFE_INTEGER,
      });
      return diffTraces(point(storeA, idA), point(storeB, idB));
    }),
  );
}

const FOLDERS = [
  'linux-6.12-clients',
  'linux-6.12-vmm',
  'linux-6.12-vtd',
  'linux-6.12-vfio',
  'linux-7.3-hw',
  'linux-7.3-arm',
];

describe('the same run with other numbers', () => {
  test.each(FOLDERS)('is equal: %s', (folder) => {
    for (const name of fixtureNames(join(FIXTURES, folder))) {
      const capture = readFixture(name, join(FIXTURES, folder));
      const { isEqual, calls, state, hardware, equalCalls } = diffCaptures(capture, renumbered(capture));
      const fields = calls.map(({ a, b, fields }) => [a?.seq, b?.seq, a?.name, JSON.stringify(fields)]);
      if (!isEqual) expect({ name, fields, state, hardware }).toEqual({ name });
      expect(equalCalls, name).toBeGreaterThan(0);
    }
  });
});
