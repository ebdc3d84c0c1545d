import type { Step } from '../support/random-steps.ts';
import type { RandomRelease } from '../support/random-world.ts';

/** A run that once failed, as fast-check shrank it. It stays here when what it found is repaired. */
export interface Regression {
  /** What went wrong, in a few words. */
  readonly found: string;
  readonly release: RandomRelease;
  readonly steps: readonly Step[];
  /** In which order descriptors are closed at the end. */
  readonly order: number;
}

const NO_DRAWS = [0];

/** A failing test prints the shrunk steps with the seed: they are put here. */
export const REGRESSIONS: readonly Regression[] = [
  {
    found: 'a context that is released with a device attached by PASID leaks its IOASes, as the kernel does',
    release: '7.3',
    steps: [{ does: 'allocIoas', draws: NO_DRAWS }],
    order: 0,
  },
  {
    found: 'a device attached by PASID outlives its selftest object, without the reference of the driver',
    release: '7.3',
    steps: [{ does: 'destroy', draws: [4] }],
    order: 0,
  },
];
