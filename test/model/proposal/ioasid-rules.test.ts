import { describe, expect, test } from 'vitest';
import {
  allocIoasid,
  allocSet,
  attachData,
  attachSpid,
  bindMm,
  type CoreCall,
  cancelCapacity,
  createCgroup,
  createIoasidCore,
  decodeResponse,
  detachSpid,
  encodeCommand,
  findBySpid,
  findData,
  findMm,
  findSetOf,
  flushNumber,
  freeAllInSet,
  freeIoasid,
  freeSet,
  getIfOwned,
  getIoasid,
  guestPasid,
  hostPasid,
  INVALID_IOASID,
  IOASID_STATE,
  installCapacity,
  isRefused,
  moveProcess,
  type Notification,
  putIoasid,
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

/** The rules of the IOASID series V4, one row of the reference's table 5.3 and more: one sentence each. */

const MM = 7;
const NULL_SET = 1;
const MM_SET = 2;
const MAX = 0xfffff;

interface World extends CoreCall {
  readonly told: Notification[];
  as(mm: number): CoreCall;
}

function world(): World {
  const core = createIoasidCore();
  const told: Notification[] = [];
  const tell = (notification: Notification): void => {
    told.push(notification);
  };
  return { core, mm: MM, tell, told, as: (mm) => ({ core, mm, tell }) };
}

/** The id of a refusal, or the value itself. */
const idOf = (answer: unknown): unknown => (isRefused(answer) ? answer.id : answer);

function mmSet(call: CoreCall, quota = 10): number {
  return allocSet(call.core, MM, quota, MM_SET) as number;
}

const alloc = (call: CoreCall, set: number, min = 1, max = MAX): number =>
  allocIoasid(call, set, min, max) as number;

const stateOf = ({ core }: CoreCall, id: number): string | undefined => {
  const ioasid = core.spaces[SYSTEM]?.ids[id];
  return ioasid && (IOASID_STATE as Record<number, string>)[ioasid.lifecycle];
};

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
  test('of a number in use waits for its users, tells FREE once to CPU, IOMMU and device in this order', () => {
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
