import { holdersOf, type Kernel, type KernelObject } from '../../model/index.ts';
import type { ChainLink } from './finding.ts';
import { bornLink } from './object-lives.ts';
import type { LintWorld } from './rule.ts';
import { label } from './text.ts';

/** Who keeps an object from being destroyed, in words and as the calls that made them. */
export interface Holders {
  readonly texts: readonly string[];
  readonly links: readonly ChainLink[];
}

export function holdersFor(world: LintWorld, context: number, object: KernelObject): Holders {
  const { kernel, lives, attachments } = world;
  const state = kernel.state.contexts[context];
  if (state === undefined) return { texts: [], links: [] };
  const found = holdersOf({ kernel }, state, object);
  const links = found.flatMap(({ origin }) => {
    if (origin?.kind !== 'object') return [];
    const life = lives.find(context, origin.id);
    const attached = attachments
      .of(context, origin.id)
      .filter(({ hwpt }) => hwpt === object.id)
      .map(({ seq, by, device }) => ({
        seq,
        role: 'attached',
        says: `${by} attaches ${label('device', device)} to it`,
      }));
    if (attached.length > 0) return attached;
    return life === undefined ? [] : [{ ...bornLink(life), role: 'holder created' }];
  });
  return { texts: found.map(({ what, how }) => `${what} ${how}`.trim()), links };
}

/** The object with an id; undefined when there is none. */
export function objectOf({ state }: Kernel, context: number, id: number): KernelObject | undefined {
  return state.contexts[context]?.objects[id];
}
