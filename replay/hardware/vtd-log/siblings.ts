import type { Invalidation } from '../iotlb/invalidation.ts';
import { entryChanges, flushAfter } from './entries.ts';
import type { VtdEvent } from './parse.ts';
import type { Origins } from './tag-uses.ts';

/**
 * Further functions of a group, which the kernel attaches along and no trace names: they are those whose
 * domain of the kernel's own is that of a device of the trace.
 */

/** Requester ids by device of the trace. */
export type Siblings = ReadonlyMap<number, readonly number[]>;

export function findSiblings(
  devices: readonly number[],
  events: readonly VtdEvent[],
  sidOf: (device: number) => number | null,
): Siblings {
  const first = new Map<number, number>();
  for (const event of events) {
    if (event.event !== 'context' || first.has(event.sid)) continue;
    const did = event.did !== null && event.did !== 0 ? event.did : flushAfter(events, event)?.did;
    if (did !== undefined) first.set(event.sid, did);
  }
  const named = new Set(devices.flatMap((device) => sidOf(device) ?? []));
  const siblings = new Map<number, number[]>();
  const taken = new Set<number>();
  for (const device of devices) {
    const sid = sidOf(device);
    const did = sid === null ? undefined : first.get(sid);
    if (sid === null || did === undefined) continue;
    const own = [...first].flatMap(([other, theirs]) =>
      // Devices of other slots may share the domain of an identity map.
      theirs === did && !named.has(other) && !taken.has(other) && other >> 3 === sid >> 3 ? [other] : [],
    );
    for (const each of own) taken.add(each);
    if (own.length > 0) siblings.set(device, own);
  }
  return siblings;
}

/** Numbers for siblings, behind those of the machine's devices. */
export interface Extended {
  readonly invalidations: readonly Invalidation[];
  readonly sids: ReadonlyMap<number, number>;
  readonly origins: Origins;
}

/** Adds what the kernel does to siblings: the same as to the device, one after the other by address. */
export function withSiblings(
  expected: readonly Invalidation[],
  known: Origins,
  siblings: Siblings,
  firstNumber: number,
  sidOf: (device: number) => number | null,
): Extended {
  const origins = new Map(known);
  const sids = new Map<number, number>();
  const numbers = new Map<number, number>();
  for (const sid of [...siblings.values()].flat()) {
    numbers.set(sid, firstNumber + numbers.size);
    sids.set(numbers.get(sid)!, sid);
  }
  const changes = new Map(entryChanges(expected).map((change) => [change.context, change]));
  const invalidations: Invalidation[] = [];
  for (let at = 0; at < expected.length; at += 1) {
    const invalidation = expected[at]!;
    const change = changes.get(invalidation);
    const own = change === undefined ? undefined : siblings.get(change.device);
    if (change === undefined || own === undefined) {
      invalidations.push(invalidation);
      continue;
    }
    at += 1;
    const all = [sidOf(change.device)!, ...own].sort((a, b) => a - b);
    for (const sid of all) {
      const device = numbers.get(sid) ?? change.device;
      const own = device === change.device;
      const context = own ? change.context : { ...change.context, device };
      const flush = own ? change.flush : { ...change.flush };
      origins.set(context, known.get(change.context)!);
      origins.set(flush, known.get(change.flush)!);
      invalidations.push(context, flush);
    }
  }
  return { invalidations, sids, origins };
}
