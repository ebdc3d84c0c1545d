import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { replayTrace } from '../../replay/index.ts';
import { fixtureNames, readFixture } from '../support/fixtures.ts';
import { addCompared, comparePredictions, noneCompared } from '../support/predictions.ts';
import { withStored } from '../support/stored.ts';

/**
 * Random sequences on the mock IOMMU, as Linux 6.12 answered them: return value, errno, every byte of the
 * struct and of user buffers. What user memory holds is said by a rule in the first marker.
 */

const FOLDER = join(import.meta.dirname, '..', 'fixtures', 'linux-6.12-fuzz-mock');
const NAMES = fixtureNames(FOLDER);
/** What the fixtures hold, counted by other means than our reader: comparing nothing proves nothing. */
const EXPECTED = { ioctls: 14_533, closes: 408, transfers: 0, buffers: 3_356, faulted: 0, guesses: 308 };

describe('random calls on the mock IOMMU of Linux 6.12', () => {
  const total = noneCompared();

  test.each(NAMES)('%s: replays without a divergence', (name) => {
    const result = withStored(readFixture(name, FOLDER), replayTrace);
    expect(result.divergences).toEqual([]);
    expect(result).toMatchObject({ diverged: 0, notModelled: {}, profileExact: true });
    expect(result.calls).toBeGreaterThan(100);
  });

  test.each(NAMES)('%s: is predicted byte for byte from a capture without replies', (name) => {
    addCompared(total, comparePredictions(readFixture(name, FOLDER)));
  });

  test('are compared whole: every ioctl, close and user buffer', () => {
    expect(total).toEqual(EXPECTED);
  });
});
