import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { predictTrace, type ReplayResult, replayTrace } from '../../replay/index.ts';
import { readFixture } from '../support/fixtures.ts';
import { type Recording, withStored } from '../support/stored.ts';

const FIXTURES = join(import.meta.dirname, '..', 'fixtures');

/** A fixture as a recorder leaves it that knows nothing of the machine. */
function withoutTopology(folder: string, name: string): Recording {
  const { header, calls } = readFixture(name, join(FIXTURES, folder));
  return { header: { ...header, topology: { iommu: null, instances: [], devices: [] }, raw: null }, calls };
}

const replayed = (recording: Recording): ReplayResult => withStored(recording, replayTrace);

describe('a capture without a topology', () => {
  test.each([
    ['linux-6.12-vmm', 'a', 'vtd'],
    ['linux-6.12-vtd', 'scalable-basic', 'vtd'],
    ['linux-7.3-hw', 'vtd-fs-info', 'vtd'],
    ['linux-7.3-hw', 'amd-v1-info', 'amd'],
    ['linux-7.3-hw', 'rv-sv57-info', 'riscv'],
    ['linux-7.3-arm', 's1-info', 'smmuv3'],
    ['linux-7.3-arm', 'canwbs-basic', 'smmuv3'],
  ])('%s/%s is replayed on the machine that it shows', (folder, name, kind) => {
    const { diverged, matched, calls, hardware, assumptions } = replayed(withoutTopology(folder, name));
    expect(diverged).toBe(0);
    expect(matched / calls).toBeGreaterThan(0.5);
    expect(matched).toBeLessThan(calls);
    expect(assumptions).toContainEqual(
      expect.stringMatching(`^no topology is recorded: .* behind one ${kind} `),
    );
    expect(hardware.length).toBeGreaterThan(0);
  });

  test('that opens no device is taken as it is', () => {
    const recording = withoutTopology('linux-6.12-selftests', 'iommufd_ioas.mock_domain.area');
    expect(replayed(recording).assumptions).toEqual([]);
  });

  test('is predicted from its requests alone: no answer tells the kind of the IOMMU', () => {
    const recording = withoutTopology('linux-7.3-hw', 'vtd-fs-basic');
    const blind: Recording = {
      ...recording,
      calls: recording.calls.map((call) =>
        'replied' in call ? { ...call, replied: false, ret: 0, errno: 0 } : call,
      ),
    };
    const lines = (from: Recording): unknown[] =>
      withStored(from, (store, id) => {
        const seen: unknown[] = [];
        predictTrace(store, id, (prediction) => seen.push(prediction));
        return seen;
      });
    expect(lines(blind)).toEqual(lines(recording));
  });
});
