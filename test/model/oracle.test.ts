import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { compareReply, type Prediction, predictTrace, replayTrace } from '../../replay/index.ts';
import {
  adoptReply,
  chooseProfile,
  createKernel,
  execute,
  restoreKernel,
  serializeKernel,
} from '../../src/model/index.ts';
import type { Call, IoctlCall, ReadCall } from '../../src/trace/index.ts';
import { isSkipped } from '../../src/trace/index.ts';
import { hexOf } from '../../src/uapi/index.ts';
import { fixtureNames, readFixture } from '../support/fixtures.ts';
import { withStored } from '../support/stored.ts';
import { stripReply } from '../support/strip.ts';

/** Questions put to a real Linux 6.12: what each program asks is in PROVENANCE.md beside the captures. */

const FOLDER = join(import.meta.dirname, '..', 'fixtures', 'oracle-6.12');
const KERNEL = 'linux-6.12';
const NAMES = fixtureNames(FOLDER);
/** Calls in all captures: a comparison of nothing would be worth nothing. */
const CALLS = 10_794;
/** Numbers of new descriptors, and bytes of memory that no record tells. */
const UNKNOWN_FIELDS = new Set(['out_access_fd', 'out_fault_fd', 'mem[0].after']);
/** Not an ioctl, read or write, and not modelled. */
const NOT_MODELLED = new Set(['poll']);

describe('answers of a real kernel', () => {
  test.each(NAMES)('%s replays without a divergence', (name) => {
    const replayed = withStored(readFixture(name, FOLDER), (store, trace) =>
      replayTrace(store, trace, { kernel: KERNEL }),
    );
    expect(replayed.divergences).toEqual([]);
    expect(replayed.diverged).toBe(0);
    expect(Object.keys(replayed.notModelled).filter((call) => !NOT_MODELLED.has(call))).toEqual([]);
  });

  test.each(NAMES)('%s is predicted from its inputs alone', (name) => {
    const { header, calls } = readFixture(name, FOLDER);
    const predictions = new Map<number, Prediction>();
    withStored({ header, calls: calls.map(stripReply) }, (store, trace) => {
      predictTrace(store, trace, (prediction) => predictions.set(prediction.seq, prediction), {
        kernel: KERNEL,
      });
    });
    for (const call of calls) {
      if (call.op === 'note' || NOT_MODELLED.has(call.op)) continue;
      const prediction = predictions.get(call.seq);
      if (prediction === undefined) throw new Error(`call ${call.seq} was not predicted`);
      expect((prediction.unknown ?? []).filter((field) => !UNKNOWN_FIELDS.has(field))).toEqual([]);
      expect(predictedReply(call, prediction)).toEqual(recordedReply(call, prediction));
    }
  });

  test.each(['memory', 'faults', 'access'])('%s goes on from snapshots of itself', (name) => {
    const { profile } = chooseProfile(KERNEL, 4096);
    let kernel = createKernel(profile);
    for (const [index, call] of readFixture(name, FOLDER).calls.entries()) {
      if (index % 29 === 0) kernel = restoreKernel(serializeKernel(kernel), profile);
      const reply = execute(kernel, call);
      const verdict = compareReply(kernel, call, reply);
      expect(`${call.seq} ${verdict}`).not.toBe(`${call.seq} diverged`);
      if (call.op === 'ioctl' && kernel.call.unknown.length > 0) adoptReply(kernel, call);
    }
  });

  test('the captures hold what they are meant to hold', () => {
    const calls = NAMES.flatMap((name) => readFixture(name, FOLDER).calls.filter(({ op }) => op !== 'note'));
    expect(calls.length).toBe(CALLS);
  });
});

/**
 * Buffers that faulted in part hold whatever the kernel got to; what is unknown is named and not compared.
 */
function comparedBuffers({ mem }: IoctlCall, { unknown = [] }: Prediction): number[] {
  return mem.flatMap(({ fault }, index) => (fault || unknown.includes(`mem[${index}].after`) ? [] : [index]));
}

function recordedReply(call: Call, prediction: Prediction): object {
  if (!('ret' in call)) return {};
  const result = { seq: call.seq, ret: call.ret, errno: call.errno };
  if (call.op === 'read') return { ...result, out: hexOfKnown(call) };
  if (call.op !== 'ioctl') return call.op === 'close' || call.op === 'write' ? result : {};
  const mem = comparedBuffers(call, prediction).map((index) => {
    const { addr, after } = call.mem[index]!;
    return { addr: `0x${addr.toString(16)}`, after: hexOfKnown({ out: after }) };
  });
  return { ...result, out: call.out === null ? undefined : hexOf(call.out), mem };
}

function predictedReply(call: Call, prediction: Prediction): object {
  if (!('ret' in call)) return {};
  const { seq, ret, errno, out, mem = [] } = prediction;
  if (call.op === 'read') return { seq, ret, errno, out };
  if (call.op !== 'ioctl') return call.op === 'close' || call.op === 'write' ? { seq, ret, errno } : {};
  const wanted = new Set(
    comparedBuffers(call, prediction).map((at) => `0x${call.mem[at]!.addr.toString(16)}`),
  );
  return { seq, ret, errno, out, mem: mem.filter(({ addr }) => wanted.has(addr)) };
}

function hexOfKnown({ out }: Pick<ReadCall, 'out'>): string {
  if (out === null || isSkipped(out)) throw new Error('a fixture lacks recorded bytes');
  return hexOf(out);
}
