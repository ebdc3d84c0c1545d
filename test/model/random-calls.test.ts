import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { digestOf, replayTrace } from '../../replay/index.ts';
import {
  chooseProfile,
  execute,
  predictedBuffers,
  predictedRead,
  predictedStruct,
  restoreKernel,
  serializeKernel,
} from '../../src/model/index.ts';
import type { Kernel } from '../../src/model/kernel.ts';
import type { Call } from '../../src/trace/index.ts';
import { leftoversOf, violationsOf } from '../support/invariants.ts';
import { startRandomRun, steps } from '../support/random-steps.ts';
import { withStored } from '../support/stored.ts';

const PROFILE = chooseProfile('6.12', 4096).profile;
const order = fc.nat({ max: 65_535 });

const NOTHING = { contexts: 0, files: 0, spaces: 0, pages: 0, pins: 0, dirtyBits: 0 };

/** Everything that a call answers. */
function answerOf(kernel: Kernel, call: Call): object {
  const { modelled, ret, errno, reason } = execute(kernel, call);
  const answer = { modelled, ret, errno, reason: reason?.id };
  if (call.op === 'read') return { ...answer, out: predictedRead(kernel).slice() };
  if (call.op !== 'ioctl') return answer;
  return { ...answer, out: predictedStruct(kernel, call), mem: predictedBuffers(kernel, call) };
}

describe('any sequence of calls', () => {
  test('keeps users, groups, areas and pages consistent, and leaves nothing once all is closed', () => {
    const seen = new Map<string, number>();
    fc.assert(
      fc.property(steps, order, (list, closing) => {
        const run = startRandomRun();
        for (const step of list) {
          run.take(step);
          const violations = violationsOf(run.session.kernel);
          if (violations.length > 0) expect({ after: step, violations }).toEqual({ violations: [] });
        }
        for (const { type } of Object.values(run.session.kernel.state.contexts).flatMap((c) =>
          Object.values(c.objects),
        )) {
          seen.set(type, (seen.get(type) ?? 0) + 1);
        }
        run.closeAll(closing);
        expect(violationsOf(run.session.kernel)).toEqual([]);
        expect(leftoversOf(run.session.kernel)).toEqual(NOTHING);
      }),
      { numRuns: 250 },
    );
    const types = ['access', 'device', 'fault', 'hwpt-nested', 'hwpt-paging', 'ioas', 'selftest'];
    expect([...seen.keys()].sort()).toEqual(types);
  });

  test('replays from the store without a divergence and ends in the same state', () => {
    fc.assert(
      fc.property(steps, (list) => {
        const run = startRandomRun();
        for (const step of list) run.take(step);
        const result = withStored(run.session.recording(), replayTrace);
        expect(result.divergences).toEqual([]);
        expect(result.matched + result.partial).toBe(run.session.calls.length);
        expect(result.digest).toBe(digestOf(run.session.kernel));
      }),
      { numRuns: 80 },
    );
  });
});

describe('a kernel restored from its bytes', () => {
  test('serializes to the same bytes and answers all later calls the same', () => {
    fc.assert(
      fc.property(steps, steps, (before, after) => {
        const run = startRandomRun();
        for (const step of before) run.take(step);
        const bytes = serializeKernel(run.session.kernel);
        const [a, b] = [restoreKernel(bytes, PROFILE), restoreKernel(bytes, PROFILE)];
        expect(Buffer.compare(serializeKernel(a), bytes)).toBe(0);
        const saved = run.session.calls.length;
        for (const step of after) run.take(step);
        for (const call of run.session.calls.slice(saved)) {
          expect(answerOf(a, call)).toEqual(answerOf(b, call));
          if (call.op === 'ioctl') expect(predictedStruct(a, call)).toEqual(call.out);
        }
        expect(Buffer.compare(serializeKernel(a), serializeKernel(run.session.kernel))).toBe(0);
      }),
      { numRuns: 80 },
    );
  });
});
