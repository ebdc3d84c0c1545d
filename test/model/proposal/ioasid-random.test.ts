import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  allocIoasid,
  allocSet,
  attachSpid,
  createIoasidCore,
  detachSpid,
  flushNumber,
  freeAllInSet,
  freeIoasid,
  freeSet,
  getIoasid,
  guestPasid,
  IOASID_STATE,
  isRefused,
  type Notification,
  putIoasid,
  registerAllocator,
  registerNotifier,
  SYSTEM,
} from '../../../src/model/ioasid/index.ts';

/** Random use of the PASID core over sets, scopes and allocators: what must hold whatever is asked. */

const CAPACITY = 40;
const SCOPES = [SYSTEM, 'function a', 'function b'];
const SPIDS = 6;

const small = fc.nat({ max: 30 });
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('alloc' as const), a: small, b: small }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom(
        'get' as const,
        'put' as const,
        'free' as const,
        'bind' as const,
        'unbind' as const,
      ),
      a: small,
      b: small,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constantFrom('set' as const, 'freeSet' as const, 'freeAll' as const, 'flush' as const),
      a: small,
      b: small,
    }),
  },
);
const allocators = fc.constantFrom('default', 'custom', 'vcmd');

interface Holder {
  readonly set: number;
  /** Users beside the owner. */
  users: number;
  isFreed: boolean;
  spid: number | null;
}

describe('the PASID core', () => {
  test('keeps its promises under random calls', () => {
    fc.assert(
      fc.property(allocators, fc.array(step, { minLength: 20, maxLength: 120 }), (allocator, steps) => {
        runAll(allocator, steps);
      }),
      { numRuns: 300, seed: 20210227 },
    );
  });
});

