import fc from 'fast-check';
import { REGRESSIONS } from '../model/random-regressions.ts';
import type { Hardware } from './random-hardware.ts';
import { type Step, stepsOn } from './random-steps.ts';
import type { RandomRelease } from './random-world.ts';

/** What a property looks at: steps to take, and the order in which descriptors are closed. */
export type Check = (list: readonly Step[], order: number) => void;

const order = fc.nat({ max: 65_535 });

/** Checks every run that once failed, and then so many random ones. */
export function checkRuns(
  release: RandomRelease,
  numRuns: number,
  check: Check,
  hardware: Hardware = 'mock',
): void {
  for (const regression of REGRESSIONS) {
    if (regression.release === release && (regression.hardware ?? 'mock') === hardware)
      check(regression.steps, regression.order);
  }
  fc.assert(fc.property(stepsOn(hardware), order, check), { numRuns });
}
