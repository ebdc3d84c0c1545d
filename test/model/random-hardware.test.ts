import { describe, expect, test } from 'vitest';
import { digestOf, replayTrace } from '../../replay/index.ts';
import { chooseProfile, restoreKernel, serializeKernel } from '../../src/model/index.ts';
import { leftoversOf, violationsOf } from '../support/invariants.ts';
import { HARDWARE } from '../support/random-hardware.ts';
import { checkRuns } from '../support/random-runs.ts';
import { type RandomRun, type Step, startRandomRun } from '../support/random-steps.ts';
import { RELEASES } from '../support/random-world.ts';
import { withStored } from '../support/stored.ts';

/** Random calls on machines with devices: VFIO, groups and iommufd together. */

const MACHINES = HARDWARE.filter((hardware) => hardware !== 'mock').flatMap((hardware) =>
  RELEASES.map((release) => [release, hardware] as const),
);

function expectSound({ kernel, leaked, lost }: RandomRun, after: Step | string): void {
  const violations = violationsOf(kernel, leaked, lost);
  if (violations.length > 0) expect({ after, violations }).toEqual({ violations: [] });
}

describe.each(MACHINES)('any sequence of calls to Linux %s with devices behind %s', (release, hardware) => {
  test('keeps users, owners, groups and reserved ranges consistent, and leaves nothing', () => {
    let [attached, joined] = [0, 0];
    const check = (list: readonly Step[], order: number): void => {
      const run = startRandomRun(release, hardware);
      for (const step of list) {
        run.take(step);
        expectSound(run, step);
      }
      for (const { context, object } of Object.values(run.kernel.state.vfio.devices)) {
        const home = run.kernel.state.contexts[context];
        const slots = Object.values(home?.groups ?? {}).flatMap((group) => Object.values(group.slots));
        const held = slots.filter(({ devices }) => devices.includes(object));
        attached += held.length;
        joined += held.filter(({ devices }) => devices.length > 1).length;
      }
      run.closeAll(order);
      expectSound(run, 'closing');
      const left = leftoversOf(run.kernel);
      const counted = run.leaked.size === 0 ? left : { ...left, pages: 0, pins: 0, dirtyBits: 0, spaces: 0 };
      expect(Object.entries(counted).filter(([, count]) => count !== 0)).toEqual([]);
    };
    checkRuns(release, 80, check, hardware);
    expect(attached).toBeGreaterThan(10);
    expect(joined).toBeGreaterThan(0);
  });

  test('replays without a divergence, and goes on the same from saved bytes', () => {
    const { profile } = chooseProfile(release, 4096);
    const check = (list: readonly Step[]): void => {
      const run = startRandomRun(release, hardware);
      for (const step of list) run.take(step);
      const result = withStored(run.recording(), replayTrace);
      expect(result.divergences).toEqual([]);
      expect(result.digest).toBe(digestOf(run.kernel));
      const bytes = serializeKernel(run.kernel);
      expect(Buffer.compare(serializeKernel(restoreKernel(bytes, profile)), bytes)).toBe(0);
    };
    checkRuns(release, 20, check, hardware);
  });
});
