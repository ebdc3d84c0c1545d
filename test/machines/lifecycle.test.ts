/** The constants and the step that the model uses. */
import { describe, expect, test } from 'vitest';
import { hwptPagingLifecycle, ioasLifecycle, lifecycles, REFUSED } from '../../machines/index.ts';

describe('lifecycles', () => {
  test('are listed under their own names in a fixed order', () => {
    expect(Object.keys(lifecycles)).toEqual([
      'context',
      'ioas',
      'hwptPaging',
      'hwptNested',
      'device',
      'attachmentSlot',
      'pasid',
      'access',
      'faultQueue',
      'viommu',
      'vdevice',
      'veventq',
      'hwQueue',
      'ioasidSet',
      'pasidTeardown',
      'proposalGroup',
      'proposalIoas',
    ]);
    for (const [name, lifecycle] of Object.entries(lifecycles)) {
      expect(lifecycle.name).toBe(name);
      expect(lifecycle.flat.name).toBe(name);
    }
  });

  test('number states, events and guards as their tables do', () => {
    for (const { flat, state, event, guard, initial } of Object.values(lifecycles)) {
      expect(Object.keys(state)).toEqual(flat.states);
      expect(Object.values(state)).toEqual(flat.states.map((_, index) => index));
      expect(Object.keys(event)).toEqual(flat.events);
      expect(Object.values(event)).toEqual(flat.events.map((_, index) => index));
      expect(Object.keys(guard)).toEqual(flat.guards);
      expect(Object.values(guard)).toEqual(flat.guards.map((_, bit) => 1 << bit));
      expect(initial).toBe(flat.initial);
    }
  });

  test('are compiled once', () => {
    expect(ioasLifecycle.flat).toBe(ioasLifecycle.flat);
  });

  test('refuse to compile a misspelt name', () => {
    // @ts-expect-error no such state
    expect(ioasLifecycle.state.inuse).toBeUndefined();
    // @ts-expect-error no such event
    expect(ioasLifecycle.event.DESTROI).toBeUndefined();
    // @ts-expect-error a guard of another lifecycle
    expect(ioasLifecycle.guard.nestParent).toBeUndefined();
    // TypeScript lets inherited names through, so the constants have no prototype to inherit from.
    expect(ioasLifecycle.state.toString).toBeUndefined();
  });
});

describe('step', () => {
  const { state, event, guard } = ioasLifecycle;

  test('takes guards as a bit mask and none by default', () => {
    expect(ioasLifecycle.step(state.inUse, event.RELEASE)).toBe(state.inUse);
    expect(ioasLifecycle.step(state.inUse, event.RELEASE, guard.last)).toBe(state.idle);
  });

  test('ignores a guard that the event does not carry', () => {
    expect(ioasLifecycle.step(state.inUse, event.DESTROY, guard.last)).toBe(REFUSED);
    expect(ioasLifecycle.step(state.idle, event.DESTROY, guard.last)).toBe(state.destroyed);
  });

  test('throws on numbers that are not of this lifecycle', () => {
    expect(() => ioasLifecycle.step(REFUSED, event.MAP)).toThrow(RangeError);
    expect(() => ioasLifecycle.step(ioasLifecycle.flat.states.length, event.MAP)).toThrow(RangeError);
    expect(() => ioasLifecycle.step(state.idle, ioasLifecycle.flat.events.length)).toThrow(RangeError);
    expect(() => ioasLifecycle.step(state.inUse, -1)).toThrow(RangeError);
    expect(() => ioasLifecycle.step(state.idle, event.MAP, hwptPagingLifecycle.guard.dirtyTracking)).toThrow(
      RangeError,
    );
    expect(() => ioasLifecycle.step(state.idle, event.MAP, -1)).toThrow(RangeError);
  });
});
