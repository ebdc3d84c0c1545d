import { describe, expect, test } from 'vitest';
import { replayTrace } from '../../replay/index.ts';
import { type Call, callToRecord } from '../../src/trace/index.ts';
import { fixtureNames, readFixture } from '../support/fixtures.ts';
import { addCompared, comparePredictions, noneCompared, predictionsOf } from '../support/predictions.ts';
import { withStored } from '../support/stored.ts';
import { stripReply } from '../support/strip.ts';

const FIXTURES = 122;
/** What the fixtures hold, counted by other means than our reader: comparing nothing proves nothing. */
const EXPECTED = { ioctls: 10_625, closes: 235, transfers: 2, buffers: 4_346, faulted: 2, guesses: 18 };
const NAMES = fixtureNames();

/** The call with an answer that no kernel gave. */
function spoilReply(call: Call): Call {
  switch (call.op) {
    case 'ioctl': {
      const mem = call.mem.map((buffer) => ({ ...buffer, after: new Uint8Array(buffer.len).fill(0xa5) }));
      return { ...call, ret: -1, errno: 99, out: call.arg?.map((byte) => byte ^ 0xff) ?? null, mem };
    }
    case 'read':
      return { ...call, ret: 1, out: Uint8Array.of(0xa5) };
    case 'write':
    case 'close':
      return { ...call, ret: -1, errno: 99 };
    default:
      return call;
  }
}

describe('the recorded selftests of Linux 6.12', () => {
  test('are all there', () => {
    expect(NAMES).toHaveLength(FIXTURES);
  });

  test.each(NAMES)('%s: replays without a divergence and with every call predicted in full', (name) => {
    const result = withStored(readFixture(name), replayTrace);
    expect(result.divergences).toEqual([]);
    expect(result).toMatchObject({ diverged: 0, partial: 0, notModelled: {}, profileExact: true });
    expect(result.calls).toBeGreaterThan(0);
    expect(result.matched).toBe(result.calls);
  });

  test.each(NAMES)('%s: is predicted byte for byte from a capture without replies', (name) => {
    const { ioctls, closes, transfers } = comparePredictions(readFixture(name));
    expect(ioctls + closes + transfers).toBeGreaterThan(0);
  });

  test('are compared whole: every ioctl, close, read, write, user buffer and guessed descriptor', () => {
    const total = noneCompared();
    for (const name of NAMES) addCompared(total, comparePredictions(readFixture(name)));
    expect(total).toEqual(EXPECTED);
  });

  test('lose every reply when they are stripped', () => {
    for (const name of NAMES) {
      const lines = readFixture(name).calls.map((call) => JSON.stringify(callToRecord(stripReply(call))));
      const kept = lines.filter((line) => /"op":"(ioctl|read|write|close)"/.test(line));
      expect(kept.filter((line) => /"(out|ret|errno|after|same)":/.test(line))).toEqual([]);
    }
  });

  test('are predicted the same when the recorded replies are wrong', () => {
    for (const name of NAMES.filter((each) => /^iommufd_(ioas\.mock|mock)_domain|^vfio/.test(each))) {
      expect(predictionsOf(readFixture(name), spoilReply)).toEqual(predictionsOf(readFixture(name)));
    }
  });
});
