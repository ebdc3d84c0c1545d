import { describe, expect, test } from 'vitest';
import { digestOf, replayTrace } from '../../replay/index.ts';
import {
  chooseProfile,
  execute,
  learnReply,
  predictedBuffers,
  predictedRead,
  predictedStruct,
  restoreKernel,
  serializeKernel,
} from '../../src/model/index.ts';
import type { Kernel } from '../../src/model/kernel.ts';
import type { Call } from '../../src/trace/index.ts';
import { leftoversOf, violationsOf } from '../support/invariants.ts';
import { checkRuns } from '../support/random-runs.ts';
import { type RandomRun, type Step, startRandomRun } from '../support/random-steps.ts';
import { RELEASES } from '../support/random-world.ts';
import { withStored } from '../support/stored.ts';

const NOTHING = {
  contexts: 0,
  files: 0,
  spaces: 0,
  pages: 0,
  pins: 0,
  dirtyBits: 0,
  dmabufs: 0,
  windows: 0,
  vfioUsers: 0,
};
const OLD_TYPES = ['access', 'device', 'fault', 'hwpt-nested', 'hwpt-paging', 'ioas', 'selftest'];
const TYPES = {
  '6.12': OLD_TYPES,
  '7.3': [...OLD_TYPES, 'hw-queue', 'vdevice', 'veventq', 'viommu'].sort(),
} as const;

function expectSound({ kernel, leaked }: RandomRun, after: Step | string): void {
  const violations = violationsOf(kernel, leaked);
  if (violations.length > 0) expect({ after, violations }).toEqual({ violations: [] });
}

/** Nothing is left but what the kernel leaked. */
function expectNothing({ kernel, leaked }: RandomRun): void {
  const { pages, pins, dirtyBits, spaces, ...rest } = leftoversOf(kernel);
  if (leaked.size === 0) expect({ ...rest, pages, pins, dirtyBits, spaces }).toEqual(NOTHING);
  else expect({ ...NOTHING, ...rest }).toEqual(NOTHING);
}

function takeAll(run: RandomRun, list: readonly Step[]): void {
  for (const step of list) run.take(step);
}

/** What a kernel answers to a recorded call. As a replay would, it then learns what the record tells. */
function answerOf(kernel: Kernel, call: Call): object {
  const { modelled, ret, errno, reason } = execute(kernel, call);
  const answer = { modelled, ret, errno, reason: reason?.id };
  if (call.op === 'read') return { ...answer, out: predictedRead(kernel).slice() };
  if (call.op !== 'ioctl') return answer;
  const whole = { ...answer, out: predictedStruct(kernel, call), mem: predictedBuffers(kernel, call) };
  if (kernel.call.rests.length > 0) learnReply(kernel, call);
  return whole;
}

describe.each(RELEASES)('any sequence of calls to Linux %s', (release) => {
  test('keeps ids, users, groups, areas and pages consistent, and leaves nothing once all is closed', () => {
    const seen = new Set<string>();
    checkRuns(release, 200, (list, order) => {
      const run = startRandomRun(release);
      for (const step of list) {
        run.take(step);
        expectSound(run, step);
      }
      for (const { objects } of Object.values(run.kernel.state.contexts)) {
        for (const { type } of Object.values(objects)) seen.add(type);
      }
      run.closeAll(order);
      expectSound(run, 'closing');
      expectNothing(run);
    });
    expect([...seen].sort()).toEqual(TYPES[release]);
  });

  test('can be undone by calls: every context is empty when what was made is destroyed', () => {
    let [emptied, stuck] = [0, 0];
    checkRuns(release, 200, (list) => {
      const run = startRandomRun(release);
      takeAll(run, list);
      run.destroyAll();
      expectSound(run, 'destroying');
      for (const { objects, groups } of Object.values(run.kernel.state.contexts)) {
        // Its selftest object is gone, and with it the way to detach it.
        const isStuck = Object.values(objects).some((o) => o.type === 'device');
        if (isStuck) stuck += 1;
        else {
          expect({ objects, groups }).toEqual({ objects: {}, groups: {} });
          emptied += 1;
        }
      }
      // Descriptors of contexts are still open, and nothing else.
      const { contexts, files, dmabufs, windows } = leftoversOf(run.kernel);
      expect({ files, dmabufs, windows }).toEqual({ files: contexts, dmabufs: 0, windows: 0 });
    });
    expect(emptied).toBeGreaterThan(stuck);
    if (release === '6.12') expect(stuck).toBe(0);
  });

  test('replays from the store without a divergence and ends in the same state', () => {
    checkRuns(release, 60, (list) => {
      const run = startRandomRun(release);
      takeAll(run, list);
      const recording = run.recording();
      const result = withStored(recording, replayTrace);
      expect(result.divergences).toEqual([]);
      expect(result).toMatchObject({
        profile: `linux-${release}`,
        calls: recording.calls.length,
        diverged: 0,
      });
      expect(result.digest).toBe(digestOf(run.kernel));
    });
  });

  test('goes on the same from a kernel restored from its bytes', () => {
    const { profile } = chooseProfile(release, 4096);
    checkRuns(release, 60, (list) => {
      const [before, after] = [list.slice(0, list.length / 2), list.slice(list.length / 2)];
      const run = startRandomRun(release);
      takeAll(run, before);
      const bytes = serializeKernel(run.kernel);
      const [a, b] = [restoreKernel(bytes, profile), restoreKernel(bytes, profile)];
      expect(Buffer.compare(serializeKernel(a), bytes)).toBe(0);
      const saved = run.recording().calls.length;
      takeAll(run, after);
      for (const call of run.recording().calls.slice(saved)) {
        const answered = answerOf(a, call);
        expect(answered).toEqual(answerOf(b, call));
        if (call.op === 'ioctl') expect(answered).toMatchObject({ out: call.out });
      }
      expect(Buffer.compare(serializeKernel(a), serializeKernel(run.kernel))).toBe(0);
    });
  });
});
