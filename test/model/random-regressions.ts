import type { Hardware } from '../support/random-hardware.ts';
import type { Step } from '../support/random-steps.ts';
import type { RandomRelease } from '../support/random-world.ts';

/** A run that once failed, as fast-check shrank it. It stays here when what it found is repaired. */
export interface Regression {
  /** What went wrong, in a few words. */
  readonly found: string;
  readonly release: RandomRelease;
  /** The machine; `mock` has no devices. */
  readonly hardware?: Hardware;
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
  {
    found: 'a device was attached to a nested page table of another driver, whose data it could not read',
    release: '7.3',
    hardware: 'vtd',
    steps: [
      { does: 'openDevice', draws: [33_290, 0] },
      { does: 'bind', draws: [0, 1, 8221] },
      { does: 'attach', draws: [0, 43_740, 29_593] },
    ],
    order: 0,
  },
];
