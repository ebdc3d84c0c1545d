import { pasidLifecycle, REFUSED } from '../../../machines/index.ts';
import type { Reason } from '../reason.ts';
import { giveBack, takeNumber } from './allocator.ts';
import { charge, uncharge } from './cgroup.ts';
import type { CoreCall } from './core-call.ts';
import { type HostPasid, hostPasid } from './names.ts';
import { notify } from './notify.ts';
import {
  CGROUP_LIMIT,
  CGROUP_OTHER_MM,
  IOASID_ABSENT,
  IOASID_FREE_PENDING,
  IOASID_OTHER_SET,
  IOASID_UNKNOWN,
  isRefused,
  OWNER_OTHER_MM,
  QUOTA_REACHED,
  SET_CLOSING,
  SET_NOT_FOUND,
  SET_WITHOUT_MM,
} from './reasons.ts';
import { closeSet, countReclaimed, countTaken, isClosing } from './set.ts';
import { findIoasid, type Ioasid, type IoasidData, type IoasidSet, SYSTEM, spaceFor } from './state.ts';

/**
 * The life of one number: allocated, referenced, freed, reclaimed. Its state is that of the lifecycle
 * `pasid`: FREE, IDLE (one reference, the owner's), ACTIVE (more), FREE_PENDING.
 * Source: IOASID series V4, 05/18 to 07/18.
 */

const { state: STATE, event: EVENT, guard: GUARD } = pasidLifecycle;

/** What the kernel calls the states. */
export const IOASID_STATE = {
  [STATE.allocated]: 'IDLE',
  [STATE.allocatedAttached]: 'ACTIVE',
  [STATE.freePending]: 'FREE_PENDING',
} as const;

/** `ioasid_alloc`: a number of [min, max], both inclusive, with one reference. */
export function allocIoasid(
  call: CoreCall,
  setId: number,
  min: number,
  max: number,
  data: IoasidData | null = null,
  scope = SYSTEM,
): HostPasid | Reason {
  const { core, mm } = call;
  const set = core.sets[setId];
  if (set === undefined) return SET_NOT_FOUND;
  if (isClosing(set)) return SET_CLOSING;
  if (set.count >= set.quota) return QUOTA_REACHED;
  const charged = chargeFor(call, set, mm);
  if (isRefused(charged)) return charged;
  const taken = takeNumber(core, scope, min, max);
  if (isRefused(taken)) {
    uncharge(core, charged);
    return taken;
  }
  const space = spaceFor(core, scope);
  const id = hostPasid(taken.id);
  const from = space.stale[id] === undefined ? STATE.free : STATE.stale;
  delete space.stale[id];
  space.ids[id] = {
    id,
    scope,
    set: setId,
    lifecycle: next(from, EVENT.ALLOC),
    refs: 1,
    spid: null,
    data,
    isCached: false,
    allocator: taken.allocator,
    charged,
    boundTo: 0,
  };
  countTaken(core, set);
  call.changed?.('alloc', space.ids[id]);
  notify(call, 'ALLOC', space.ids[id]);
  return id;
}

/** Only sets of processes are charged, and only by the process itself. Answers the cgroup. */
function chargeFor({ core }: CoreCall, set: IoasidSet, mm: number): string | Reason {
  if (set.type !== 'mm') return '';
  if (mm !== set.token) return CGROUP_OTHER_MM;
  return charge(core, mm) ?? CGROUP_LIMIT;
}

/** `ioasid_get`: one more reference. A set of 0 is not compared. */
export function getIoasid(call: CoreCall, setId: number, id: number, scope = SYSTEM): Ioasid | Reason {
  const ioasid = findIoasid(call.core, id, scope);
  if (ioasid === undefined) return IOASID_UNKNOWN;
  if (ioasid.lifecycle === STATE.freePending) return IOASID_FREE_PENDING;
  if (setId !== 0 && ioasid.set !== setId) return IOASID_OTHER_SET;
  ioasid.refs += 1;
  ioasid.lifecycle = next(ioasid.lifecycle, EVENT.ATTACH);
  return ioasid;
}

/** `ioasid_get_if_owned`: a reference for a call of the process that owns the number. */
export function getIfOwned(call: CoreCall, id: number, scope = SYSTEM): Ioasid | Reason {
  const ioasid = findIoasid(call.core, id, scope);
  if (ioasid === undefined) return IOASID_ABSENT;
  const set = call.core.sets[ioasid.set]!;
  if (set.type !== 'mm') return SET_WITHOUT_MM;
  if (set.token !== call.mm) return OWNER_OTHER_MM;
  return getIoasid(call, ioasid.set, id, scope);
}

