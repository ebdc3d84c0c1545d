import type { Invalidation } from '../iotlb/invalidation.ts';
import type { BoundChange } from './entries.ts';
import { fits } from './fits.ts';
import type { LoggedFlush } from './parse.ts';
import { type Origins, overlap, type TagUse } from './tag-uses.ts';

/** Which domain id of the machine each use of a tag has, and from where on in the log. */

export interface BoundUses {
  readonly ids: ReadonlyMap<TagUse, number>;
  /** Place in the log from which on the id is that use's. */
  from(use: TagUse): number;
}

/** A place of the log that is known to belong to an op. */
interface Anchor {
  readonly op: number;
  readonly at: number;
}

/** Flushes that are looked through to find the one that gives a use its id. */
const LOOK_AHEAD = 512;

/**
 * In legacy mode the entry of each device tells the id. Otherwise the flushes are followed in the order of the
 * drivers: the first one that can be of a use gives it its id. The kernel takes the lowest number that is
 * free, so one that another use gave back comes before all that were never seen.
 */
export function bindUses(
  expected: readonly Invalidation[],
  origins: Origins,
  changes: readonly BoundChange[],
  flushes: readonly LoggedFlush[],
): BoundUses {
  const ids = new Map<TagUse, number>();
  const firsts = new Map<TagUse, number>();
  const anchors: Anchor[] = [];
  const bind = (use: TagUse, did: number, op: number, at: number): void => {
    if (!ids.has(use)) ids.set(use, did);
    if (!firsts.has(use)) firsts.set(use, at);
    anchors.push({ op, at });
  };
  for (const { flush, did, flushAt } of changes) {
    const origin = origins.get(flush);
    if (origin?.use != null && did !== null) bind(origin.use, did, origin.op, flushAt);
  }
  let next = 0;
  for (const invalidation of expected) {
    const { use, op } = origins.get(invalidation) ?? { use: null, op: 0 };
    if (use === null || invalidation.certainty !== 'sure') continue;
    const known = ids.get(use);
    const wanted = known ?? givenBack(ids, use);
    const isFree = (did: number): boolean =>
      known === undefined
        ? ![...ids].some(([other, id]) => id === did && overlap(other, use))
        : did === known;
    const find = (isWanted: (did: number) => boolean): number => {
      const end = Math.min(flushes.length, next + LOOK_AHEAD);
      for (let at = next; at < end; at += 1)
        if (isWanted(flushes[at]!.did) && fits(invalidation, flushes[at]!)) return at;
      return -1;
    };
    let found = wanted === null ? -1 : find((did) => did === wanted);
    if (found < 0 && known === undefined) found = find(isFree);
    if (found < 0) continue;
    bind(use, flushes[found]!.did, op, flushes[found]!.at);
    next = found + 1;
  }
  anchors.sort((a, b) => a.op - b.op || a.at - b.at);
  return {
    ids,
    from(use) {
      if (use.tag.startsWith('own')) return firsts.get(use) ?? 0;
      let at = 0;
      for (const anchor of anchors) {
        if (anchor.op >= use.from) break;
        at = Math.max(at, anchor.at + 1);
      }
      return Math.min(at, firsts.get(use) ?? at);
    },
  };
}

/** The lowest id that was given back before a use began, and that nobody has then. */
function givenBack(ids: ReadonlyMap<TagUse, number>, use: TagUse): number | null {
  const free: number[] = [];
  const held = new Set<number>();
  for (const [other, id] of ids) {
    if (overlap(other, use)) held.add(id);
    else if (other.until <= use.from) free.push(id);
  }
  const lowest = free.filter((id) => !held.has(id)).sort((a, b) => a - b)[0];
  return lowest ?? null;
}
