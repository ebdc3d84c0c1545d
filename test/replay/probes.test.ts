import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { fixtureNames, readFixture } from '../support/fixtures.ts';
import { addCompared, comparePredictions, noneCompared } from '../support/predictions.ts';
import type { Recording } from '../support/stored.ts';

/** Single questions to the mock IOMMU, predicted from captures without replies, byte for byte. */

const FIXTURES = join(import.meta.dirname, '..', 'fixtures');
/** What the fixtures hold, counted by other means than our reader: comparing nothing proves nothing. */
const EXPECTED = {
  'linux-6.12-probe': { ioctls: 2_651, closes: 10, transfers: 0, buffers: 410, faulted: 15, guesses: 27 },
  'linux-7.3-probe': { ioctls: 700, closes: 4, transfers: 0, buffers: 0, faulted: 0, guesses: 0 },
};
/** Recorders keep this much of a struct. */
const RECORDED_STRUCT_BYTES = 4096;
/** Calls whose size field says more than that: what they answer may depend on bytes that nobody recorded. */
const CUT_STRUCTS = { 'linux-6.12-probe': 46, 'linux-7.3-probe': 0 };

/** The recording without calls whose struct was cut; each of them was refused, and changed nothing. */
function withoutCutStructs({ header, calls }: Recording): { recording: Recording; left: number } {
  const whole = calls.filter((call) => {
    if (call.op !== 'ioctl' || call.arg === null || call.arg.length < RECORDED_STRUCT_BYTES) return true;
    const size = new DataView(call.arg.buffer, call.arg.byteOffset).getUint32(0, true);
    if (size > call.arg.length) expect(call.ret).toBe(-1);
    return size <= call.arg.length;
  });
  return { recording: { header, calls: whole }, left: calls.length - whole.length };
}

describe.each(Object.keys(EXPECTED) as (keyof typeof EXPECTED)[])('%s', (folder) => {
  const names = fixtureNames(join(FIXTURES, folder));
  const total = noneCompared();
  let leftOut = 0;

  test.each(names)('%s is predicted byte for byte', (name) => {
    const { recording, left } = withoutCutStructs(readFixture(name, join(FIXTURES, folder)));
    leftOut += left;
    addCompared(total, comparePredictions(recording));
  });

  test('is compared whole', () => {
    expect(total).toEqual(EXPECTED[folder]);
    expect(leftOut).toBe(CUT_STRUCTS[folder]);
  });
});
