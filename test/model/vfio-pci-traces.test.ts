import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readCapture } from '../../src/trace/index.ts';
import { SHARED_TRACES, sharedTraces } from '../trace/shared-traces.ts';
import { createDrive, createTally, type Drive, type Tally } from './vfio-pci-drive.ts';

/**
 * Every capture starts without a fact: what is open are first questions to each device. In arm-7.3 the
 * buffers of transfers lie on stacks where the model of user memory, which is that of x86-64, has nothing.
 */
const FOLDERS = {
  'vtd-6.12': {
    ioctls: { predicted: 12, partial: 86, notModelled: 12 },
    transfers: { predicted: 6, partial: 6, notModelled: 0 },
    mappings: { predicted: 6, partial: 0, notModelled: 0 },
    learned: 120,
  },
  'hw-7.3': {
    ioctls: { predicted: 18, partial: 110, notModelled: 9 },
    transfers: { predicted: 1, partial: 1, notModelled: 0 },
    mappings: { predicted: 1, partial: 0, notModelled: 0 },
    learned: 146,
  },
  'arm-7.3': {
    ioctls: { predicted: 15, partial: 80, notModelled: 6 },
    transfers: { predicted: 0, partial: 0, notModelled: 42 },
    mappings: { predicted: 4, partial: 0, notModelled: 34 },
    learned: 104,
  },
  vmm: {
    ioctls: { predicted: 1_997, partial: 156, notModelled: 61 },
    transfers: { predicted: 5_168, partial: 2_828, notModelled: 0 },
    mappings: { predicted: 40, partial: 0, notModelled: 0 },
    learned: 309,
  },
  clients: {
    ioctls: { predicted: 316, partial: 97, notModelled: 16 },
    transfers: { predicted: 1_256, partial: 382, notModelled: 0 },
    mappings: { predicted: 17, partial: 0, notModelled: 0 },
    learned: 168,
  },
} as const;

/** Runs every capture of a folder, each as a machine of its own. */
async function tallyOf(files: readonly string[]): Promise<Tally> {
  const tally = createTally();
  for (const file of files) {
    let drive: Drive | undefined;
    await readCapture(join(SHARED_TRACES, file), {
      header: (header) => {
        drive = createDrive(header, tally);
      },
      calls: (calls) => {
        for (const call of calls) drive!.step(call);
      },
    });
  }
  return tally;
}

describe('vfio-pci over the device calls of real programs', () => {
  for (const [folder, counts] of Object.entries(FOLDERS)) {
    const files = sharedTraces().filter((file) => file.startsWith(`${folder}/`));
    test.runIf(files.length > 0)(
      `${folder}: no answer is wrong, and only facts are open`,
      async () => {
        expect(await tallyOf(files)).toEqual({ ...counts, wrong: [] });
      },
      120_000,
    );
  }
});
