import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { compareReply } from '../../replay/index.ts';
import {
  adoptReply,
  chooseProfile,
  createKernel,
  execute,
  type Kernel,
  learnReply,
  machineOf,
  NO_EFFECTS,
} from '../../src/model/index.ts';
import type { Call, Capture } from '../../src/trace/index.ts';
import { readFixture } from '../support/fixtures.ts';

/** Every command of three device descriptors, well formed and not, as two real kernels answered them. */

const KERNELS = ['6.12', '7.3'] as const;

function capture(kernel: string): Capture {
  return readFixture('device-calls', join(import.meta.dirname, `../fixtures/linux-${kernel}-vfio-pci`));
}

interface Tally {
  matched: number;
  partial: number;
  notModelled: number;
  learned: number;
  readonly wrong: string[];
}

function kernelOf({ header }: Capture): Kernel {
  const { profile } = chooseProfile(header.kernel, header.pageSizeBytes);
  return createKernel(profile, true, NO_EFFECTS, machineOf(header));
}

function drive(kernel: Kernel, calls: readonly Call[]): Tally {
  const tally: Tally = { matched: 0, partial: 0, notModelled: 0, learned: 0, wrong: [] };
  for (const call of calls) {
    const reply = execute(kernel, call);
    if (call.op === 'note') continue;
    if (!reply.modelled) tally.notModelled += 1;
    else {
      const verdict = compareReply(kernel, call, reply);
      if (verdict === 'matched') tally.matched += 1;
      else if (verdict === 'partial') tally.partial += 1;
      else if ('errno' in call)
        tally.wrong.push(`${call.seq}: predicted ${reply.errno}, recorded ${call.errno}`);
    }
    tally.learned += learnReply(kernel, call).facts;
    if (call.op === 'ioctl') adoptReply(kernel, call);
  }
  return tally;
}

describe('vfio-pci asked every command, well formed and not', () => {
  test.each(KERNELS)(
    'on Linux %s: no answer is wrong, and what is open are facts of the hardware',
    (name) => {
      const read = capture(name);
      const tally = drive(kernelOf(read), read.calls);
      expect(tally.wrong).toEqual([]);
      expect(tally.matched).toBeGreaterThan(11_000);
      expect(tally.notModelled).toBeLessThan(60);
      expect(tally.learned).toBeGreaterThan(60);
    },
  );

  test('nothing is learned twice: once the facts are known, every ioctl is predicted whole', () => {
    const read = capture('7.3');
    const first = kernelOf(read);
    drive(first, read.calls);
    const second = kernelOf(read);
    for (const [index, { facts }] of Object.entries(first.state.vfio.devices)) {
      const { granted, ...rest } = first.state.vfio.devices[Number(index)]!;
      const closed = { opens: 0, context: 0, object: 0, attached: false, pasids: [], granted: [] };
      expect(granted).toEqual([]);
      second.state.vfio.devices[Number(index)] = { ...rest, ...closed, facts };
    }
    const tally = drive(
      second,
      read.calls.filter(({ op }) => op !== 'pread'),
    );
    expect(tally.wrong).toEqual([]);
    expect(tally.partial + tally.notModelled).toBeLessThan(10);
  });

  test('a reply that says otherwise is seen', () => {
    const read = capture('6.12');
    const edited = read.calls.map((call) =>
      call.op === 'ioctl' && call.seq === 13_333 ? { ...call, ret: -1, errno: 5 } : call,
    );
    expect(drive(kernelOf(read), edited).wrong.map((line) => line.split(':')[0])).toEqual(['13333']);
  });

  test('facts and what users set up are plain JSON', () => {
    const read = capture('7.3');
    const kernel = kernelOf(read);
    drive(kernel, read.calls);
    const { devices } = kernel.state.vfio;
    expect(Object.keys(devices)).toHaveLength(3);
    expect(JSON.parse(JSON.stringify(devices))).toEqual(devices);
  });
});
