import type { ReplayWatcher } from '../../replay/index.ts';
import { type Kernel, NO_EFFECTS, type PasidChange } from '../model/index.ts';
import { followCalls } from './call-facts.ts';
import type { PasidEvent, PasidSpace, PasidTarget } from './event.ts';
import type { PasidHistory } from './history.ts';

/**
 * PASIDs of the generations of 2020 and 2021, which the kernel allocates: held from allocation until the
 * allocator has the number back, which may be long after its owner freed it. Where the guest writes its own
 * PASID table the host only hears of a number, and it is held from its first attachment to its last.
 */

/** Watches a replay and tells the history what happens to PASIDs. */
export function watchProposal({ profile }: Kernel, history: PasidHistory): ReplayWatcher {
  const calls = followCalls(profile.name);
  return {
    effects: {
      ...NO_EFFECTS,
      pasidChanged: (change) => history.apply(eventOf(change, profile.name, calls.facts())),
    },
    before: (call) => calls.begin(call),
    after: () => calls.end(),
  };
}

function eventOf(change: PasidChange, generation: string, call: PasidEvent['call']): PasidEvent {
  const {
    what,
    scope,
    scopeQuota = null,
    pasid,
    vpasid = null,
    context,
    set = null,
    setQuota = null,
  } = change;
  return {
    what,
    generation,
    space: spaceOf(scope, scopeQuota),
    set,
    setQuota,
    pasid,
    vpasid,
    context,
    call,
    target: targetOf(change),
    reclaims: what === 'free',
    holder: change.process ?? null,
    flushes: change.flushes === true,
    vm: change.vm == null ? null : `vm ${change.vm}`,
    reason: change.reason ?? null,
  };
}

const FUNCTION = 'function ';

function spaceOf(scope: string, quota: number | null): PasidSpace {
  return scope.startsWith(FUNCTION)
    ? { kind: 'function', name: scope.slice(FUNCTION.length), quota }
    : { kind: 'system', name: '', quota };
}

function targetOf({ target }: PasidChange): PasidTarget | null {
  if (target == null) return null;
  return { function: target.device, device: target.file, hwpt: 0, ioas: target.ioas };
}