/** `ioasid_put`: whether that was the last reference, so that the number was reclaimed. */
export function putIoasid(call: CoreCall, setId: number, id: number, scope = SYSTEM): boolean {
  const ioasid = findIoasid(call.core, id, scope);
  if (ioasid === undefined || (setId !== 0 && ioasid.set !== setId)) return false;
  ioasid.refs -= 1;
  if (ioasid.lifecycle === STATE.allocated) {
    // The owner puts instead of freeing: the reference was the last.
    reclaim(call, ioasid, next(ioasid.lifecycle, EVENT.FREE, flushedGuard(ioasid)));
    return true;
  }
  const isPending = ioasid.lifecycle === STATE.freePending;
  const isLast = ioasid.refs === (isPending ? 0 : 1);
  const lifecycle = next(ioasid.lifecycle, EVENT.DETACH, isLast ? GUARD.last | flushedGuard(ioasid) : 0);
  if (isPending && isLast) reclaim(call, ioasid, lifecycle);
  else ioasid.lifecycle = lifecycle;
  return isPending && isLast;
}

/** `ioasid_free`: gives up the owner's reference. In use, the number waits for its last user. */
export function freeIoasid(call: CoreCall, setId: number, id: number, scope = SYSTEM): void {
  const ioasid = findIoasid(call.core, id, scope);
  if (ioasid === undefined || ioasid.set !== setId || ioasid.lifecycle === STATE.freePending) return;
  const lifecycle = next(ioasid.lifecycle, EVENT.FREE, GUARD.defers | flushedGuard(ioasid));
  ioasid.refs -= 1;
  if (lifecycle !== STATE.freePending) {
    reclaim(call, ioasid, lifecycle);
    return;
  }
  ioasid.lifecycle = lifecycle;
  call.changed?.('free-pending', ioasid);
  // The IOMMU driver's handler only queues its work: handlers must not sleep.
  if (ioasid.data !== null) call.core.work.push({ id: ioasid.id, scope });
  notify(call, 'FREE', ioasid);
}

/** `ioasid_free_all_in_set`: frees each number; what is in use waits, and nothing new may begin. */
export function freeAllInSet(call: CoreCall, setId: number): Reason | null {
  const set = call.core.sets[setId];
  if (set === undefined) return SET_NOT_FOUND;
  closeSet(call.core, set);
  for (const ioasid of numbersOfSet(call, setId)) freeIoasid(call, setId, ioasid.id, ioasid.scope);
  return null;
}

/** `ioasid_set_for_each_ioasid`: by scope as first used, then by number. */
export function numbersOfSet({ core }: CoreCall, setId: number): Ioasid[] {
  return Object.values(core.spaces).flatMap(({ ids }) =>
    Object.values(ids).filter(({ set }) => set === setId),
  );
}

/** All caches were told to forget the number, and its page requests are drained. */
export function flushNumber(call: CoreCall, id: number, scope = SYSTEM): void {
  const space = spaceFor(call.core, scope);
  const ioasid = space.ids[id];
  delete space.stale[id];
  if (ioasid === undefined) return;
  ioasid.isCached = false;
  ioasid.lifecycle = next(ioasid.lifecycle, EVENT.FLUSH);
  call.changed?.('flush', ioasid, { flushes: true });
}

function reclaim(call: CoreCall, ioasid: Ioasid, lifecycle: number): void {
  const { core } = call;
  const { id, scope } = ioasid;
  const space = spaceFor(core, scope);
  if (lifecycle === STATE.stale) space.stale[id] = ioasid.set;
  delete space.ids[id];
  // Freed by its number under the process: docs/proposal-choices.md, "A bound PASID".
  if (ioasid.boundTo !== 0) delete core.bound[ioasid.boundTo];
  call.changed?.('free', ioasid, { flushes: lifecycle !== STATE.stale });
  giveBack(core, scope, { id, allocator: ioasid.allocator });
  uncharge(core, ioasid.charged);
  countReclaimed(core, core.sets[ioasid.set]!);
}

function flushedGuard({ isCached }: Ioasid): number {
  return isCached ? 0 : GUARD.flushed;
}

/** The lifecycle's next state. A refusal here is our bug: the checks stand before it. */
function next(from: number, event: number, guards = 0): number {
  const state = pasidLifecycle.step(from, event, guards);
  if (state === REFUSED) throw new Error(`a PASID in state ${from} takes no event ${event}`);
  return state;
}
