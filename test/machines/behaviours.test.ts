/** The rules of the kernel's lifecycles, one sentence each. */
import { describe, expect, test } from 'vitest';
import {
  accessLifecycle as access,
  contextLifecycle as context,
  deviceLifecycle as device,
  faultQueueLifecycle as faultQueue,
  ioasLifecycle as ioas,
  type Lifecycle,
  hwptNestedLifecycle as nested,
  hwptPagingLifecycle as paging,
  pasidLifecycle as pasid,
  REFUSED,
  attachmentSlotLifecycle as slot,
} from '../../machines/index.ts';

/** States in which a lifecycle takes an event for some outcome of the guards. */
function statesTaking({ flat }: Lifecycle, event: number): readonly string[] {
  const width = 1 << flat.guards.length;
  return flat.states.filter((_, state) => {
    const first = (state * flat.events.length + event) * width;
    return flat.next.subarray(first, first + width).some((next) => next !== REFUSED);
  });
}

describe('a context', () => {
  const { state, event, guard, step } = context;
  test('that nothing holds is released by close', () => {
    expect(step(state.open, event.CLOSE)).toBe(state.released);
  });
  test('with a bound device outlives its close as an orphan that takes no ioctl', () => {
    expect(step(state.open, event.CLOSE, guard.referenced)).toBe(state.orphan);
    expect(step(state.orphan, event.CALL)).toBe(REFUSED);
    expect(step(state.orphan, event.HOLDER_CALL)).toBe(state.orphan);
    expect(step(state.orphan, event.LAST_REFERENCE_DROPPED)).toBe(state.released);
  });
  test('that is open holds a reference by itself, so the last one cannot be dropped', () => {
    expect(step(state.open, event.LAST_REFERENCE_DROPPED)).toBe(REFUSED);
  });
});

describe('an IOAS', () => {
  const { state, event, guard, step } = ioas;
  test('with a HWPT on it refuses DESTROY', () => {
    expect(step(step(state.idle, event.ACQUIRE), event.DESTROY)).toBe(REFUSED);
  });
  test('that only has mappings is destroyed', () => {
    expect(step(step(state.idle, event.MAP), event.DESTROY)).toBe(state.destroyed);
  });
  test('is idle again only after its last user has gone', () => {
    expect(step(state.inUse, event.RELEASE)).toBe(state.inUse);
    expect(step(state.inUse, event.RELEASE, guard.last)).toBe(state.idle);
  });
  test('that nobody uses refuses a release', () => {
    expect(step(state.idle, event.RELEASE, guard.last)).toBe(REFUSED);
  });
  test('takes MAP, UNMAP and COPY in use or not, and never after its end', () => {
    for (const call of [event.MAP, event.UNMAP, event.COPY, event.RESERVE, event.ALLOW_IOVAS]) {
      expect(statesTaking(ioas, call)).toEqual(['idle', 'inUse']);
    }
  });
});

describe('a paging HWPT', () => {
  const { state, event, guard, step } = paging;
  test('made by an attach to an IOAS is in use from the start and goes with its last device', () => {
    expect(step(paging.initial, event.FINALIZE, guard.auto)).toBe(state.autoInUse);
    expect(step(state.autoInUse, event.RELEASE)).toBe(state.autoInUse);
    expect(step(state.autoInUse, event.RELEASE, guard.last)).toBe(state.destroyed);
  });
  test('made by IOMMU_HWPT_ALLOC survives its last device', () => {
    expect(step(paging.initial, event.FINALIZE)).toBe(state.idle);
    expect(step(state.inUse, event.RELEASE, guard.last)).toBe(state.idle);
  });
  test('is destroyed only when it is idle, automatic or not', () => {
    expect(statesTaking(paging, event.DESTROY)).toEqual(['idle']);
  });
  test('carries a nested HWPT or a vIOMMU only as a nest parent, which an automatic one never is', () => {
    for (const acquire of [event.ACQUIRE_NESTED, event.ACQUIRE_VIOMMU]) {
      expect(step(state.idle, acquire)).toBe(REFUSED);
      expect(step(state.idle, acquire, guard.nestParent)).toBe(state.inUse);
      expect(step(state.autoInUse, acquire, guard.nestParent)).toBe(REFUSED);
    }
  });
  test('tracks dirty pages only when it was allocated for it, and never takes an invalidation', () => {
    expect(step(state.inUse, event.SET_DIRTY)).toBe(REFUSED);
    expect(step(state.inUse, event.SET_DIRTY, guard.dirtyTracking)).toBe(state.inUse);
    expect(statesTaking(paging, event.INVALIDATE)).toEqual([]);
  });
  test('under construction takes no call', () => {
    expect(step(state.constructing, event.DESTROY)).toBe(REFUSED);
    expect(step(state.constructing, event.ACQUIRE_ATTACH)).toBe(REFUSED);
    expect(step(state.constructing, event.ABORT)).toBe(state.destroyed);
  });
});

