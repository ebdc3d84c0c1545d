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

/** A domain id, whose number is null as long as nothing tells it. Uses that have it in turn share it. */
interface Id {
  did: number | null;
  /** Numbers that nobody has seen yet are taken in this order. */
  readonly rank: number;
}

/**
 * In legacy mode the entry of each device tells the id. Otherwise the flushes are followed in the order of
 * the drivers: the first one that can be of an id gives it its number. The kernel takes the lowest number
 * that is free (`domain_attach_iommu`), so one that another use gave back comes before all that were never
 * seen.
 */
export function bindUses(
  expected: readonly Invalidation[],
  origins: Origins,
  uses: readonly TagUse[],
  changes: readonly BoundChange[],
  flushes: readonly LoggedFlush[],
): BoundUses {
  const ids = new Map<TagUse, Id>();
  const firsts = new Map<TagUse, number>();
  const anchors: Anchor[] = [];
  const bind = (use: TagUse, did: number, op: number, at: number): void => {
    const id = ids.get(use);
    if (id === undefined || (id.did !== null && id.did !== did)) ids.set(use, { did, rank: -1 });
    else id.did = did;
    if (!firsts.has(use)) firsts.set(use, at);
    anchors.push({ op, at });
  };
  for (const { flush, did, flushAt } of changes) {
    const origin = origins.get(flush);
    if (origin?.use != null && did !== null) bind(origin.use, did, origin.op, flushAt);
  }
  let begun = 0;
  const beginUntil = (op: number): void => {
    for (; begun < uses.length && uses[begun]!.from <= op; begun += 1) {
      const use = uses[begun]!;
      if (!ids.has(use)) ids.set(use, givenBack(ids, use) ?? { did: null, rank: begun });
    }
  };
  let next = 0;
  for (const invalidation of expected) {
    const { use, op } = origins.get(invalidation) ?? { use: null, op: 0 };
    if (use === null) continue;
    beginUntil(op);
    if (invalidation.certainty !== 'sure') continue;
    const known = ids.get(use)?.did ?? null;
    const isIts = (did: number): boolean => (known === null ? !isTaken(ids, use, did) : did === known);
    const end = Math.min(flushes.length, next + LOOK_AHEAD);
    let found = next;
    while (found < end && !(isIts(flushes[found]!.did) && fits(invalidation, flushes[found]!))) found += 1;
    if (found === end) continue;
    bind(use, flushes[found]!.did, op, flushes[found]!.at);
    next = found + 1;
  }
  anchors.sort((a, b) => a.op - b.op || a.at - b.at);
  const numbers = new Map<TagUse, number>();
  for (const [use, { did }] of ids) if (did !== null) numbers.set(use, did);
  return {
    ids: numbers,
    from(use) {
      if (isOwn(use)) return firsts.get(use) ?? 0;
      let at = 0;
      for (const anchor of anchors) {
        if (anchor.op >= use.from) break;
        at = Math.max(at, anchor.at + 1);
      }
      return Math.min(at, firsts.get(use) ?? at);
    },
  };
}

/** Devices of one group share the kernel's own domain, and with an identity map all devices do. */
function isTaken(ids: ReadonlyMap<TagUse, Id>, use: TagUse, did: number): boolean {
  for (const [other, id] of ids) {
    if (id.did !== did || other === use || !overlap(other, use)) continue;
    if (!isOwn(other) || !isOwn(use)) return true;
  }
  return false;
}

function isOwn({ tag }: TagUse): boolean {
  return tag.startsWith('own');
}

/** The lowest id that was given back before a use began, and that nobody has then. */
function givenBack(ids: ReadonlyMap<TagUse, Id>, use: TagUse): Id | null {
  const free = new Set<Id>();
  for (const [other, id] of ids) if (other.until <= use.from) free.add(id);
  for (const [other, id] of ids) if (other.from <= use.from && other.until > use.from) free.delete(id);
  const numberOf = ({ did, rank }: Id): number => did ?? NEW_NUMBERS + rank;
  return [...free].sort((a, b) => numberOf(a) - numberOf(b))[0] ?? null;
}

/** Above every domain id: 16 bits. */
const NEW_NUMBERS = 2 ** 16;
