import fc from 'fast-check';
import type { Kernel } from '../../src/model/kernel.ts';
import { CONTEXT_ACTIONS } from './random-actions.ts';
import { openFurnishedWorld } from './random-furniture.ts';
import type { Hardware } from './random-hardware.ts';
import { PROCESS_ACTIONS } from './random-process-actions.ts';
import { closeEverything, destroyEverything } from './random-undo.ts';
import { VFIO_ACTIONS } from './random-vfio-actions.ts';
import { VIOMMU_ACTIONS } from './random-viommu-actions.ts';
import type { RandomRelease } from './random-world.ts';
import type { Recording } from './stored.ts';

/** Random sequences of calls over several contexts and processes, valid and invalid. */

export const ACTIONS = {
  ...CONTEXT_ACTIONS,
  ...PROCESS_ACTIONS,
  ...VIOMMU_ACTIONS,
  ...VFIO_ACTIONS,
} as const;

export interface Step {
  readonly does: keyof typeof ACTIONS;
  /** What to choose: each action takes from the front. */
  readonly draws: readonly number[];
}

const OFTEN = [
  'allocIoas',
  'map',
  'unmap',
  'mockDomain',
  'copy',
  'chooseContext',
  'createAccess',
  'pin',
  'allocHwpt',
  'allocViommu',
] as const;
type Name = keyof typeof ACTIONS;
const names = Object.keys(ACTIONS) as Name[];
const vfioNames = Object.keys(VFIO_ACTIONS) as Name[];
const draws = fc.array(fc.nat({ max: 65_535 }), { minLength: 12, maxLength: 12 });

export const step: fc.Arbitrary<Step> = fc.record({
  does: fc.oneof(
    fc.constantFrom(...names.filter((name) => !vfioNames.includes(name))),
    fc.constantFrom(...OFTEN),
  ),
  draws,
});

/** On a machine with devices: half of it is done to them. */
const hardwareStep: fc.Arbitrary<Step> = fc.record({
  does: fc.oneof(
    fc.constantFrom(...names),
    fc.constantFrom(...OFTEN),
    fc.constantFrom(...vfioNames),
    fc.constantFrom<Name>('openDevice', 'bind', 'attach', 'attach', 'getDevice', 'setContainer'),
  ),
  draws,
});

export function stepsOn(hardware: Hardware): fc.Arbitrary<Step[]> {
  return fc.array(hardware === 'mock' ? step : hardwareStep, { minLength: 1, maxLength: 80, size: 'max' });
}

/** A run of steps, one at a time. */
export interface RandomRun {
  readonly kernel: Kernel;
  readonly recording: () => Recording;
  /** IovaSpaces that the kernel leaked: see `World`. */
  readonly leaked: ReadonlySet<number>;
  readonly lost: ReadonlySet<string>;
  take(step: Step): void;
  /** Closes every descriptor of every process, in the order that a number chooses. */
  closeAll(order: number): void;
  /** Takes back by calls what can be taken back: every context that has a descriptor is empty then. */
  destroyAll(): void;
}

export function startRandomRun(release: RandomRelease, hardware: Hardware = 'mock'): RandomRun {
  const world = openFurnishedWorld(release, hardware);
  return {
    kernel: world.session.kernel,
    recording: world.recording,
    leaked: world.leaked,
    lost: world.lost,
    take: ({ does, draws }) => {
      let at = 0;
      const below = (bound: number): number => (draws[at++ % draws.length] ?? 0) % bound;
      ACTIONS[does](world, { below });
    },
    closeAll: (order) => closeEverything(world, order),
    destroyAll: () => destroyEverything(world),
  };
}
