import { describe, expect, test } from 'vitest';
import {
  allocIoasid,
  allocSet,
  freeAllInSet,
  freeIoasid,
  freeSet,
  getIfOwned,
  getIoasid,
  installCapacity,
  isRefused,
  putIoasid,
  registerNotifier,
  SYSTEM,
} from '../../../src/model/ioasid/index.ts';
import {
  alloc,
  idOf,
  MAX,
  MM,
  MM_SET,
  mmSet,
  NULL_SET,
  stateOf,
  type World,
  world,
} from '../../support/ioasid-world.ts';

/** The rules of the IOASID series V4 about sets and numbers: the reference's table 5.3, row by row. */

describe('ioasid_set_alloc', () => {
  test('takes its quota from the capacity that is left', () => {
    const w = world();
    installCapacity(w.core, 100);
    allocSet(w.core, 0, 30, NULL_SET);
    expect(w.core.available).toBe(70);
  });
  test('with quota 0 takes all that is left', () => {
    const w = world();
    installCapacity(w.core, 100);
    allocSet(w.core, 0, 30, NULL_SET);
    const all = allocSet(w.core, 0, 0, NULL_SET) as number;
    expect(w.core.sets[all]!.quota).toBe(70);
    expect(idOf(allocSet(w.core, 0, 0, NULL_SET))).toBe('ioasid-quota-above-capacity');
  });
  test.each([
    ['a quota above what is left', 0, 101, NULL_SET, 'ioasid-quota-above-capacity', 28],
    ['type 0', 0, 1, 0, 'ioasid-set-type-unknown', 22],
    ['type 3', 0, 1, 3, 'ioasid-set-type-unknown', 22],
    ['an mm set without a token', 0, 1, MM_SET, 'ioasid-set-token-missing', 22],
    ['an mm set whose token is taken', MM, 1, MM_SET, 'ioasid-set-token-taken', 17],
    ['a null set with a token', MM, 1, NULL_SET, 'ioasid-set-token-unwanted', 22],
  ])('refuses %s', (_, token, quota, type, id, errno) => {
    const w = world();
    installCapacity(w.core, 100);
    mmSet(w, 1);
    const answer = allocSet(w.core, token, quota, type);
    expect(answer).toMatchObject({ id, errno });
    expect(w.core.available).toBe(99);
  });
});

describe('ioasid_set_free', () => {
  test('refuses an unknown set, and one with numbers', () => {
    const w = world();
    const set = mmSet(w);
    alloc(w, set);
    expect(freeSet(w.core, 99)).toMatchObject({ id: 'ioasid-set-not-found', errno: 22 });
    expect(freeSet(w.core, set)).toMatchObject({ id: 'ioasid-set-not-empty', errno: 16 });
  });
  test('makes the token free to use again, and gives the quota back', () => {
    const w = world();
    const before = w.core.available;
    const set = mmSet(w);
    expect(freeSet(w.core, set)).toBeNull();
    expect(w.core.available).toBe(before);
    expect(mmSet(w)).toBe(set + 1);
  });
});

describe('ioasid_alloc', () => {
  test('answers an idle number without a guest number, and tells ALLOC on the set', () => {
    const w = world();
    const set = mmSet(w);
    registerNotifier(w.core, { name: 'kvm', priority: 'cpu', set });
    registerNotifier(w.core, { name: 'vt-d', priority: 'iommu', set: 0 });
    const id = alloc(w, set);
    expect(stateOf(w, id)).toBe('IDLE');
    expect(w.core.spaces[SYSTEM]!.ids[id]!.spid).toBeNull();
    expect(w.told).toMatchObject([{ event: 'ALLOC', subscriber: 'kvm', id }]);
  });
  test('never answers 0', () => {
    const w = world();
    expect(alloc(w, mmSet(w), 0)).toBe(1);
    expect(idOf(allocIoasid(w, 1, 0, 0))).toBe('ioasid-none-free');
  });
  test.each([
    ['an unknown set', (w: World) => allocIoasid(w, 9, 1, MAX), 'ioasid-set-not-found'],
    ['a set at its quota', (w: World) => allocIoasid(w, mmSet(w, 2), 1, MAX), 'ioasid-quota-reached'],
    ['another process', (w: World) => allocIoasid(w.as(8), mmSet(w), 1, MAX), 'ioasid-cgroup-other-mm'],
    ['a range without a free number', (w: World) => allocIoasid(w, mmSet(w), 1, 0), 'ioasid-none-free'],
  ])('refuses %s', (name, ask, id) => {
    const w = world();
    if (name === 'a set at its quota') {
      const set = mmSet(w, 2);
      alloc(w, set);
      alloc(w, set);
      expect(idOf(allocIoasid(w, set, 1, MAX))).toBe(id);
      return;
    }
    expect(idOf(ask(w))).toBe(id);
  });
});

