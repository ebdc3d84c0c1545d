import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Call, EMPTY_HEADER, parseTopology, type TraceHeader } from '../../src/trace/index.ts';
import { readFixture } from '../support/fixtures.ts';
import { createDrive, type Drive } from './vfio-pci-drive.ts';

const FOLDER = join(import.meta.dirname, '..', 'fixtures', 'vfio-pci');

/** The three devices of the machine: edu, e1000e, nvme, each alone in its group. */
function headerOf(kernel: string): TraceHeader {
  const devices = [0, 1, 2].map((index) => ({
    path: `/dev/vfio/devices/vfio${index}`,
    bdf: `0000:00:0${index + 2}.0`,
    group: index + 2,
  }));
  return { ...EMPTY_HEADER, kernel, topology: parseTopology({ iommu: 'vtd', devices }) };
}

function drive(kernel: string, edit: (call: Call) => Call = (call) => call): Drive {
  const made = createDrive(headerOf(kernel));
  for (const call of readFixture(`device-calls-${kernel}`, FOLDER).calls) made.step(edit(call));
  return made;
}

/** What is not predicted whole hangs on facts of these three devices that no reply had told yet. */
const EXPECTED = {
  '6.12': {
    ioctls: { predicted: 10_939, partial: 38, notModelled: 42 },
    transfers: { predicted: 48, partial: 2_908, notModelled: 2 },
    mappings: { predicted: 126, partial: 0, notModelled: 0 },
    learned: 80,
    wrong: [],
  },
  '7.3': {
    ioctls: { predicted: 10_945, partial: 38, notModelled: 36 },
    transfers: { predicted: 48, partial: 2_908, notModelled: 2 },
    mappings: { predicted: 126, partial: 0, notModelled: 0 },
    learned: 80,
    wrong: [],
  },
} as const;

describe('vfio-pci asked every command, well formed and not', () => {
  test.each(['6.12', '7.3'] as const)(
    'on Linux %s: no answer is wrong, and only facts are open',
    (kernel) => {
      expect(drive(kernel).tally).toEqual(EXPECTED[kernel]);
    },
  );

  test('a reply that says otherwise is seen', () => {
    const seq = 13_333;
    const { tally } = drive('6.12', (call) =>
      call.op === 'ioctl' && call.seq === seq ? { ...call, ret: -1, errno: 5 } : call,
    );
    expect(tally.wrong).toEqual([`${seq}: 0x3b74, recorded 5`]);
  });

  test('facts and what users set up are plain JSON', () => {
    const devices = [...drive('7.3').world.devices];
    expect(devices.map(([address]) => address)).toEqual(['0000:00:02.0', '0000:00:03.0', '0000:00:04.0']);
    expect(JSON.parse(JSON.stringify(devices))).toEqual(devices);
  });

  test('a machine whose facts are known is predicted without learning any', () => {
    const known = drive('7.3').world;
    const again = createDrive(headerOf('7.3'), undefined, known.devices);
    for (const call of readFixture('device-calls-7.3', FOLDER).calls) again.step(call);
    expect(again.tally).toMatchObject({ learned: 0, wrong: [] });
    expect(again.tally.ioctls).toMatchObject({ partial: 0, notModelled: 0 });
    expect(again.tally.transfers.notModelled).toBe(0);
  });
});
