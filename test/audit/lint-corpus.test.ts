import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { LintFinding } from '../../src/audit/index.ts';
import { fixtureNames, readFixture } from '../support/fixtures.ts';
import { lint } from '../support/lint.ts';

/**
 * What lint finds in every recorded trace, pinned: how many findings of each rule. The files were looked at
 * when they were written; docs/lint-rules.md says why each kind is there.
 */

const FIXTURES = join(import.meta.dirname, '../fixtures');
const GOLDEN = join(import.meta.dirname, '../golden/lint');
const FOLDERS = readdirSync(FIXTURES, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name)
  .filter((name) => name !== 'lint' && fixtureNames(join(FIXTURES, name)).length > 0)
  .sort();

const found = new Map<string, readonly LintFinding[]>();

/** Findings of one fixture; two tests look at the programs. */
function findingsOf(folder: string, name: string): readonly LintFinding[] {
  const key = `${folder}/${name}`;
  const known = found.get(key) ?? lint(readFixture(name, join(FIXTURES, folder)));
  found.set(key, known);
  return known;
}

function countsOf(findings: readonly LintFinding[]): string {
  const counts = new Map<string, number>();
  for (const { id } of findings) counts.set(id, (counts.get(id) ?? 0) + 1);
  const texts = [...counts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([id, count]) => `${id} ${count}`);
  return texts.join(', ') || 'none';
}

describe('findings on the recorded traces', () => {
  test.each(FOLDERS)(
    'of %s',
    async (folder) => {
      const names = fixtureNames(join(FIXTURES, folder));
      const lines = names.map((name) => {
        return `${name}: ${countsOf(findingsOf(folder, name))}\n`;
      });
      await expect(lines.join('')).toMatchFileSnapshot(join(GOLDEN, `${folder}.txt`));
    },
    120_000,
  );
});

describe('real programs', () => {
  const programs = ['linux-6.12-vmm', 'linux-6.12-clients'];

  /** What real programs are told of, and no more: each is defended in docs/lint-rules.md. */
  const DEFENDED: Readonly<Record<string, string>> = {
    'map-never-unmapped': 'QEMU and libvfn leave their last maps to the exit of the process',
    'unmap-nothing': 'QEMU unmaps the BARs whose map was refused, and whole windows of its vIOMMU',
    'device-kept-bound': 'QEMU 10.0.13 keeps an unplugged device',
    'bind-twice-two-contexts': 'a device was offered to a second iommufd object on purpose',
  };

  test.each(programs)('of %s are told of nothing that is not defended', (folder) => {
    const names = fixtureNames(join(FIXTURES, folder));
    const ids = names.flatMap((name) => findingsOf(folder, name).map(({ id }) => id));
    expect([...new Set(ids)].filter((id) => DEFENDED[id] === undefined)).toEqual([]);
  });

  test('of QEMU are told that an unplugged device stays alive, with who bound and attached it', () => {
    const [kept, ...more] = findingsOf('linux-6.12-vmm', 'b').filter(({ id }) => id === 'device-kept-bound');
    expect(more).toEqual([]);
    expect(kept).toMatchObject({ severity: 'error', seq: 1031 });
    expect(kept!.chain.map(({ role }) => role)).toEqual(['bound', 'attached', 'bound again']);
    expect(kept!.message).toContain('still attached, so it can still do DMA');
  });

  test('of QEMU are told which map was refused before the unmap of nothing', () => {
    const [first] = findingsOf('linux-6.12-vmm', 'a').filter(({ id }) => id === 'unmap-nothing');
    expect(first!.chain).toEqual([
      expect.objectContaining({ seq: 162, role: 'refused' }),
      expect.objectContaining({ seq: 201, role: 'unmapped' }),
    ]);
  });
});
