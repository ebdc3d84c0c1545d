import { describe, expect, test } from 'vitest';
import {
  allocIoasid,
  allocSet,
  attachData,
  attachSpid,
  bindMm,
  cancelCapacity,
  createCgroup,
  decodeResponse,
  detachSpid,
  encodeCommand,
  findBySpid,
  findData,
  findMm,
  findSetOf,
  flushNumber,
  freeIoasid,
  getIoasid,
  guestPasid,
  hostPasid,
  INVALID_IOASID,
  installCapacity,
  moveProcess,
  registerAllocator,
  registerNotifier,
  registerNotifierMm,
  reserveCapacity,
  runCommand,
  runFreeWork,
  SCOPE_POLICIES,
  SYSTEM,
  setCgroupMax,
  unbindMm,
  unregisterAllocator,
} from '../../../src/model/ioasid/index.ts';
import { alloc, idOf, MAX, MM, MM_SET, mmSet, NULL_SET, stateOf, world } from '../../support/ioasid-world.ts';

/** What hangs on the numbers of the IOASID series V4: data, notifications, limits, allocators, scopes. */

describe('data and guest numbers', () => {
  test('ioasid_find tells unknown numbers from those of another set', () => {
    const w = world();
    const set = mmSet(w);
    const id = alloc(w, set);
    attachData(w, id, { owner: 'vt-d', devices: [] });
    expect(findData(w, set, 99)).toMatchObject({ id: 'ioasid-absent', errno: 2 });
    expect(findData(w, set + 1, id)).toMatchObject({ id: 'ioasid-other-set', errno: 13 });
    expect(findData(w, set, id)).toEqual({ owner: 'vt-d', devices: [] });
    expect([findSetOf(w, id), idOf(findSetOf(w, 99))]).toEqual([set, 'ioasid-absent']);
  });
  test.each([
    ['the invalid number', 1, INVALID_IOASID, 'ioasid-spid-unusable', 22],
    ['a guest number that the set uses', 2, 101, 'ioasid-spid-unusable', 22],
    ['an unknown host number', 99, 101, 'ioasid-absent', 2],
  ])('ioasid_attach_spid refuses %s', (_, id, spid, reason, errno) => {
    const w = world();
    const set = mmSet(w);
    attachSpid(w, alloc(w, set), guestPasid(101));
    alloc(w, set);
    expect(attachSpid(w, id, guestPasid(spid))).toMatchObject({ id: reason, errno });
  });
  test('guest numbers are unique per set only: two VMs may both call theirs 101', () => {
    const w = world();
    const one = mmSet(w);
    const two = allocSet(w.core, 8, 5, MM_SET) as number;
    const first = alloc(w, one);
    const second = alloc(w.as(8), two);
    expect(attachSpid(w, first, guestPasid(101))).toBeNull();
    expect(attachSpid(w, second, guestPasid(101))).toBeNull();
    expect(findBySpid(w, one, guestPasid(101), false)).toBe(first);
    expect(findBySpid(w, two, guestPasid(101), true)).toBe(second);
    expect(stateOf(w, second)).toBe('ACTIVE');
    expect(findBySpid(w, one, guestPasid(102), false)).toBeNull();
  });
  test('BIND and UNBIND are told once each, UNBIND while the guest number can be looked up', () => {
    const w = world();
    const set = mmSet(w);
    registerNotifier(w.core, { name: 'kvm', priority: 'cpu', set });
    const id = alloc(w, set);
    w.told.length = 0;
    attachSpid(w, id, guestPasid(101));
    attachSpid(w, id, guestPasid(101));
    detachSpid(w, id);
    detachSpid(w, id);
    expect(w.told.map(({ event, spid }) => [event, spid])).toEqual([
      ['BIND', 101],
      ['UNBIND', 101],
    ]);
  });
  test('a number freed while bound is torn down by the queued work, device by device', () => {
    const w = world();
    const set = mmSet(w);
    registerNotifier(w.core, { name: 'kvm', priority: 'cpu', set });
    const id = alloc(w, set);
    getIoasid(w, set, id);
    attachData(w, id, { owner: 'vt-d', devices: ['a', 'b'] });
    attachSpid(w, id, guestPasid(5));
    w.told.length = 0;
    freeIoasid(w, set, id);
    expect(runFreeWork(w).map(({ step, device }) => `${step} ${device}`.trim())).toEqual([
      'clear a',
      'drain a',
      'clear b',
      'drain b',
      'put',
    ]);
    expect(w.told.map(({ event }) => event)).toEqual(['FREE', 'UNBIND']);
    expect(stateOf(w, id)).toBeUndefined();
    expect(runFreeWork(w)).toEqual([]);
  });
});

