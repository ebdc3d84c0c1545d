import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CompareLogOptions, compareVtdLog, type LogComparison } from '../../../replay/index.ts';
import { parseCapture } from '../../../src/trace/index.ts';
import { withStored } from '../../support/stored.ts';

/** Logs of an emulated VT-d beside captures of the same machine: it was told what we predict. */

const FOLDER = 'test/fixtures/linux-6.12-vmm';

const read = (path: string): string => gunzipSync(readFileSync(path)).toString();
const logOf = (name: string): string => read(`${FOLDER}/vtd-logs/${name}.log.gz`);

function compare(name: string, log: string, options: CompareLogOptions = {}): LogComparison {
  const capture = parseCapture(read(`${FOLDER}/${name}.jsonl.gz`));
  const found = withStored(capture, (store, id) => compareVtdLog(store, store.findTrace(id)!, log, options));
  if (found === null) throw new Error('no log');
  return found;
}

/** Events counted by hand in the logs of the runs; offsets as measured from matching descriptors. */
const RUNS = [
  { name: 'a', predicted: 129, hits: 117, updates: 3, siblings: ['01:00.1'], offset: 1795170136.7386 },
  { name: 'b', predicted: 254, hits: 2439, updates: 15, siblings: [], offset: 1795168780.8783 },
  { name: 'bpf', predicted: 109, hits: 1623, updates: 10, siblings: [], offset: 1795169915.0094 },
  { name: 'd', predicted: 129, hits: 117, updates: 3, siblings: ['01:00.1'], offset: 1795169385.5896 },
  { name: 'strace', predicted: 228, hits: 1239, updates: 2, siblings: [], offset: 1795169547.8662 },
  { name: 'k-pt', predicted: 496, hits: 34_665, updates: 49, siblings: [], offset: 1795170431.6966 },
] as const;

describe.each(RUNS)('the log of run $name', ({ name, predicted, hits, updates, siblings, offset }) => {
  it('has every invalidation that the capture implies and no other, and hits only of entries held', () => {
    const found = compare(name, logOf(name));
    expect(found.differences).toEqual([]);
    expect(found).toMatchObject({
      different: 0,
      invalidations: { predicted, equal: predicted, notLogged: 0, onlyLogged: 0 },
      translations: { hits, updates },
    });
  });

  it('is the same by the clock that was measured', () => {
    const { differences, clock, siblings: along } = compare(name, logOf(name), { clockOffset: offset });
    expect(differences).toEqual([]);
    expect(clock).toEqual({ seconds: offset, from: 'given' });
    if (name === 'a') expect(along).toEqual(siblings);
  });
});

describe('a log that was cut off', () => {
  /** The log of the fixture ends 18.1 s after the machine started; this is the last map or unmap before. */
  const LAST = 5072;

  it('is compared up to a call', () => {
    const found = compare('k', logOf('k'), { untilSeq: LAST, clockOffset: 1795170113.2823 });
    expect(found.differences).toEqual([]);
    expect(found.invalidations.equal).toBeGreaterThan(1000);
    expect(found.translations.hits).toBeGreaterThan(1000);
  });
});

describe('a log that was tampered with', () => {
  const lines = logOf('bpf').split('\n');
  const clean = compare('bpf', lines.join('\n'));
  /** Lines of the user's domain from the first change of a device of the capture on. */
  const own = (pattern: RegExp): number[] => {
    const first = lines.findIndex((line) => line.includes('sid 0x100') && line.includes('1795169952'));
    return lines.flatMap((line, at) => (at > first && pattern.test(line) ? [at] : []));
  };
  // Of less than a large page: those of more may be of tables in its way, which nobody can foretell.
  const flushes = own(/vtd_inv_desc_iotlb_pages .*domain 0x9 .*mask 0x[0-8]$/);
  /**
   * Unmaps of leaves only, by the hint (bit 6): where a map parts, one piece less may be another parting.
   * So may it be in an area of over 5461 pages, whose first MiB (mask 8) goes by itself: RAM from 0x100000.
   */
  const unmaps = flushes.filter(
    (at) => /high 0x[0-9a-f]*[4-7c-f][0-9a-f] low/.test(lines[at - 1]!) && !/mask 0x8$/.test(lines[at]!),
  );
  const hits = own(/vtd_iotlb_page_hit .*domain 0x9$/);

  it('shows an invalidation that is missing', () => {
    expect(clean.differences).toEqual([]);
    const drop = (at: number): void => {
      // The raw descriptor stands before it.
      const rest = lines.filter((_, line) => line !== at && line !== at - 1);
      const { invalidations } = compare('bpf', rest.join('\n'));
      expect(invalidations.notLogged).toBeGreaterThan(0);
    };
    fc.assert(fc.property(fc.constantFrom(...unmaps), drop), { numRuns: 8 });
  });

  it('shows an invalidation of another range', () => {
    const move = (at: number): void => {
      const other = lines.map((line, each) =>
        each === at ? line.replace(/addr 0x/, 'addr 0x7000000') : line,
      );
      const { different } = compare('bpf', other.join('\n'));
      expect(different).toBeGreaterThan(0);
    };
    fc.assert(fc.property(fc.constantFrom(...flushes), move), { numRuns: 8 });
  });

  it('shows a hit of an entry that nobody filled', () => {
    const at = hits[hits.length >> 1]!;
    const other = lines.map((line, each) => (each === at ? line.replace(/slpte 0x./, 'slpte 0x7') : line));
    const { differences } = compare('bpf', other.join('\n'));
    expect(differences.map(({ what }) => what)).toEqual(['not-held']);
  });
});
