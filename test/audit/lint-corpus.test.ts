import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { LintFinding } from '../../src/audit/index.ts';
import type { Call, IoctlCall } from '../../src/trace/index.ts';
import { CMD } from '../../src/uapi/index.ts';
import { withNumber } from '../support/edit.ts';
import { fixtureNames, readFixture } from '../support/fixtures.ts';
import { answeredAnew, lint } from '../support/lint.ts';
import { ioctl } from '../support/trace-edits.ts';

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
    'device-kept-bound': 'a device was added twice on purpose',
    'bind-twice-two-contexts': 'a device was offered to a second iommufd object on purpose',
  };

  test.each(programs)('of %s are told of nothing that is not defended', (folder) => {
    const names = fixtureNames(join(FIXTURES, folder));
    const ids = names.flatMap((name) => findingsOf(folder, name).map(({ id }) => id));
    expect([...new Set(ids)].filter((id) => DEFENDED[id] === undefined)).toEqual([]);
  });

  test('of QEMU are told that a device is added twice, with who bound and attached it', () => {
    const [kept, ...more] = findingsOf('linux-6.12-vmm', 'b').filter(({ id }) => id === 'device-kept-bound');
    expect(more).toEqual([]);
    expect(kept).toMatchObject({ severity: 'error', seq: 1031 });
    expect(kept!.chain.map(({ role }) => role)).toEqual(['bound', 'attached', 'bound again']);
    expect(kept!.message).toContain('still attached, so it can still do DMA');
  });

  test('of QEMU that keep an unplugged device alive are told so when it is added again', () => {
    const { header, calls } = readFixture('a', join(FIXTURES, 'linux-6.12-vmm'));
    const again = calls.findLastIndex(ioctl(CMD.VFIO_DEVICE_BIND_IOMMUFD));
    // After `info mtree -f`, the unplug neither detaches nor closes, and the iommufd stays the same one.
    const isTeardown = (call: Call): boolean =>
      (call.op === 'close' && (call.kind === 'device' || call.kind === 'iommufd')) ||
      (call.op === 'open' && call.kind === 'iommufd' && call.seq > 100) ||
      (call.op === 'ioctl' && call.kind === 'iommufd' && call.cmd === CMD.IOMMU_DESTROY) ||
      (call.op === 'ioctl' && call.kind === 'device' && call.cmd === CMD.VFIO_DEVICE_DETACH_IOMMUFD_PT);
    const bind = calls[again] as IoctlCall;
    const kept = calls.slice(0, again).filter((call) => !isTeardown(call));
    const onOld = { ...bind, arg: withNumber(bind.arg, 8, 10) };
    const found = lint(answeredAnew({ header, calls: [...kept, onOld] })).filter(
      ({ seq }) => seq === bind.seq,
    );
    expect(found).toEqual([expect.objectContaining({ id: 'device-kept-bound', severity: 'error' })]);
    expect(found[0]!.message).toContain(
      'descriptor 11 of process 255 still has it as device 1, still attached',
    );
  });

  test('of QEMU are told which map was refused before the unmap of nothing', () => {
    const [first] = findingsOf('linux-6.12-vmm', 'a').filter(({ id }) => id === 'unmap-nothing');
    expect(first!.chain).toEqual([
      expect.objectContaining({ seq: 162, role: 'refused' }),
      expect.objectContaining({ seq: 201, role: 'unmapped' }),
    ]);
  });
});
