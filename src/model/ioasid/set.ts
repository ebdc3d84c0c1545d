import { ioasidSetLifecycle, REFUSED } from '../../../machines/index.ts';
import type { Reason, Refusal } from '../reason.ts';
import { reserveCapacity } from './capacity.ts';
import { dropChain, findMmSet, hookWaiting } from './notify.ts';
import {
  isRefused,
  QUOTA_ABOVE_CAPACITY,
  SET_NOT_EMPTY,
  SET_NOT_FOUND,
  SET_TOKEN_MISSING,
  SET_TOKEN_TAKEN,
  SET_TOKEN_UNWANTED,
  SET_TYPE_UNKNOWN,
} from './reasons.ts';
import type { IoasidCore, IoasidSet, SetType } from './state.ts';

/** Sets of numbers: one user's, under one quota. Source: IOASID series V4, 05/18. */

/** `enum ioasid_set_type`. */
const SET_TYPES: Readonly<Record<number, SetType>> = { 1: 'null', 2: 'mm' };

const { state: STATE, event: EVENT, guard: GUARD } = ioasidSetLifecycle;

/** `ioasid_set_alloc`: quota 0 takes all capacity that is left. Answers the id of the set. */
export function allocSet(
  core: IoasidCore,
  token: number,
  quota: number,
  typeNumber: number,
): number | Reason {
  const type = SET_TYPES[typeNumber];
  if (type === undefined) return SET_TYPE_UNKNOWN;
  if (type === 'mm' && token === 0) return SET_TOKEN_MISSING;
  if (type === 'mm' && findMmSet(core, token) !== null) return SET_TOKEN_TAKEN;
  if (type === 'null' && token !== 0) return SET_TOKEN_UNWANTED;
  const reserved = reserveCapacity(core, quota);
  if (isRefused(reserved)) return QUOTA_ABOVE_CAPACITY;
  const id = core.nextSet;
  core.nextSet += 1;
  core.sets[id] = { id, lifecycle: ioasidSetLifecycle.initial, type, token, quota: reserved, count: 0 };
  if (type === 'mm') hookWaiting(core, token, id);
  return id;
}

/** `ioasid_set_free`. */
export function freeSet(core: IoasidCore, id: number): Refusal {
  const set = core.sets[id];
  if (set === undefined) return SET_NOT_FOUND;
  if (set.count > 0) return SET_NOT_EMPTY;
  moveSet(core, set, EVENT.FREE);
  return null;
}

/** Steps the set's lifecycle; a set that dies is gone with its chain, and its quota is available again. */
export function moveSet(core: IoasidCore, set: IoasidSet, event: number, guards = 0): void {
  const next = ioasidSetLifecycle.step(set.lifecycle, event, guards);
  if (next === REFUSED) throw new Error(`set ${set.id} in state ${set.lifecycle} takes no event ${event}`);
  set.lifecycle = next;
  if (next !== STATE.dead) return;
  // The posted code forgets to give it back: docs/proposal-choices.md, "Quota of a dead set".
  core.available += set.quota;
  dropChain(core, set.id);
  delete core.sets[set.id];
}

/** A number of the set was taken. */
export function countTaken(core: IoasidCore, set: IoasidSet): void {
  set.count += 1;
  moveSet(core, set, EVENT.TAKE);
}

/** A number of the set went back: the last one takes the set with it. */
export function countReclaimed(core: IoasidCore, set: IoasidSet): void {
  set.count -= 1;
  moveSet(core, set, EVENT.RECLAIM, set.count === 0 ? GUARD.last : 0);
}

/** `ioasid_free_all_in_set` begins: only put is legal from now on. */
export function closeSet(core: IoasidCore, set: IoasidSet): void {
  moveSet(core, set, EVENT.FREE_ALL);
}

export function isClosing(set: IoasidSet): boolean {
  return set.lifecycle === STATE.closing;
}
