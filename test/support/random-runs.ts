import fc from 'fast-check';
import { REGRESSIONS } from '../model/random-regressions.ts';
import type { Hardware } from './random-hardware.ts';
import { type Step, stepsOn } from './random-steps.ts';
import type { RandomRelease } from './random-world.ts';

/** What a property looks at: steps to take, and the order in which descriptors are closed. */
export type Check = (list: readonly Step[], order: number) => void;

const order = fc.nat({ max: 65_535 });

/** Another one in each run of the tests; `IOASIS_SEED` repeats one. */
const SEED = Number(process.env['IOASIS_SEED'] ?? Math.floor(Math.random() * 2 ** 31));

/** Checks every run that once failed, and then so many random ones. The seed is printed, failing or not. */
export function checkRuns(
  name: string,
  release: RandomRelease,
  numRuns: number,
  check: Check,
  hardware: Hardware = 'mock',
): void {
  console.log(`${name}, Linux ${release}, ${hardware}: ${numRuns} random runs with IOASIS_SEED=${SEED}`);
  for (const regression of REGRESSIONS) {
    if (regression.release === release && (regression.hardware ?? 'mock') === hardware)
      check(regression.steps, regression.order);
  }
  fc.assert(fc.property(stepsOn(hardware), order, check), { numRuns, seed: SEED });
}