describe('a nested HWPT', () => {
  const { state, event, guard, step } = nested;
  test('is attached only when the driver has the vDEVICE it wants', () => {
    expect(step(state.idle, event.ACQUIRE_ATTACH)).toBe(REFUSED);
    expect(step(state.idle, event.ACQUIRE_ATTACH, guard.vdeviceReady)).toBe(state.inUse);
  });
  test('is the parent of nothing and tracks no dirty pages', () => {
    for (const call of [event.ACQUIRE_NESTED, event.ACQUIRE_VIOMMU, event.SET_DIRTY, event.GET_DIRTY]) {
      expect(statesTaking(nested, call)).toEqual([]);
    }
  });
  test('that is attached refuses DESTROY', () => {
    expect(step(state.inUse, event.DESTROY)).toBe(REFUSED);
    expect(step(step(state.inUse, event.RELEASE, guard.last), event.DESTROY)).toBe(state.destroyed);
  });
});

describe('a device', () => {
  const { state, event, guard, step } = device;
  test('is never destroyed by its id and never bound twice', () => {
    expect(statesTaking(device, event.DESTROY)).toEqual([]);
    expect(statesTaking(device, event.BIND)).toEqual([]);
  });
  test('is replaced only where it is attached', () => {
    expect(statesTaking(device, event.REPLACE)).toEqual(['attached']);
  });
  test('stays attached until its last slot is empty, and is unbound only then', () => {
    expect(step(state.attached, event.DETACH)).toBe(state.attached);
    expect(step(state.attached, event.UNBIND)).toBe(REFUSED);
    expect(step(step(state.attached, event.DETACH, guard.last), event.UNBIND)).toBe(state.unbound);
  });
});

describe('an attachment slot', () => {
  const { state, event, guard, step } = slot;
  test('is taken by the first device with a compatible HWPT', () => {
    expect(step(state.free, event.ATTACH)).toBe(REFUSED);
    expect(step(state.free, event.ATTACH, guard.compatible)).toBe(state.held);
  });
  test('takes another member of the group with the same HWPT only, and no member twice', () => {
    expect(step(state.held, event.ATTACH, guard.compatible)).toBe(REFUSED);
    expect(step(state.held, event.ATTACH, guard.sameHwpt)).toBe(state.held);
    expect(step(state.held, event.ATTACH, guard.sameHwpt | guard.member)).toBe(REFUSED);
  });
  test('is replaced by a member only, and the same HWPT is not checked for compatibility', () => {
    expect(step(state.free, event.REPLACE, guard.compatible)).toBe(REFUSED);
    expect(step(state.held, event.REPLACE, guard.compatible)).toBe(REFUSED);
    expect(step(state.held, event.REPLACE, guard.member)).toBe(REFUSED);
    expect(step(state.held, event.REPLACE, guard.member | guard.compatible)).toBe(state.held);
    expect(step(state.held, event.REPLACE, guard.member | guard.sameHwpt)).toBe(state.held);
  });
  test('is freed by its last member', () => {
    expect(step(state.held, event.DETACH, guard.member)).toBe(state.held);
    expect(step(state.held, event.DETACH, guard.last)).toBe(REFUSED);
    expect(step(state.held, event.DETACH, guard.member | guard.last)).toBe(state.free);
  });
});

