import type { PatchedReply } from '../patches.ts';

/** What a call of a generation changed: one line for each part of its state, named by where it stands. */

const VERBS = { add: 'appeared', remove: 'went away', replace: 'changed' } as const;

/** In the order of the patches, without the counters of the model itself. */
export function describeProposalChanges(patches: PatchedReply['patches']): string[] {
  return patches
    .filter(
      ({ path }) => path[0] === 'proposal' && path.length > 1 && !String(path.at(-1)).startsWith('next'),
    )
    .map(({ op, path, value }) => {
      const where = path.slice(1).join(' ');
      const isPlain = typeof value === 'number' || typeof value === 'string' || typeof value === 'boolean';
      return `${where} ${VERBS[op]}${isPlain && op !== 'remove' ? `: ${value}` : ''}`;
    });
}
