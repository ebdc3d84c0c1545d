import fc from 'fast-check';
import { ACTIONS } from './random-actions.ts';
import { openWorld } from './random-world.ts';
import type { Session } from './session.ts';

/** Random sequences of calls over two contexts, valid and invalid. */

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
] as const;
const names = Object.keys(ACTIONS) as (keyof typeof ACTIONS)[];

export const step: fc.Arbitrary<Step> = fc.record({
  does: fc.oneof(fc.constantFrom(...names), fc.constantFrom(...OFTEN)),
  draws: fc.array(fc.nat({ max: 65_535 }), { minLength: 12, maxLength: 12 }),
});

export const steps = fc.array(step, { minLength: 20, maxLength: 80, size: 'max' });

/** A run of steps, one at a time. */
export interface RandomRun {
  readonly session: Session;
  take(step: Step): void;
  /** Closes every descriptor, in the order that a number chooses. */
  closeAll(order: number): void;
}

export function startRandomRun(): RandomRun {
  const world = openWorld();
  const { session } = world;
  return {
    session,
    take: ({ does, draws }) => {
      let at = 0;
      const below = (bound: number): number => (draws[at++ % draws.length] ?? 0) % bound;
      ACTIONS[does](world, { below });
    },
    closeAll: (order) => {
      const left = [...world.descriptors, ...world.fds.map((fd) => ({ fd, kind: 'iommufd' as const }))];
      for (let draw = order; left.length > 0; draw = (draw * 31 + 7) % 65_536) {
        const [{ fd, kind }] = left.splice(draw % left.length, 1) as [(typeof left)[number]];
        session.close(fd, kind);
      }
    },
  };
}