function runAll(
  allocator: string,
  steps: readonly { readonly do: string; readonly a: number; readonly b: number }[],
): void {
  const core = { ...createIoasidCore(), capacity: CAPACITY, available: CAPACITY };
  const told: Notification[] = [];
  const call = { core, mm: 1, tell: (notification: Notification) => void told.push(notification) };
  if (allocator !== 'default') {
    const kind = allocator === 'vcmd' ? 'vcmd' : 'custom';
    registerAllocator(core, { name: allocator, functions: allocator, kind, min: 2, max: 12 });
  }
  /** What the test itself thinks: who holds which number. */
  const holders = new Map<string, Holder>();
  const newSet = (quota: number): void => {
    const set = allocSet(core, 0, quota, 1);
    if (isRefused(set)) return;
    for (const [name, priority] of [
      ['device', 'device'],
      ['cpu', 'cpu'],
    ] as const)
      registerNotifier(core, { name: `${name} ${set}`, priority, set });
  };
  registerNotifier(core, { name: 'iommu', priority: 'iommu', set: 0 });
  newSet(8);
  newSet(12);
  for (const { do: what, a, b } of steps) {
    const sets = Object.keys(core.sets).map(Number);
    const set = sets[a % Math.max(1, sets.length)] ?? 0;
    const scope = SCOPES[b % SCOPES.length]!;
    const keys = [...holders.keys()];
    const key = keys[(a * 31 + b) % Math.max(1, keys.length)];
    const [at = '', text = '0'] = key?.split('#') ?? [];
    const id = Number(text);
    const holder = key === undefined ? undefined : holders.get(key);
    told.length = 0;
    const expected: string[] = [];
    switch (what) {
      case 'alloc': {
        const before = core.sets[set]?.count ?? 0;
        const got = allocIoasid(call, set, allocator === 'vcmd' ? 2 : 1, 12, null, scope);
        if (isRefused(got)) break;
        // One holder in one scope.
        expect(holders.has(`${scope}#${got}`)).toBe(false);
        expect(got).toBeGreaterThan(0);
        expect(before).toBeLessThan(core.sets[set]!.quota);
        holders.set(`${scope}#${got}`, { set, users: 0, isFreed: false, spid: null });
        expected.push(`ALLOC cpu ${set}`, `ALLOC device ${set}`);
        break;
      }
      case 'get': {
        if (holder === undefined) break;
        const isTaken = !isRefused(getIoasid(call, holder.set, id, at));
        expect(isTaken).toBe(!holder.isFreed);
        if (isTaken) holder.users += 1;
        break;
      }
      case 'put': {
        // A user puts what it got; the owner frees instead.
        if (holder === undefined || holder.users === 0) break;
        holder.users -= 1;
        const isReclaimed = putIoasid(call, holder.set, id, at);
        expect(isReclaimed).toBe(holder.isFreed && holder.users === 0);
        if (isReclaimed) holders.delete(key!);
        break;
      }
      case 'free': {
        if (holder === undefined) break;
        freeIoasid(call, holder.set, id, at);
        if (!holder.isFreed && holder.users > 0)
          expected.push(`FREE cpu ${holder.set}`, 'FREE iommu', `FREE device ${holder.set}`);
        holder.isFreed = true;
        if (holder.users === 0) holders.delete(key!);
        break;
      }
      case 'bind': {
        if (holder === undefined) break;
        const spid = b % SPIDS;
        const isFree = [...holders].every(([, other]) => other.set !== holder.set || other.spid !== spid);
        const answer = attachSpid(call, id, guestPasid(spid), at);
        expect(answer === null).toBe(isFree || holder.spid === spid);
        if (isFree) expected.push(`BIND cpu ${holder.set}`, `BIND device ${holder.set}`);
        if (answer === null) holder.spid = spid;
        break;
      }
      case 'unbind': {
        if (holder === undefined) break;
        detachSpid(call, id, at);
        if (holder.spid !== null) expected.push(`UNBIND cpu ${holder.set}`, `UNBIND device ${holder.set}`);
        holder.spid = null;
        break;
      }
      case 'set':
        newSet(b);
        break;
      case 'freeSet':
        expect(freeSet(core, set) === null).toBe(core.sets[set] === undefined && set !== 0);
        break;
      case 'freeAll': {
        freeAllInSet(call, set);
        for (const [name, other] of holders) {
          if (other.set !== set) continue;
          if (!other.isFreed && other.users > 0)
            expected.push(`FREE cpu ${set}`, 'FREE iommu', `FREE device ${set}`);
          other.isFreed = true;
          if (other.users === 0) holders.delete(name);
        }
        break;
      }
      default:
        if (key !== undefined) flushNumber(call, id, at);
    }
    const heard = told.map(({ event, subscriber }) => `${event} ${subscriber}`);
    // A set's blocks die with it; several numbers of one set are told in the order of their scopes.
    expect(what === 'freeAll' ? [...heard].sort() : heard).toEqual(
      what === 'freeAll' ? [...expected].sort() : expected,
    );
    checkBalance(core, holders);
  }
  for (const [key, holder] of [...holders]) {
    const [scope = '', id] = key.split('#');
    freeIoasid(call, holder.set, Number(id), scope);
    for (let user = 0; user < holder.users; user += 1) putIoasid(call, holder.set, Number(id), scope);
  }
  // Every FREE_PENDING ends: with the last user nothing is left, whatever came before.
  expect(Object.values(core.spaces).flatMap(({ ids }) => Object.keys(ids))).toEqual([]);
  for (const set of Object.keys(core.sets)) freeSet(core, Number(set));
  expect(core.available).toBe(CAPACITY);
  expect(Object.values(core.hypervisors).flat()).toEqual([]);
}

function checkBalance(core: ReturnType<typeof createIoasidCore>, holders: ReadonlyMap<string, Holder>): void {
  const live = Object.entries(core.spaces).flatMap(([scope, { ids }]) =>
    Object.values(ids).map((ioasid) => ({ ...ioasid, key: `${scope}#${ioasid.id}` })),
  );
  expect(live.map(({ key }) => key).sort()).toEqual([...holders.keys()].sort());
  for (const { key, refs, lifecycle, set } of live) {
    const { users, isFreed } = holders.get(key)!;
    expect(refs).toBe(users + (isFreed ? 0 : 1));
    const state = isFreed ? 'FREE_PENDING' : users > 0 ? 'ACTIVE' : 'IDLE';
    expect((IOASID_STATE as Record<number, string>)[lifecycle]).toBe(state);
    expect(core.sets[set]).toBeDefined();
  }
  let reserved = core.available;
  for (const { id, quota, count } of Object.values(core.sets)) {
    reserved += quota;
    expect(count).toBe(live.filter(({ set }) => set === id).length);
    expect(count).toBeLessThanOrEqual(quota);
  }
  expect(reserved).toBe(CAPACITY);
  // No guest number stands for two host numbers of one set.
  const spids = live.filter(({ spid }) => spid !== null).map(({ set, spid }) => `${set}#${spid}`);
  expect(new Set(spids).size).toBe(spids.length);
}