describe('notifier blocks of a process', () => {
  test('wait for its set, and are refused twice and for a set in use', () => {
    const w = world();
    expect(registerNotifierMm(w.core, MM, 'kvm', 'cpu')).toBeNull();
    expect(registerNotifierMm(w.core, MM, 'kvm', 'cpu')).toMatchObject({ errno: 16 });
    const set = mmSet(w);
    expect(idOf(registerNotifierMm(w.core, MM, 'kvm', 'cpu'))).toBe('ioasid-notifier-twice');
    alloc(w, set);
    expect(w.told.map(({ subscriber }) => subscriber)).toEqual(['kvm']);
    expect(idOf(registerNotifierMm(w.core, MM, 'late', 'cpu'))).toBe('ioasid-notifier-late');
  });
});

describe('capacity and cgroups', () => {
  test('capacity is installed once, reserved and given back', () => {
    const w = world();
    expect(installCapacity(w.core, 100)).toBeNull();
    expect(idOf(installCapacity(w.core, 100))).toBe('choice-ioasid-capacity-installed');
    expect(idOf(reserveCapacity(w.core, 101))).toBe('ioasid-capacity-short');
    expect(reserveCapacity(w.core, 0)).toBe(100);
    expect(cancelCapacity(w.core, 40)).toBe(40);
    expect(idOf(cancelCapacity(w.core, 61))).toBe('ioasid-capacity-above-total');
  });
  test('a limit counts up the hierarchy, and a process that moves in may exceed it', () => {
    const w = world();
    createCgroup(w.core, 'top');
    createCgroup(w.core, 'vm', 'top');
    const set = mmSet(w);
    alloc(w, set);
    alloc(w, set);
    moveProcess(w.core, MM, 'vm');
    expect([w.core.cgroups['vm']!.current, w.core.cgroups['top']!.current]).toEqual([2, 2]);
    expect(allocIoasid(w, set, 1, MAX)).toMatchObject({ id: 'ioasid-cgroup-limit', errno: 11 });
    setCgroupMax(w.core, 'vm', 3);
    expect(idOf(allocIoasid(w, set, 1, MAX))).toBe('ioasid-cgroup-limit');
    setCgroupMax(w.core, 'top', 3);
    const third = alloc(w, set);
    freeIoasid(w, set, third);
    expect(w.core.cgroups['top']!.current).toBe(2);
  });
});

describe('allocators', () => {
  const custom = (name: string, functions: string, min = 1, max = MAX) =>
    ({ name, functions, kind: 'custom', min, max }) as const;
  test('a custom one is refused while default numbers are out, and twice', () => {
    const w = world();
    const set = mmSet(w);
    alloc(w, set);
    expect(registerAllocator(w.core, custom('a', 'f'))).toMatchObject({ errno: 11 });
    freeIoasid(w, set, 1);
    expect(registerAllocator(w.core, custom('a', 'f'))).toBeNull();
    expect(registerAllocator(w.core, custom('a', 'f'))).toMatchObject({ errno: 17 });
  });
  test('the first serves; taking it away warns unless one with the same functions follows', () => {
    const w = world();
    registerAllocator(w.core, custom('a', 'f', 100, 200));
    registerAllocator(w.core, custom('b', 'f', 100, 200));
    const set = mmSet(w);
    expect(alloc(w, set)).toBe(100);
    expect(unregisterAllocator(w.core, 'a')).toEqual({ warns: false });
    expect(unregisterAllocator(w.core, 'b')).toEqual({ warns: true });
    expect(idOf(unregisterAllocator(w.core, 'b'))).toBe('choice-ioasid-allocator-unknown');
    expect(alloc(w, set)).toBe(1);
  });
  test('the virtual command interface asks the hypervisor, within what the IOMMU can do', () => {
    const w = world();
    registerAllocator(w.core, { name: 'v', functions: 'vcmd', kind: 'vcmd', min: 32, max: 33 });
    const set = mmSet(w);
    expect(idOf(allocIoasid(w, set, 1, 33))).toBe('vcmd-range');
    expect([alloc(w, set, 32, 33), alloc(w, set, 32, 33)]).toEqual([32, 33]);
    expect(idOf(allocIoasid(w, set, 32, 33))).toBe('vcmd-no-pasid');
    freeIoasid(w, set, 32);
    expect(w.core.hypervisors['vcmd']).toEqual([33]);
    expect(alloc(w, set, 32, 33)).toBe(32);
  });
  test('its registers hold command, status and PASID where the protocol has them', () => {
    const unit = { min: 1, max: 0xfffff, given: [] as number[] };
    expect(encodeCommand('ALLOC')).toBe(0x1);
    expect(encodeCommand('FREE', 0x345)).toBe(0x34502);
    expect(runCommand(unit, 0x1)).toBe(0x100);
    expect(runCommand(unit, encodeCommand('FREE', 2))).toBe(0b010);
    expect(decodeResponse(0xabcde00 | 0b101)).toEqual({ isInProgress: true, status: 2, pasid: 0xabcde });
  });
});

