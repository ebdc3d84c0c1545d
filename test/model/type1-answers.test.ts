import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { exitProcess } from '../../src/model/index.ts';
import { freePages } from '../../src/model/pages-table.ts';
import { fixtureNames, readFixture } from '../support/fixtures.ts';
import { type ContainerReplayOptions, replayContainers } from '../support/type1-replay.ts';

/** Questions put to the classic driver of real kernels: PROVENANCE.md beside the captures says which. */

const folderOf = (kernel: string): string =>
  join(import.meta.dirname, '..', 'fixtures', `linux-${kernel}-type1`);
/** Container ioctls and SET_CONTAINERs in all captures: a comparison of nothing would be worth nothing. */
const COMPARED = { '6.12': 6683, '7.3': 6683 } as const;
type Kernel = keyof typeof COMPARED;

const CAPTURES = (Object.keys(COMPARED) as Kernel[]).flatMap((kernel) =>
  fixtureNames(folderOf(kernel)).map((name) => [kernel, name] as const),
);

function replayFixture(kernel: Kernel, name: string, options?: ContainerReplayOptions) {
  return replayContainers(readFixture(name, folderOf(kernel)), options);
}

describe('answers of a real classic container', () => {
  test.each(CAPTURES)('of Linux %s, %s: every one is as recorded', (kernel, name) => {
    const { divergences, partial } = replayFixture(kernel, name);
    expect(divergences).toEqual([]);
    expect(partial).toEqual([]);
  });

  test.each(CAPTURES)('of Linux %s, %s: the same on Immer drafts, and from snapshots', (kernel, name) => {
    const drafted = replayFixture(kernel, name, { draft: true });
    expect([drafted.divergences, drafted.partial]).toEqual([[], []]);
    const restored = replayFixture(kernel, name, { snapshotCalls: 29 });
    expect([restored.divergences, restored.partial]).toEqual([[], []]);
  });

  test.each(CAPTURES)('of Linux %s, %s: nothing is left once all is closed and gone', (kernel, name) => {
    const result = replayFixture(kernel, name);
    const { pages, spaces, state } = result.kernel;
    // A mapping of a device holds it, and so its group and container, until its process is gone.
    for (const pid of Object.keys(state.processes)) exitProcess(result.kernel, Number(pid));
    expect(pages.slotCount).toBeGreaterThan(0);
    expect(freePages(pages).size).toBe(pages.slotCount);
    expect(spaces.size).toBe(0);
  });

  test('the captures hold what they are meant to hold', () => {
    const compared = { '6.12': 0, '7.3': 0 };
    for (const [kernel, name] of CAPTURES) compared[kernel] += replayFixture(kernel, name).compared;
    expect(compared).toEqual(COMPARED);
  });
});
