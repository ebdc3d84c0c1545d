import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { freePages } from '../../src/model/pages-table.ts';
import { EMPTY_HEADER, parseTopology } from '../../src/trace/index.ts';
import { fixtureNames, readFixture } from '../support/fixtures.ts';
import { type ContainerReplayOptions, replayContainers } from '../support/type1-replay.ts';

/** Questions put to the classic driver of a real Linux 6.12: PROVENANCE.md beside the captures says which. */

const FOLDER = join(import.meta.dirname, '..', 'fixtures', 'type1-6.12');
const NAMES = fixtureNames(FOLDER);
/** Container ioctls and SET_CONTAINERs in all captures: a comparison of nothing would be worth nothing. */
const COMPARED = 6683;

/** The captures have no header: this is the machine they were made on. */
const MACHINE = parseTopology({
  iommu: 'vtd',
  instances: [{ name: 'dmar0', pgsize_bitmap: '0x40201000', aperture: ['0x0', '0xffffffffffff'] }],
  devices: [2, 3, 4].map((group) => ({
    bdf: `0000:00:0${group}.0`,
    group,
    instance: 'dmar0',
    reserved: [['0xfee00000', '0xfeefffff', 'msi']],
  })),
});
const HEADER = { ...EMPTY_HEADER, kernel: '6.12.117', topology: MACHINE };

function replayFixture(name: string, options?: ContainerReplayOptions) {
  return replayContainers({ header: HEADER, calls: readFixture(name, FOLDER).calls }, options);
}

describe('answers of a real classic container', () => {
  test.each(NAMES)('%s: every answer is as recorded', (name) => {
    const { divergences, partial } = replayFixture(name);
    expect(divergences).toEqual([]);
    expect(partial).toEqual([]);
  });

  test.each(NAMES)('%s: the same on Immer drafts, and from snapshots', (name) => {
    const drafted = replayFixture(name, { draft: true });
    expect([drafted.divergences, drafted.partial]).toEqual([[], []]);
    const restored = replayFixture(name, { snapshotCalls: 29 });
    expect([restored.divergences, restored.partial]).toEqual([[], []]);
  });

  test.each(NAMES)('%s: nothing is left once containers and groups are closed', (name) => {
    const { kernel } = replayFixture(name);
    expect(kernel.pages.slotCount).toBeGreaterThan(0);
    expect(freePages(kernel.pages).size).toBe(kernel.pages.slotCount);
    expect(kernel.spaces.size).toBe(0);
  });

  test('the captures hold what they are meant to hold', () => {
    expect(NAMES.reduce((sum, name) => sum + replayFixture(name).compared, 0)).toBe(COMPARED);
  });
});
