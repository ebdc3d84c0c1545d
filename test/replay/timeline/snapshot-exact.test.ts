import { isDeepStrictEqual } from 'node:util';
import { describe, expect, test } from 'vitest';
import { applyCall } from '../../../replay/index.ts';
import { restoreKernel, serializeKernel } from '../../../src/model/index.ts';
import { canonicalKernel } from '../../support/canonical-kernel.ts';
import { runEach, type TraceName } from '../../support/every-call.ts';
import { seedOf, tracesByFolder } from '../../support/folders.ts';

/** A snapshot holds all of the state: nothing is forgotten, and nothing is kept twice. */

/** Points of a trace at which it is looked at: about so many, spread by a hash of its name. */
const POINTS = 3;

describe('a kernel that was saved and restored', () => {
  test.each(tracesByFolder())('is the same in every field at points of every trace of %s', (_, traces) => {
    for (const trace of traces) {
      const length = callCount(trace);
      const stride = Math.max(1, Math.floor(length / POINTS));
      const offset = seedOf(trace.name) % stride;
      let count = 0;
      runEach(trace, (kernel, call) => {
        applyCall(kernel, call);
        count += 1;
        if (count % stride !== offset && count !== length) return;
        const bytes = serializeKernel(kernel);
        const restored = restoreKernel(bytes, kernel.profile, kernel.machine);
        const at = `${trace.name} after call ${call.seq}`;
        expect(Buffer.compare(serializeKernel(restored), bytes), at).toBe(0);
        const [expected, found] = [canonicalKernel(kernel), canonicalKernel(restored)];
        // The comparison that says where costs a hundred times as much.
        if (!isDeepStrictEqual(found, expected)) expect(found, at).toEqual(expected);
      });
    }
  });
});

function callCount(trace: TraceName): number {
  let count = 0;
  runEach(trace, (kernel, call) => {
    applyCall(kernel, call);
    count += 1;
  });
  return count;
}
