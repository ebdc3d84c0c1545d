import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Prediction, predictTrace, replayTrace } from '../../replay/index.ts';
import { type Call, type IoctlCall, isSkipped } from '../../src/trace/index.ts';
import { hexOf } from '../../src/uapi/index.ts';
import { fixtureNames, readFixture } from '../support/fixtures.ts';
import { withStored } from '../support/stored.ts';
import { stripReply } from '../support/strip.ts';

const FOLDER = join(import.meta.dirname, '..', 'fixtures', 'linux-7.3-selftests');
const DMABUF = join(import.meta.dirname, '..', 'fixtures', 'linux-7.3-dmabuf');
const NAMES = fixtureNames(FOLDER);
const FIXTURES = 159;
/**
 * Calls that copy memory whose content the recorder left out: everything else of them is predicted, the bytes
 * can not be. See PROVENANCE.md beside the fixtures.
 */
const UNKNOWN_CONTENT: Readonly<Record<string, number>> = {
  'iommufd_ioas.mock_domain.access_rw_unaligned': 259,
  'iommufd_ioas.mock_domain.fork_gone': 258,
  'iommufd_ioas.mock_domain.fork_present': 258,
  'iommufd_ioas.no_domain.access_rw': 262,
  'iommufd_ioas.no_domain.access_rw_unaligned': 262,
  'iommufd_ioas.no_domain.fork_present': 261,
};
/**
 * Calls and structs as counted by other means than our reader: a comparison of nothing would be worth
 * nothing.
 */
const EXPECTED = { results: 12_962, structs: 12_633, buffers: 1_965, unknownBuffers: 2_357 };

const compared = { results: 0, structs: 0, buffers: 0, unknownBuffers: 0 };

function predictionsOf(name: string): Map<number, Prediction> {
  const { header, calls } = readFixture(name, FOLDER);
  const predictions = new Map<number, Prediction>();
  withStored({ header, calls: calls.map(stripReply) }, (store, traceId) => {
    predictTrace(store, traceId, (prediction) => predictions.set(prediction.seq, prediction));
  });
  return predictions;
}

function compareCall(call: Call, prediction: Prediction): void {
  if (call.op !== 'ioctl' && call.op !== 'close' && call.op !== 'read' && call.op !== 'write') return;
  const { seq, ret, errno } = prediction;
  compared.results += 1;
  expect({ seq, ret, errno }).toEqual({ seq: call.seq, ret: call.ret, errno: call.errno });
  if (call.op !== 'ioctl' || call.out === null) return;
  compared.structs += 1;
  expect({ seq, out: prediction.out }).toEqual({ seq, out: hexOf(call.out) });
  compareBuffers(call, prediction);
}

function compareBuffers({ seq, mem }: IoctlCall, prediction: Prediction): void {
  const unknown = prediction.unknown?.filter((field) => field.startsWith('mem[')) ?? [];
  compared.unknownBuffers += unknown.length;
  const known = mem.filter((_, index) => !unknown.includes(`mem[${index}].after`));
  for (const [index, { after }] of known.entries()) {
    if (after === null || isSkipped(after)) continue;
    compared.buffers += 1;
    expect({ seq, after: prediction.mem?.[index]?.after }).toEqual({ seq, after: hexOf(after) });
  }
}

describe('the dma-buf selftests of Linux 7.3-rc7, with the program corrected', () => {
  const names = fixtureNames(DMABUF);

  test.each(names)('%s: replays without a divergence and with every call predicted in full', (name) => {
    const result = withStored(readFixture(name, DMABUF), replayTrace);
    expect(result.divergences).toEqual([]);
    expect(result).toMatchObject({ diverged: 0, partial: 0, notModelled: {}, profileExact: true });
  });

  test('are all there', () => {
    expect(names).toHaveLength(4);
  });
});

describe('the recorded selftests of Linux 7.3-rc7', () => {
  test('are all there', () => {
    expect(NAMES).toHaveLength(FIXTURES);
  });

  test.each(NAMES)('%s: replays without a divergence', (name) => {
    const result = withStored(readFixture(name, FOLDER), replayTrace);
    expect(result.divergences).toEqual([]);
    const partial = UNKNOWN_CONTENT[name] ?? 0;
    expect(result).toMatchObject({ diverged: 0, partial, notModelled: {}, profileExact: true });
    expect(result.calls).toBeGreaterThan(0);
    expect(result.matched).toBe(result.calls - partial);
  });

  test('are predicted from captures without replies, byte for byte where the content is known', () => {
    for (const name of NAMES) {
      const predictions = predictionsOf(name);
      for (const call of readFixture(name, FOLDER).calls) {
        if (call.op === 'note') continue;
        const prediction = predictions.get(call.seq);
        if (prediction === undefined) throw new Error(`${name}: call ${call.seq} was not predicted`);
        compareCall(call, prediction);
      }
    }
    expect(compared).toEqual(EXPECTED);
  });
});
