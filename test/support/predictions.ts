import { expect } from 'vitest';
import { type Prediction, predictTrace } from '../../replay/index.ts';
import { type ByteString, type Call, isSkipped } from '../../src/trace/index.ts';
import { hexOf } from '../../src/uapi/index.ts';
import { type Recording, withStored } from './stored.ts';
import { stripReply } from './strip.ts';

/** Recorded replies beside those that are predicted from a capture without replies. */

/** Numbers of descriptors that CREATE_ACCESS and FAULT_QUEUE_ALLOC answered. */
const GUESSED_DESCRIPTORS = new Set(['out_access_fd', 'out_fault_fd']);

/** What a comparison looked at. */
export interface Compared {
  ioctls: number;
  closes: number;
  transfers: number;
  buffers: number;
  faulted: number;
  guesses: number;
}

export function noneCompared(): Compared {
  return { ioctls: 0, closes: 0, transfers: 0, buffers: 0, faulted: 0, guesses: 0 };
}

export function addCompared(sum: Compared, more: Compared): void {
  for (const key of Object.keys(sum) as (keyof Compared)[]) sum[key] += more[key];
}

/** Predictions of all calls by `seq`, after each call was changed: stripped of its reply, as a rule. */
export function predictionsOf(
  { header, calls }: Recording,
  change: (call: Call) => Call = stripReply,
): Map<number, Prediction> {
  const predictions = new Map<number, Prediction>();
  withStored({ header, calls: calls.map(change) }, (store, traceId) => {
    predictTrace(store, traceId, (prediction) => predictions.set(prediction.seq, prediction));
  });
  return predictions;
}

/**
 * Predicts a recording from its stripped calls and compares each reply with the recorded one, byte for byte.
 * Nothing but numbers of descriptors may be unknown.
 */
export function comparePredictions(recording: Recording): Compared {
  const compared = noneCompared();
  const predictions = predictionsOf(recording);
  for (const call of recording.calls) {
    if (call.op === 'note') continue;
    const prediction = predictions.get(call.seq);
    if (prediction === undefined) throw new Error(`call ${call.seq} was not predicted`);
    const unknown = prediction.unknown ?? [];
    compared.guesses += unknown.length;
    const unexpected = unknown.filter((field) => !GUESSED_DESCRIPTORS.has(field));
    expect({ seq: call.seq, unexpected }).toEqual({ seq: call.seq, unexpected: [] });
    const sides = sidesOf(call, prediction, compared);
    if (sides !== null) expect(sides.predicted).toEqual(sides.recorded);
  }
  return compared;
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