describe('a PASID', () => {
  const { state, event, guard, step } = pasid;
  test('picked by the user is attached straight from free and cannot be freed', () => {
    expect(step(state.free, event.ATTACH)).toBe(state.attached);
    expect(step(state.attached, event.FREE, guard.flushed | guard.defers)).toBe(REFUSED);
    expect(step(state.attached, event.DETACH, guard.last | guard.flushed)).toBe(state.free);
  });
  test('that was allocated stays allocated after its last detach', () => {
    expect(step(state.allocatedAttached, event.DETACH, guard.last)).toBe(state.allocated);
  });
  test('freed while attached is refused, or waits for its last user without taking a new one', () => {
    expect(step(state.allocatedAttached, event.FREE)).toBe(REFUSED);
    expect(step(state.allocatedAttached, event.FREE, guard.defers)).toBe(state.freePending);
    expect(step(state.freePending, event.ATTACH)).toBe(REFUSED);
    expect(step(state.freePending, event.ALLOC)).toBe(REFUSED);
    expect(step(state.freePending, event.DETACH, guard.last | guard.flushed)).toBe(state.free);
  });
  test('freed twice changes nothing while it is pending and is refused when it is free', () => {
    expect(step(state.freePending, event.FREE)).toBe(state.freePending);
    expect(step(state.free, event.FREE, guard.flushed)).toBe(REFUSED);
  });
  test('given back before a flush is stale until it is flushed, and its reuse is visible', () => {
    expect(step(state.allocated, event.FREE)).toBe(state.stale);
    expect(step(state.freePending, event.DETACH, guard.last)).toBe(state.stale);
    expect(step(state.attached, event.DETACH, guard.last)).toBe(state.stale);
    expect(step(state.stale, event.FLUSH)).toBe(state.free);
    expect(step(state.stale, event.ALLOC)).toBe(state.allocated);
    expect(step(state.stale, event.ATTACH)).toBe(state.attached);
  });
});

describe('an access', () => {
  const { state, event, step } = access;
  test('is replaced and pinned only where it is attached, and attached only once', () => {
    expect(statesTaking(access, event.REPLACE)).toEqual(['attached']);
    expect(statesTaking(access, event.PIN)).toEqual(['attached']);
    expect(statesTaking(access, event.ATTACH)).toEqual(['created']);
  });
  test('is never destroyed by its id, and closed attached or not', () => {
    expect(statesTaking(access, event.DESTROY)).toEqual([]);
    expect(step(state.created, event.CLOSE)).toBe(state.destroyed);
    expect(step(state.attached, event.CLOSE)).toBe(state.destroyed);
  });
});

describe('a fault queue', () => {
  const { state, event, guard, step } = faultQueue;
  test('is destroyed only with its descriptor closed and no HWPT on it', () => {
    expect(statesTaking(faultQueue, event.DESTROY)).toEqual(['closed']);
    expect(step(step(state.openInUse, event.CLOSE_FD), event.RELEASE, guard.last)).toBe(state.closed);
  });
  test('whose descriptor is closed still takes HWPTs and faults but is never read', () => {
    expect(step(state.closed, event.ACQUIRE)).toBe(state.closedInUse);
    expect(step(state.closedInUse, event.REPORT)).toBe(state.closedInUse);
    expect(step(state.closedInUse, event.READ)).toBe(REFUSED);
    expect(step(state.closedInUse, event.RESPOND)).toBe(REFUSED);
  });
  test('without a HWPT gets no faults', () => {
    expect(statesTaking(faultQueue, event.REPORT)).toEqual(['openInUse', 'closedInUse']);
  });
});
