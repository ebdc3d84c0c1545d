import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { adoptAnswer, compareReply, createExitWatch } from '../../replay/index.ts';
import { chooseProfile, createKernel, type Kernel, machineOf, NO_EFFECTS } from '../../src/model/index.ts';
import type { Call } from '../../src/trace/index.ts';
import { fixtureNames, readFixture } from './fixtures.ts';
import { withStored } from './stored.ts';

/** Every recorded trace of the fixtures, run through the model. */

const ROOT = join(import.meta.dirname, '..', 'fixtures');
/** Captures whose kernel is told by the folder: they were made on one build of 6.12. */
const KERNELS: Readonly<Record<string, string>> = { 'oracle-6.12': 'linux-6.12' };

/** One trace: `folder/name`. */
export interface TraceName {
  readonly folder: string;
  readonly name: string;
}

/** All traces, in a fixed order. */
export function everyTrace(): TraceName[] {
  return readdirSync(ROOT, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .sort()
    .flatMap((folder) => fixtureNames(join(ROOT, folder)).map((name) => ({ folder, name })));
}

/** Runs one trace as a replay does: what differs or can not be known is adopted. `run` runs each call, by
 * applyCall or explainAt. */
export function runEach({ folder, name }: TraceName, run: (kernel: Kernel, call: Call) => void): void {
  const capture = readFixture(name, join(ROOT, folder));
  const { header, calls } = capture;
  const { profile } = chooseProfile(KERNELS[folder] ?? header.kernel, header.pageSizeBytes);
  const isType1 = header.quirks.some((quirk) => quirk.includes('vfio-container=type1'));
  const kernel = createKernel(profile, !isType1, NO_EFFECTS, machineOf(header));
  if (new Set(calls.map(({ pid }) => pid)).size === 1) {
    for (const call of calls) runOne(kernel, call, run);
    return;
  }
  // Where processes exit is seen from the whole trace.
  withStored(capture, (store, trace) => {
    const exits = createExitWatch(store, trace, kernel, []);
    for (const call of calls) {
      exits.before(call);
      runOne(kernel, call, run);
      exits.after(call);
    }
  });
}

function runOne(kernel: Kernel, call: Call, run: (kernel: Kernel, call: Call) => void): void {
  run(kernel, call);
  const { reply } = kernel;
  if (call.op !== 'ioctl' || !call.replied || !reply.modelled) return;
  adoptAnswer(kernel, call, compareReply(kernel, call, reply));
}
