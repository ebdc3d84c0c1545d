import {
  type Bisection,
  bisectTraces,
  type DiffOptions,
  diffTraces,
  openTimeline,
  type TraceDiff,
} from '../../replay/index.ts';
import type { Recording } from './stored.ts';
import { withStored } from './stored.ts';

/** The comparison of two recordings. */
export function diffRecordings(a: Recording, b: Recording, options: DiffOptions = {}): TraceDiff {
  return withStored(a, (storeA, idA) =>
    withStored(b, (storeB, idB) =>
      diffTraces(
        { timeline: openTimeline(storeA, storeA.findTrace(idA)!), untilSeq: Number.MAX_SAFE_INTEGER },
        { timeline: openTimeline(storeB, storeB.findTrace(idB)!), untilSeq: Number.MAX_SAFE_INTEGER },
        options,
      ),
    ),
  );
}

/** Where the hardware of two recordings parts. */
export function bisectRecordings(a: Recording, b: Recording): Bisection | null {
  return withStored(a, (storeA, idA) =>
    withStored(b, (storeB, idB) =>
      bisectTraces(
        openTimeline(storeA, storeA.findTrace(idA)!),
        openTimeline(storeB, storeB.findTrace(idB)!),
      ),
    ),
  );
}
