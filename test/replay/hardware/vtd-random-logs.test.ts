import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareVtdLog, type LogComparison, lookAtIotlb } from '../../../replay/index.ts';
import { parseCapture } from '../../../src/trace/index.ts';
import { withStored } from '../../support/stored.ts';
import { addDumped, dumpedFixtures, noTotals } from './sweep.ts';

/** Random calls on devices behind an emulated VT-d, in each of its modes, beside its own log. */

/** `6.12-legacy` is `legacy` in the folder of 6.12. */
function placeOf(name: string): { readonly folder: string; readonly own: string } {
  const [, release, own] = /^([\d.]+)-(.*)$/.exec(name)!;
  return { folder: `test/fixtures/linux-${release}-vtd-logs`, own: own! };
}

const read = (path: string): string => gunzipSync(readFileSync(path)).toString();
const logOf = (name: string): string => {
  const { folder, own } = placeOf(name);
  return read(`${folder}/logs/${own}.log.gz`);
};
const captureOf = (name: string): ReturnType<typeof parseCapture> => {
  const { folder, own } = placeOf(name);
  return parseCapture(read(`${folder}/${own}.jsonl.gz`));
};

function compare(name: string, log: string): LogComparison {
  const capture = captureOf(name);
  const found = withStored(capture, (store, id) => compareVtdLog(store, store.findTrace(id)!, log));
  if (found === null) throw new Error('no log');
  return found;
}

/** Counted in the logs: events `vtd_inv_desc_cc_devices`, `_iotlb_domain`, `_iotlb_pages`; updates. */
const RUNS = [
  { name: '6.12-legacy', predicted: 70, updates: 3 },
  { name: '6.12-scalable-caching', predicted: 9154, updates: 1 },
  { name: '6.12-type1', predicted: 96, updates: 0 },
  { name: '6.12-type1-caching', predicted: 156, updates: 0 },
  { name: '7.3-caching', predicted: 3836, updates: 1 },
  { name: '7.3-scalable', predicted: 46, updates: 3 },
  { name: '7.3-scalable-group', predicted: 26, updates: 0 },
] as const;

describe.each(RUNS)('the log of $name', ({ name, predicted, updates }) => {
  it('has every invalidation that the capture implies and no other, and entries that its tables give', () => {
    const found = compare(name, logOf(name));
    expect(found.differences).toEqual([]);
    const invalidations = { predicted, equal: predicted, notLogged: 0, onlyLogged: 0 };
    expect(found).toMatchObject({ invalidations, translations: { updates } });
  });
});

describe('an area that an unmap cuts in two', () => {
  it('is flushed where it goes, and not where it stays', () => {
    const causes: string[] = [];
    withStored(captureOf('7.3-compat-split'), (store, id) =>
      lookAtIotlb(store, store.findTrace(id)!, null, {
        onStep: ({ seq, invalidations }) => {
          if (seq === 86) causes.push(...invalidations.map(({ cause }) => cause));
        },
      }),
    );
    expect(causes).toEqual(['unmap']);
  });
});

describe('the tables that classic containers had on the way', () => {
  it.each(dumpedFixtures('test/fixtures/linux-6.12-vtd-logs'))(
    '$name: are those that the kernel dumped',
    (dumped) => {
      const totals = noTotals();
      addDumped(totals, dumped);
      expect(totals.differences).toEqual([]);
      expect(totals.dumps).toBe(3);
      expect(totals.equal).toBeGreaterThan(1000);
    },
  );
});

describe.each(['6.12-legacy', '7.3-scalable'])('the log of %s, tampered with,', (name) => {
  const lines = logOf(name).split('\n');
  const flushes = lines.flatMap((line, at) => (/_iotlb_(pages|domain) /.test(line) ? [at] : []));
  const differences = (log: readonly string[]): number => compare(name, log.join('\n')).different;

  it('shows each flush that is missing', () => {
    const drop = (at: number): void => {
      // The descriptor stands before it.
      expect(differences(lines.filter((_, each) => each !== at && each !== at - 1))).toBeGreaterThan(0);
    };
    fc.assert(fc.property(fc.constantFrom(...flushes), drop), { numRuns: 10 });
  });

  it('shows each flush that is one too many', () => {
    const repeat = (at: number): void => {
      expect(differences([...lines.slice(0, at + 1), ...lines.slice(at - 1)])).toBeGreaterThan(0);
    };
    const ofPages = flushes.filter((at) => lines[at]!.includes('_pages'));
    fc.assert(fc.property(fc.constantFrom(...ofPages), repeat), { numRuns: 10 });
  });

  it('shows an entry of another page', () => {
    const updates = lines.flatMap((line, at) => (line.includes('_page_update') ? [at] : []));
    const changed = lines.map((line, at) =>
      at === updates[0] ? line.replace(/(slpte 0x)./, (_, start) => `${start}7`) : line,
    );
    expect(differences(changed)).toBeGreaterThan(0);
  });
});
