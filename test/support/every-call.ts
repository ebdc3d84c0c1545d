import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { compareReply } from '../../replay/index.ts';
import {
  adoptReply,
  chooseProfile,
  createKernel,
  execute,
  type Kernel,
  type Reply,
} from '../../src/model/index.ts';
import type { Call } from '../../src/trace/index.ts';
import { fixtureNames, readFixture } from './fixtures.ts';

/** Every recorded trace of the fixtures, run once through the model. */

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
  const folders = readdirSync(ROOT, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return folders
    .map(({ name }) => name)
    .sort()
    .flatMap((folder) => fixtureNames(join(ROOT, folder)).map((name) => ({ folder, name })));
}

/** What a visitor does around one call. */
export interface Visit<T> {
  /** Before the call runs. */
  readonly before: (kernel: Kernel, call: Call) => T;
  readonly after: (kernel: Kernel, call: Call, reply: Reply, found: T) => void;
}

/** Runs one trace as a replay does: what differs or can not be known is adopted. */
export function visitCalls<T>({ folder, name }: TraceName, { before, after }: Visit<T>): void {
  const { header, calls } = readFixture(name, join(ROOT, folder));
  const { profile } = chooseProfile(KERNELS[folder] ?? header.kernel, header.pageSizeBytes);
  const isType1 = header.quirks.some((quirk) => quirk.includes('vfio-container=type1'));
  const kernel = createKernel(profile, !isType1);
  for (const call of calls) {
    const found = before(kernel, call);
    const reply = execute(kernel, call);
    after(kernel, call, reply, found);
    if (call.op !== 'ioctl' || !call.replied || !reply.modelled) continue;
    if (compareReply(kernel, call, reply) !== 'matched' || kernel.call.unknown.length > 0)
      adoptReply(kernel, call);
  }
}
