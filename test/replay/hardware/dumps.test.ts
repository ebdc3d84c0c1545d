import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { SHARED_TRACES } from '../../trace/shared-traces.ts';
import { addDumped, dumpedBelow, dumpedFixtures, noTotals } from './sweep.ts';

/**
 * Page tables as real drivers wrote them, at markers of captures: every entry of the tables of user space
 * must be what the model says, bit for bit, but for the addresses of tables and what hardware may set.
 */

const FIXTURES = join(import.meta.dirname, '..', '..', 'fixtures');

/** How much was compared: comparing nothing proves nothing. */
const EXPECTED = {
  'linux-7.3-hw': { dumps: 170, tables: 147, deviceEntries: 168, entries: 17_515 },
  'linux-6.12-vtd': { dumps: 21, tables: 23, deviceEntries: 23, entries: 1_420 },
  'linux-6.12-fuzz-vtd': { dumps: 24, tables: 36, deviceEntries: 36, entries: 4_844 },
} as const;

describe.each(Object.keys(EXPECTED) as (keyof typeof EXPECTED)[])('the dumps of %s', (folder) => {
  const totals = noTotals();

  test.each(dumpedFixtures(join(FIXTURES, folder)))('$name: hold what the model says', (dumped) => {
    const before = totals.differences.length;
    addDumped(totals, dumped);
    expect(totals.differences.slice(before)).toEqual([]);
  });

  test('were all compared', () => {
    const { dumps, tables, deviceEntries, entries, equal, different } = totals;
    expect({ dumps, tables, deviceEntries, entries }).toEqual(EXPECTED[folder]);
    expect({ equal, different }).toEqual({ equal: entries, different: 0 });
  });
});

describe('all dumps beside the checkout', () => {
  test('hold what the model says', { timeout: 120_000 }, () => {
    const totals = noTotals();
    for (const folder of ['vtd-6.12', 'fuzz-6.12', 'hw-7.3']) {
      for (const dumped of dumpedBelow(join(SHARED_TRACES, folder))) addDumped(totals, dumped);
    }
    expect(totals.differences).toEqual([]);
    expect(totals.equal).toBe(totals.entries);
    // None are there in a clone: what they prove beyond the fixtures is theirs alone.
    if (totals.dumps > 0) expect(totals.entries).toBeGreaterThan(30_000);
  });
});
