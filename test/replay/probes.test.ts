import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { fixtureNames, readFixture } from '../support/fixtures.ts';
import { addCompared, comparePredictions, noneCompared } from '../support/predictions.ts';

/** Single questions to the mock IOMMU, predicted from captures without replies, byte for byte. */

const FIXTURES = join(import.meta.dirname, '..', 'fixtures');
/** What the fixtures hold, counted by other means than our reader: comparing nothing proves nothing. */
const EXPECTED = {
  'linux-6.12-probe': { ioctls: 2_697, closes: 10, transfers: 0, buffers: 420, faulted: 15, guesses: 27 },
  'linux-7.3-probe': { ioctls: 700, closes: 4, transfers: 0, buffers: 0, faulted: 0, guesses: 0 },
};
describe.each(Object.keys(EXPECTED) as (keyof typeof EXPECTED)[])('%s', (folder) => {
  const names = fixtureNames(join(FIXTURES, folder));
  const total = noneCompared();

  test.each(names)('%s is predicted byte for byte', (name) => {
    addCompared(total, comparePredictions(readFixture(name, join(FIXTURES, folder))));
  });

  test('is compared whole', () => {
    expect(total).toEqual(EXPECTED[folder]);
  });
});
