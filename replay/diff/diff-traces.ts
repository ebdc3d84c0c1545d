import type { Timeline } from '../timeline/index.ts';
import { align, type CallDifference } from './align.ts';
import { type CacheDifference, compareCaches } from './compare-caches.ts';
import { compareHardware, type HardwareDifference } from './compare-hardware.ts';
import { compareStates, nameByNumber, type StateComparison } from './compare-states.ts';
import type { DiffOptions } from './meaning.ts';
import { openSide } from './side.ts';
import { type CallEffect, effectOf } from './why.ts';

/** A trace, or the part of one up to a call. */
export interface DiffPoint {
  readonly timeline: Timeline;
  /** Last record that counts. */
  readonly untilSeq: number;
}

export interface TraceDiff {
  readonly isEqual: boolean;
  /** Calls that say the same in both traces. */
  readonly equalCalls: number;
  /** Differing calls; `calls` has the first of them. */
  readonly callCount: number;
  readonly calls: readonly CallDifference[];
  /** What the first differing call of each side did; null for a side that has none there. */
  readonly first: { readonly a: CallEffect | null; readonly b: CallEffect | null } | null;
  readonly state: StateComparison;
  readonly hardware: readonly HardwareDifference[];
  /** What IOTLBs and TLBs of devices hold: of traces that tell of accesses of devices. */
  readonly caches: readonly CacheDifference[];
}

/** Differences that are kept; all are counted. */
const KEPT = 1000;

/**
 * Compares two traces by what their calls mean, what they leave behind, and what the hardware holds in the
 * end.
 */
export function diffTraces(a: DiffPoint, b: DiffPoint, options: DiffOptions = {}): TraceDiff {
  const [sideA, sideB] = [
    openSide(a.timeline, a.untilSeq, options),
    openSide(b.timeline, b.untilSeq, options),
  ];
  const calls: CallDifference[] = [];
  let callCount = 0;
  const { matches, equal } = align(sideA, sideB, (difference) => {
    callCount += 1;
    if (calls.length < KEPT) calls.push(difference);
  });
  const state = compareStates(
    { stepper: sideA.stepper, name: nameByNumber(sideA.keys, (number) => `object ${number}`) },
    {
      stepper: sideB.stepper,
      name: nameByNumber(sideB.keys, (number) => {
        const same = matches.toA.get(number);
        return same === undefined ? `object ${number} of B` : `object ${same}`;
      }),
    },
  );
  const hardware = compareHardware(sideA.stepper, sideB.stepper);
  const caches = sideA.accesses() + sideB.accesses() > 0 ? compareCaches(a, b) : [];
  const [first] = calls;
  const differences = state.differences.length + state.areas.length + hardware.length + caches.length;
  const isEqual = callCount + differences === 0;
  return {
    isEqual,
    equalCalls: equal,
    callCount,
    calls,
    first:
      first === undefined
        ? null
        : {
            a: first.a === null ? null : effectOf(a.timeline, first.a.seq),
            b: first.b === null ? null : effectOf(b.timeline, first.b.seq),
          },
    state,
    hardware,
    caches,
  };
}