describe('ioasid_get', () => {
  test.each([
    ['an unknown number', 99, 'ioasid-unknown', 22],
    ['a number that was freed in use', 1, 'ioasid-free-pending', 16],
    ['a number of another set', 2, 'ioasid-other-set', 13],
  ])('refuses %s', (_, id, reason, errno) => {
    const w = world();
    const set = mmSet(w);
    const other = allocSet(w.core, 0, 5, NULL_SET) as number;
    const first = alloc(w, set);
    getIoasid(w, set, first);
    freeIoasid(w, set, first);
    expect(alloc(w, other)).toBe(2);
    expect(getIoasid(w, set, id)).toMatchObject({ id: reason, errno });
  });
  test('does not compare the set when none is given', () => {
    const w = world();
    const id = alloc(w, mmSet(w));
    expect(isRefused(getIoasid(w, 0, id))).toBe(false);
    expect(stateOf(w, id)).toBe('ACTIVE');
  });
});

describe('ioasid_get_if_owned', () => {
  test.each([
    ['an unknown number', 99, MM, 'ioasid-absent', 2],
    ['a number of a set without an mm', 2, MM, 'ioasid-set-without-mm', 22],
    ['a number of another process', 1, 8, 'ioasid-owner-other-mm', 1],
  ])('refuses %s', (_, id, mm, reason, errno) => {
    const w = world();
    alloc(w, mmSet(w));
    alloc(w, allocSet(w.core, 0, 5, NULL_SET) as number);
    expect(getIfOwned(w.as(mm), id)).toMatchObject({ id: reason, errno });
  });
  test('takes a reference for the owner', () => {
    const w = world();
    const id = alloc(w, mmSet(w));
    getIfOwned(w, id);
    expect(stateOf(w, id)).toBe('ACTIVE');
  });
});

describe('ioasid_put', () => {
  test('says false for an unknown number, another set, and while references are left', () => {
    const w = world();
    const set = mmSet(w);
    const id = alloc(w, set);
    getIoasid(w, set, id);
    expect(putIoasid(w, set, 99)).toBe(false);
    expect(putIoasid(w, set + 1, id)).toBe(false);
    expect(putIoasid(w, set, id)).toBe(false);
    expect(stateOf(w, id)).toBe('IDLE');
  });
  test('says true when the number is reclaimed', () => {
    const w = world();
    const set = mmSet(w);
    const id = alloc(w, set);
    expect(putIoasid(w, set, id)).toBe(true);
    expect(stateOf(w, id)).toBeUndefined();
  });
});

describe('ioasid_free', () => {
  test('ignores an unknown number and another set', () => {
    const w = world();
    const set = mmSet(w);
    const id = alloc(w, set);
    freeIoasid(w, set, 99);
    freeIoasid(w, set + 1, id);
    expect(stateOf(w, id)).toBe('IDLE');
  });
  test('of an idle number reclaims it without an event', () => {
    const w = world();
    const set = mmSet(w);
    registerNotifier(w.core, { name: 'vt-d', priority: 'iommu', set: 0 });
    freeIoasid(w, set, alloc(w, set));
    expect(w.told).toEqual([]);
    expect(w.core.spaces[SYSTEM]!.ids).toEqual({});
  });
  test('of a number in use waits for its users and tells FREE once, in order', () => {
    const w = world();
    const set = mmSet(w);
    registerNotifier(w.core, { name: 'vdcm', priority: 'device', set });
    registerNotifier(w.core, { name: 'vt-d', priority: 'iommu', set: 0 });
    registerNotifier(w.core, { name: 'kvm', priority: 'cpu', set });
    const id = alloc(w, set);
    getIoasid(w, set, id);
    w.told.length = 0;
    freeIoasid(w, set, id);
    freeIoasid(w, set, id);
    expect(stateOf(w, id)).toBe('FREE_PENDING');
    expect(w.told.map(({ event, subscriber }) => `${event} ${subscriber}`)).toEqual([
      'FREE kvm',
      'FREE vt-d',
      'FREE vdcm',
    ]);
    expect(putIoasid(w, set, id)).toBe(true);
  });
  test('of the last number takes the set with it', () => {
    const w = world();
    const set = mmSet(w);
    const id = alloc(w, set);
    freeIoasid(w, set, id);
    expect(w.core.sets).toEqual({});
    expect(idOf(allocIoasid(w, set, 1, MAX))).toBe('ioasid-set-not-found');
  });
});

describe('ioasid_free_all_in_set', () => {
  test('leaves nothing but put: no new number, no new reference', () => {
    const w = world();
    const set = mmSet(w);
    const used = alloc(w, set);
    const idle = alloc(w, set);
    getIoasid(w, set, used);
    expect(freeAllInSet(w, set)).toBeNull();
    expect([stateOf(w, used), stateOf(w, idle)]).toEqual(['FREE_PENDING', undefined]);
    expect(idOf(allocIoasid(w, set, 1, MAX))).toBe('choice-ioasid-set-closing');
    expect(idOf(getIoasid(w, set, used))).toBe('ioasid-free-pending');
    expect(putIoasid(w, set, used)).toBe(true);
    expect(w.core.sets).toEqual({});
  });
});
