import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { RULES } from '../../src/audit/index.ts';
import { fixtureNames, readFixture } from '../support/fixtures.ts';
import { lint } from '../support/lint.ts';

/** Small runs on a real kernel: one with a mistake, and one like it without. See PROVENANCE.md there. */

const FOLDER = join(import.meta.dirname, '../fixtures/lint');
const NAMES = fixtureNames(FOLDER);

/** The rule that a capture is about: `attach-order-msi-bad` is of `attach-order`. */
function ruleOf(name: string): string {
  const fits = RULES.filter(({ id }) => name.startsWith(`${id}-`)).map(({ id }) => id);
  return fits.sort((a, b) => b.length - a.length)[0] ?? '';
}

const idsOf = (name: string): string[] => lint(readFixture(name, FOLDER)).map(({ id }) => id);

describe('a capture with a mistake', () => {
  test.each(NAMES.filter((name) => name.endsWith('-bad')))('%s has the finding', (name) => {
    expect(idsOf(name)).toContain(ruleOf(name));
    expect(NAMES).toContain(name.replace(/-bad$/, '-good'));
  });
});

describe('a capture like it without the mistake', () => {
  test.each(NAMES.filter((name) => name.endsWith('-good')))('%s has not', (name) => {
    expect(idsOf(name)).not.toContain(ruleOf(name));
  });
});

describe('a finding', () => {
  test.each(NAMES.filter((name) => name.endsWith('-bad')))('of %s has its whole chain', (name) => {
    const recording = readFixture(name, FOLDER);
    const seqs = new Set(recording.calls.map(({ seq }) => seq));
    for (const { seq, chain, message, fix } of lint(recording)) {
      expect(seqs).toContain(seq);
      expect(chain.length).toBeGreaterThan(0);
      for (const link of chain) expect(seqs).toContain(link.seq);
      expect([...chain].sort((a, b) => a.seq - b.seq)).toEqual(chain);
      expect(message).not.toMatch(/undefined|NaN|null|\[object/);
      // A sentence of some words.
      expect(fix).toMatch(/^[A-Z].* .+\.$/s);
    }
  });
});