describe('PASIDs of processes', () => {
  test('one per process, counted; refused outside the range that the device can use', () => {
    const w = world();
    const set = allocSet(w.core, 0, 5, NULL_SET) as number;
    expect(bindMm(w, set, 8, 1, 100)).toBe(1);
    expect(bindMm(w, set, 8, 1, 100)).toBe(1);
    expect(bindMm(w, set, 9, 1, 100)).toBe(2);
    expect(bindMm(w, set, 8, 2, 100)).toMatchObject({ id: 'sva-pasid-outside-range', errno: 75 });
    expect([findMm(w, hostPasid(2)), findMm(w, hostPasid(3))]).toEqual([9, null]);
    expect([unbindMm(w, 8), unbindMm(w, 8), idOf(unbindMm(w, 8))]).toEqual([
      false,
      true,
      'choice-sva-pasid-unbound',
    ]);
  });
  test.each([
    [0, 10, 'sva-pasid-range', 22],
    [5, 4, 'sva-pasid-range', 22],
    [1, 1, 'sva-pasid-none-free', 12],
  ])('refuses the range %i to %i', (min, max, id, errno) => {
    const w = world();
    const set = allocSet(w.core, 0, 5, NULL_SET) as number;
    alloc(w, set);
    expect(bindMm(w, set, 8, min, max)).toMatchObject({ id, errno });
  });
});

describe('reuse', () => {
  test('a number that was used and not flushed is remembered until it is', () => {
    const w = world();
    const set = mmSet(w);
    alloc(w, set);
    const id = alloc(w, set);
    attachData(w, id, { owner: 'vt-d', devices: ['a'] });
    freeIoasid(w, set, id);
    expect(w.core.spaces[SYSTEM]!.stale).toEqual({ [id]: set });
    flushNumber(w, id);
    expect(w.core.spaces[SYSTEM]!.stale).toEqual({});
  });
});

describe('the scope of a number', () => {
  const pf = { functionName: 'pf', isMediated: false, isShared: false };
  test.each([
    ['vtd', pf, { owner: 'guest-told', space: 'function pf' }],
    ['vtd', { ...pf, isShared: true }, { owner: 'guest-told', space: 'function pf' }],
    ['vtd', { ...pf, isMediated: true }, { owner: 'host', space: 'function pf' }],
    ['vtd', { ...pf, isMediated: true, isShared: true }, { owner: 'host', space: SYSTEM }],
    ['smmuv3', pf, { owner: 'guest-table', space: 'function pf' }],
    ['smmuv3', { ...pf, isMediated: true }, { owner: 'none' }],
    ['amd', pf, { owner: 'guest-table', space: 'function pf' }],
    ['power', pf, { owner: 'none' }],
  ] as const)('on %s of %o is %o', (platform, user, scope) => {
    expect(SCOPE_POLICIES[platform].scopeOf(user)).toEqual(scope);
  });
  test('the nature of the number is told with it', () => {
    expect(Object.values(SCOPE_POLICIES).map(({ hwId }) => hwId)).toEqual([
      'pasid',
      'substream-id',
      'pasid',
      null,
    ]);
  });
});
