import { describe, expect, test } from 'vitest';
import { type Prediction, predictTrace, replayTrace } from '../../replay/index.ts';
import { type ByteString, type Call, callToRecord, isSkipped } from '../../src/trace/index.ts';
import { hexOf } from '../../src/uapi/index.ts';
import { fixtureNames, readFixture } from '../support/fixtures.ts';
import { withStored } from '../support/stored.ts';
import { stripReply } from '../support/strip.ts';

const FIXTURES = 122;
/** What the fixtures hold, counted by other means than our reader: comparing nothing proves nothing. */
const EXPECTED = { ioctls: 10_625, closes: 235, transfers: 2, buffers: 4_346, faulted: 2, guesses: 18 };
/** Numbers of descriptors that CREATE_ACCESS and FAULT_QUEUE_ALLOC answered. */
const GUESSED_DESCRIPTORS = new Set(['out_access_fd', 'out_fault_fd']);
const NAMES = fixtureNames();

/** What a comparison looked at. */
interface Compared {
  ioctls: number;
  closes: number;
  transfers: number;
  buffers: number;
  faulted: number;
  guesses: number;
}

const NOTHING: Compared = { ioctls: 0, closes: 0, transfers: 0, buffers: 0, faulted: 0, guesses: 0 };

function predictionsOf(name: string, change: (call: Call) => Call = stripReply): Map<number, Prediction> {
  const { header, calls } = readFixture(name);
  const predictions = new Map<number, Prediction>();
  withStored({ header, calls: calls.map(change) }, (store, traceId) => {
    predictTrace(store, traceId, (prediction) => predictions.set(prediction.seq, prediction));
  });
  return predictions;
}

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

interface Sides {
  readonly recorded: object;
  readonly predicted: object;
}

/** A recorded reply and its prediction in the same words; null for calls that are inputs. */
function sidesOf(call: Call, { seq, ret, errno, out, mem }: Prediction, compared: Compared): Sides | null {
  switch (call.op) {
    case 'close':
      compared.closes += 1;
      return { recorded: resultOf(call), predicted: { seq, ret, errno } };
    case 'write':
      compared.transfers += 1;
      return { recorded: resultOf(call), predicted: { seq, ret, errno } };
    case 'read':
      compared.transfers += 1;
      return {
        recorded: { ...resultOf(call), out: hexOfAll(call.out) },
        predicted: { seq, ret, errno, out },
      };
    case 'ioctl': {
      compared.ioctls += 1;
      compared.buffers += call.mem.length;
      compared.faulted += call.mem.filter(({ fault }) => fault).length;
      const after = call.mem.map((buffer) => ({
        addr: `0x${buffer.addr.toString(16)}`,
        after: hexOfAll(buffer.after),
      }));
      const recordedOut = call.out === null ? undefined : hexOf(call.out);
      const recorded = { ...resultOf(call), out: recordedOut, mem: after };
      return { recorded, predicted: { seq, ret, errno, out, mem } };
    }
    default:
      return null;
  }
}

function resultOf({ seq, ret, errno }: { seq: number; ret: number; errno: number }): object {
  return { seq, ret, errno };
}

function hexOfAll(bytes: ByteString | null): string {
  if (bytes === null || isSkipped(bytes)) throw new Error('a fixture lacks recorded bytes');
  return hexOf(bytes);
}

/** Predicts a fixture from its stripped capture and compares each reply with the recorded one. */
function compareFixture(name: string): Compared {
  const compared = { ...NOTHING };
  const predictions = predictionsOf(name);
  for (const call of readFixture(name).calls) {
    if (call.op === 'note') continue;
    const prediction = predictions.get(call.seq);
    if (prediction === undefined) throw new Error(`call ${call.seq} was not predicted`);
    const unknown = prediction.unknown ?? [];
    compared.guesses += unknown.length;
    expect(unknown.filter((field) => !GUESSED_DESCRIPTORS.has(field))).toEqual([]);
    const sides = sidesOf(call, prediction, compared);
    if (sides !== null) expect(sides.predicted).toEqual(sides.recorded);
  }
  return compared;
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
    const { ioctls, closes, transfers } = compareFixture(name);
    expect(ioctls + closes + transfers).toBeGreaterThan(0);
  });

  test('are compared whole: every ioctl, close, read, write, user buffer and guessed descriptor', () => {
    const total = { ...NOTHING };
    for (const name of NAMES) {
      const compared = compareFixture(name);
      for (const key of Object.keys(total) as (keyof Compared)[]) total[key] += compared[key];
    }
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
      expect(predictionsOf(name, spoilReply)).toEqual(predictionsOf(name));
    }
  });
});
