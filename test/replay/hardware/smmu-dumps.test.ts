import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { lookAtAll } from '../../../replay/hardware/look.ts';
import { compareSmmuDump } from '../../../replay/hardware/smmu-compare.ts';
import { compareSmmuAt } from '../../../replay/hardware/smmu-compare-trace.ts';
import { withStored } from '../../support/stored.ts';
import { SHARED_TRACES } from '../../trace/shared-traces.ts';
import {
  addSmmu,
  compareSmmuCase,
  noSmmuTotals,
  readSmmuCapture,
  type SmmuCase,
  smmuBelow,
  smmuFixtures,
  smmuPoints,
} from './smmu-sweep.ts';

/**
 * What a real SMMUv3 driver wrote, at markers of captures: stream table entries, context descriptors, every
 * entry of the tables of user space and of its guests, and every command since the dump before must be what
 * the model says, bit for bit, but for what is named as unknown.
 */

const FIXTURES = smmuFixtures(join(import.meta.dirname, '..', '..', 'fixtures', 'linux-7.3-arm'));

/** How much was compared: comparing nothing proves nothing. */
const EXPECTED = { dumps: 128, tables: 111, entries: 20_442, equal: 20_442 };

/** Bits that stayed open, by what they hold. */
const UNKNOWN_BITS = {
  ASID: 3632,
  'commands that depend on table addresses': 1,
  'guest memory that changed after it was recorded': 1024,
  'guest memory that was not recorded': 13_851,
  'page address': 14_004,
  S1ContextPtr: 11_132,
  S2TTB: 4032,
  S2VMID: 352,
  'table address': 15_628,
  TTB0: 11_616,
  VMID: 64,
};

describe('the dumps of linux-7.3-arm', () => {
  const totals = noSmmuTotals();

  test.each(FIXTURES)('$name: hold what the model says', (smmu) => {
    const before = totals.differences.length;
    addSmmu(totals, smmu.name, compareSmmuCase(smmu));
    expect(totals.differences.slice(before)).toEqual([]);
  });

  test('were all compared', () => {
    const { dumps, tables, entries, equal } = totals;
    expect({ dumps, tables, entries, equal }).toEqual(EXPECTED);
  });

  test('leave open only what the kernel or a guest chose', () => {
    expect(totals.unknownBits).toEqual(UNKNOWN_BITS);
  });

  test('agree on the ids that the domains of the kernel itself hold', () => {
    expect([...totals.ownIds].sort()).toEqual(['0 VMIDs', '4 ASIDs', '4 VMIDs']);
  });
});

function fixture(name: string): SmmuCase {
  return FIXTURES.find((each) => each.name === name)!;
}

describe('a view of the state alone', () => {
  test.each(FIXTURES)('$name: holds what the dumps hold, but for ids and commands', (smmu) => {
    const capture = readSmmuCapture(smmu);
    const points = smmuPoints(smmu, capture.calls);
    const at = points.map(({ seq }) => seq);
    const views = withStored(capture, (store, id) => lookAtAll(store, store.findTrace(id)!, at));
    for (const [index, { text }] of points.entries()) {
      const comparison = compareSmmuDump(views[index]!, text)!;
      expect(comparison.differences).toEqual([]);
      expect(comparison.entries).toBe(comparison.equal);
    }
  });

  test('says of a text that is no dump of an SMMU that it is none', () => {
    expect(compareSmmuDump({ seq: 0, iommus: [], domains: [], slots: [] }, 'Device 0000:00:01.0')).toBeNull();
  });
});

describe('a dump', () => {
  const smmu = fixture('canwbs-nest-s1');
  const capture = readSmmuCapture(smmu);
  const points = smmuPoints(smmu, capture.calls);

  test.each([
    ['a bit of a stream table entry', /(ste at=\S+ 0x[0-9a-f]{15})f/, '$17', 'STE word 0'],
    ['a bit of a stage-2 leaf', /(L3\[0\] .* raw=0x[0-9a-f]{13})7ff/, '$177f', 'stage 2'],
    ['a bit of a guest descriptor', /( cd ssid=0 ipa=\S+ pa=\S+ 0x[0-9a-f]{15})9/, '$18', 'guest CD word 0'],
    ['a bit of a command', /( cmd \d+ 0x0000000)8(\d+ 0x[0-9a-f]+ CFGI_STE)/, '$19$2', 'CFGI_STE word 0'],
  ])('with %s changed differs there only', (_what, pattern, replacement, why) => {
    const point = points.find(({ name }) => name.startsWith('smmu-s1.'))!;
    const text = point.text.replace(pattern, replacement);
    expect(text).not.toBe(point.text);
    const comparison = withStored(capture, (store, id) =>
      compareSmmuAt(store, store.findTrace(id)!, point.seq, text),
    )!;
    expect(comparison.differences.map((each) => each.why)).toEqual([expect.stringContaining(why)]);
    expect(comparison.different).toBe(1);
    expect(comparison.equal).toBe(comparison.entries - 1);
  });

  test('without a command of the queue differs', () => {
    const point = points.find(({ name }) => name.startsWith('smmu-ram-unmapped.'))!;
    const text = point.text.replace(/ cmd \d+ .* TLBI_S2_IPA\n/, '');
    expect(text).not.toBe(point.text);
    const compared = withStored(capture, (store, id) =>
      compareSmmuAt(store, store.findTrace(id)!, point.seq, text),
    )!;
    expect(compared.differences.length).toBeGreaterThan(0);
  });

  test('differs from a trace without one of its unmaps', () => {
    const IOAS_UNMAP = 0x3b86;
    const basic = fixture('s1-basic');
    const compared = compareSmmuCase(basic, (calls) => {
      const gone = calls.findIndex((call) => call.op === 'ioctl' && call.cmd === IOAS_UNMAP);
      return calls.filter((_, at) => at !== gone);
    });
    const different = compared.filter(({ comparison }) => comparison.different > 0);
    expect(different.map(({ dump }) => dump)).toContain('smmu-some-unmapped.txt.gz');
    expect(different.map(({ dump }) => dump)).not.toContain('smmu-mapped.txt.gz');
  });
});

describe('all dumps beside the checkout', () => {
  test('hold what the model says', { timeout: 240_000 }, () => {
    const totals = noSmmuTotals();
    for (const smmu of smmuBelow(join(SHARED_TRACES, 'arm-7.3')))
      addSmmu(totals, smmu.name, compareSmmuCase(smmu));
    expect(totals.differences).toEqual([]);
    expect(totals.equal).toBe(totals.entries);
    // None are there in a clone: what they prove beyond the fixtures is theirs alone.
    if (totals.dumps > 0) expect(totals.entries).toBeGreaterThan(40_000);
  });
});
