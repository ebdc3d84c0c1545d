import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { diffRecordings } from '../../support/diff-captures.ts';
import { fixtureNames, readFixture } from '../../support/fixtures.ts';
import { renumbered, withHigherIds } from '../../support/renumber.ts';

/** Two recordings of one run are equal, whatever their numbers. */

const TEST = join(import.meta.dirname, '..', '..');
const QEMU = join(TEST, 'recordings', 'qemu-7.2');
/** Longer ones say nothing more. */
const MOST_CALLS = 3000;
const FOLDERS = ['clients', 'vtd', 'vfio', 'type1', 'vmm'].map((name) => `linux-6.12-${name}`);

describe('the same run', () => {
  test.each([...FOLDERS, 'linux-7.3-hw'])('is equal with other numbers: %s', (name) => {
    const folder = join(TEST, 'fixtures', name);
    let compared = 0;
    for (const each of fixtureNames(folder)) {
      const capture = readFixture(each, folder);
      const { isEqual, calls, state, hardware, equalCalls } = diffRecordings(capture, renumbered(capture));
      const fields = calls.map((call) => [
        call.a?.seq,
        call.b?.seq,
        call.a?.name,
        JSON.stringify(call.fields),
      ]);
      if (!isEqual) expect({ each, fields, state, hardware }).toEqual({ each });
      compared += equalCalls;
    }
    expect(compared).toBeGreaterThan(100);
  });

  test.each(['vmm', 'clients', 'vtd'])('is equal where objects have other ids: linux-6.12-%s', (name) => {
    const folder = join(TEST, 'fixtures', `linux-6.12-${name}`);
    for (const each of fixtureNames(folder)) {
      const capture = readFixture(each, folder);
      // An IOAS that the container made has no id before somebody asks for it.
      if (capture.calls.length > MOST_CALLS || /-mixed$/.test(each)) continue;
      const { isEqual, calls, state, hardware } = diffRecordings(capture, withHigherIds(capture, 40));
      if (!isEqual)
        expect({ each, calls: calls.map(({ fields }) => fields), state, hardware }).toEqual({ each });
    }
  });

  test.each(['stopped', 'firmware'])('of QEMU, recorded twice, is equal: %s', (name) => {
    const [a, b] = [readFixture(`${name}-1`, QEMU), readFixture(`${name}-2`, QEMU)];
    // They are not the same recording: address space layout randomisation sees to that.
    const mapped = (calls: typeof a.calls) =>
      calls.flatMap((call) => (call.op === 'mmap' ? [call.mapped] : []));
    expect(mapped(a.calls)).not.toEqual(mapped(b.calls));
    const { isEqual, calls, equalCalls } = diffRecordings(a, b);
    expect(calls).toEqual([]);
    expect(isEqual).toBe(true);
    expect(equalCalls).toBeGreaterThan(30);
  });
});
