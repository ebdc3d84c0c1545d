import { expect } from 'vitest';
import {
  allocIoasid,
  allocSet,
  attachSpid,
  bindMm,
  type CoreCall,
  createCgroup,
  createIoasidCore,
  detachSpid,
  flushNumber,
  freeAllInSet,
  freeIoasid,
  freeSet,
  getIoasid,
  guestPasid,
  type IoasidCore,
  isRefused,
  moveProcess,
  type Notification,
  putIoasid,
  registerAllocator,
  registerNotifier,
  registerNotifierMm,
  SYSTEM,
  setCgroupMax,
  unbindMm,
  unregisterAllocator,
} from '../../src/model/ioasid/index.ts';

/** What a test thinks of a PASID core that it drives: who holds which number, and what must be told. */

export const CAPACITY = 48;
/** Of the capacity, what the cgroup of one process has reserved. */
export const CGROUP_MAX = 3;
const CGROUP_MM = 2;
const SCOPES = [SYSTEM, 'function a', 'function b'];
const SPIDS = 6;
/** Processes that have sets, or are bound. */
const PROCESSES = 3;
const [TYPE_NULL, TYPE_MM] = [1, 2];
const LAST = 12;

export const ALLOCATORS = ['default', 'custom', 'vcmd'] as const;

export interface Holder {
  readonly scope: string;
  readonly id: number;
  readonly set: number;
  /** The owner's, until it frees, and each user's. */
  refs: number;
  /** References that a put may give back: those of users. */
  users: number;
  isFreed: boolean;
  spid: number | null;
  /** Process that it is bound to, and how often. */
  mm: number;
  bonds: number;
}

export interface Oracle {
  readonly core: IoasidCore;
  readonly allocator: (typeof ALLOCATORS)[number];
  readonly holders: Map<string, Holder>;
  readonly told: Notification[];
  /** What the step that runs must tell, in its order. */
  expected: string[];
  as(mm: number): CoreCall;
}

export function createOracle(allocator: Oracle['allocator']): Oracle {
  const core = { ...createIoasidCore(), capacity: CAPACITY, available: CAPACITY };
  const told: Notification[] = [];
  const tell = (notification: Notification): void => void told.push(notification);
  const as = (mm: number): CoreCall => ({ core, mm, tell });
  const oracle: Oracle = { core, allocator, holders: new Map(), told, expected: [], as };
  if (allocator !== 'default') registerNext(oracle, 0);
  registerNotifier(core, { name: 'iommu', priority: 'iommu', set: 0 });
  createCgroup(core, 'group');
  setCgroupMax(core, 'group', CGROUP_MAX);
  moveProcess(core, CGROUP_MM, 'group');
  for (const process of [0, 0, 1, 2]) STEPS.set(oracle, process, 4);
  return oracle;
}

/** Allocators with the same functions share one space of numbers, so that one may take another's place. */
function registerNext({ core, allocator }: Oracle, nth: number): void {
  const kind = allocator === 'vcmd' ? 'vcmd' : 'custom';
  registerAllocator(core, { name: `${allocator} ${nth}`, functions: allocator, kind, min: 2, max: LAST });
}

const keyOf = (scope: string, id: number): string => `${scope}#${id}`;
const setAt = ({ core }: Oracle, a: number): number => {
  const sets = Object.keys(core.sets).map(Number);
  return sets[a % Math.max(1, sets.length)] ?? 0;
};
const holderAt = ({ holders }: Oracle, a: number, b: number): Holder | undefined =>
  [...holders.values()][(a * 31 + b) % Math.max(1, holders.size)];
/** Lowest number that may be asked for. */
const firstOf = ({ allocator }: Oracle): number => (allocator === 'vcmd' ? 2 : 1);

function take(oracle: Oracle, set: number, scope: string, id: number, mm = 0): void {
  const { core, holders } = oracle;
  // One holder in one scope.
  expect(holders.has(keyOf(scope, id))).toBe(false);
  expect(id).toBeGreaterThan(0);
  expect(core.sets[set]!.count).toBeLessThanOrEqual(core.sets[set]!.quota);
  const rest = { refs: 1, users: 0, isFreed: false, spid: null, mm, bonds: mm === 0 ? 0 : 1 };
  holders.set(keyOf(scope, id), { scope, id, set, ...rest });
  oracle.expected.push(`ALLOC cpu ${set}`, `ALLOC device ${set}`);
}

/** A reference goes; answers whether it was the last. */
function drop({ holders }: Oracle, holder: Holder): boolean {
  holder.refs -= 1;
  if (holder.refs === 0) holders.delete(keyOf(holder.scope, holder.id));
  return holder.refs === 0;
}

function freed(oracle: Oracle, holder: Holder): void {
  if (holder.isFreed) return;
  holder.isFreed = true;
  if (!drop(oracle, holder))
    oracle.expected.push(`FREE cpu ${holder.set}`, 'FREE iommu', `FREE device ${holder.set}`);
}

type Step = (oracle: Oracle, a: number, b: number) => void;

/** What can be done, with two numbers that pick to whom. */
export const STEPS = {
  alloc(oracle, a, b) {
    const set = setAt(oracle, a);
    const { type, token, quota, count } = oracle.core.sets[set] ?? {
      type: 'null',
      token: 0,
      quota: 0,
      count: 0,
    };
    const scope = SCOPES[b % SCOPES.length]!;
    const got = allocIoasid(oracle.as(token), set, firstOf(oracle), LAST, null, scope);
    if (type === 'mm') expect(isRefused(allocIoasid(oracle.as(99), set, 1, LAST, null, scope))).toBe(true);
    if (count >= quota) expect(isRefused(got)).toBe(true);
    if (!isRefused(got)) take(oracle, set, scope, got);
  },
  get(oracle, a, b) {
    const holder = holderAt(oracle, a, b);
    if (holder === undefined) return;
    const isTaken = !isRefused(getIoasid(oracle.as(1), holder.set, holder.id, holder.scope));
    expect(isTaken).toBe(!holder.isFreed);
    if (!isTaken) return;
    holder.refs += 1;
    holder.users += 1;
  },
  put(oracle, a, b) {
    const holder = holderAt(oracle, a, b);
    // A user puts what it got; the owner frees instead.
    if (holder === undefined || holder.users === 0) return;
    holder.users -= 1;
    const isReclaimed = putIoasid(oracle.as(1), holder.set, holder.id, holder.scope);
    expect(isReclaimed).toBe(drop(oracle, holder));
  },
  free(oracle, a, b) {
    const holder = holderAt(oracle, a, b);
    if (holder === undefined) return;
    freeIoasid(oracle.as(1), holder.set, holder.id, holder.scope);
    freed(oracle, holder);
  },
  bind(oracle, a, b) {
    const holder = holderAt(oracle, a, b);
    if (holder === undefined) return;
    const spid = b % SPIDS;
    const isFree = [...oracle.holders.values()].every(
      (other) => other.set !== holder.set || other.spid !== spid,
    );
    const answer = attachSpid(oracle.as(1), holder.id, guestPasid(spid), holder.scope);
    expect(answer === null).toBe(isFree || holder.spid === spid);
    if (isFree) oracle.expected.push(`BIND cpu ${holder.set}`, `BIND device ${holder.set}`);
    if (answer === null) holder.spid = spid;
  },
  unbind(oracle, a, b) {
    const holder = holderAt(oracle, a, b);
    if (holder === undefined) return;
    detachSpid(oracle.as(1), holder.id, holder.scope);
    if (holder.spid !== null) oracle.expected.push(`UNBIND cpu ${holder.set}`, `UNBIND device ${holder.set}`);
    holder.spid = null;
  },
  svaBind(oracle, a, b) {
    const mm = 1 + (b % PROCESSES);
    const set = setAt(oracle, a);
    const bound = [...oracle.holders.values()].find((holder) => holder.mm === mm);
    const token = oracle.core.sets[set]?.token ?? 0;
    const got = bindMm(oracle.as(token), set, mm, firstOf(oracle), LAST);
    if (bound === undefined) {
      if (!isRefused(got)) take(oracle, set, SYSTEM, got, mm);
      return;
    }
    // One PASID for each process, whoever asks again.
    expect(got === bound.id).toBe(!bound.isFreed && bound.set === set);
    if (isRefused(got)) return;
    bound.refs += 1;
    bound.bonds += 1;
  },
  svaUnbind(oracle, _, b) {
    const mm = 1 + (b % PROCESSES);
    const bound = [...oracle.holders.values()].find((holder) => holder.mm === mm);
    const answer = unbindMm(oracle.as(mm), mm);
    expect(isRefused(answer)).toBe(bound === undefined);
    if (bound === undefined) return;
    bound.bonds -= 1;
    if (bound.bonds === 0) bound.mm = 0;
    expect(answer).toBe(drop(oracle, bound));
  },
  set(oracle, a, b) {
    const { core } = oracle;
    const mm = a % (PROCESSES + 1);
    const id = core.nextSet;
    const has = Object.values(core.sets).some(({ token }) => mm !== 0 && token === mm);
    // The chain of a process's set is there before the set is.
    if (mm !== 0 && !has) registerNotifierMm(core, mm, `cpu ${id}`, 'cpu');
    const set = allocSet(core, mm, 1 + (b % 12), mm === 0 ? TYPE_NULL : TYPE_MM);
    if (has) expect(isRefused(set)).toBe(true);
    if (isRefused(set)) {
      core.waiting = [];
      return;
    }
    // Registered in the wrong order: told in the right one.
    registerNotifier(core, { name: `device ${id}`, priority: 'device', set });
    if (mm === 0) registerNotifier(core, { name: `cpu ${id}`, priority: 'cpu', set });
  },
  freeSet(oracle, a) {
    const set = setAt(oracle, a);
    const isEmpty = set !== 0 && oracle.core.sets[set]!.count === 0;
    expect(freeSet(oracle.core, set) === null).toBe(isEmpty);
  },
  freeAll(oracle, a) {
    const set = setAt(oracle, a);
    freeAllInSet(oracle.as(1), set);
    // By scope as first used, then by number.
    const order = Object.keys(oracle.core.spaces);
    const mine = [...oracle.holders.values()].filter((holder) => holder.set === set);
    mine.sort((x, y) => order.indexOf(x.scope) - order.indexOf(y.scope) || x.id - y.id);
    for (const holder of mine) freed(oracle, holder);
  },
  flush(oracle, a, b) {
    const holder = holderAt(oracle, a, b);
    if (holder !== undefined) flushNumber(oracle.as(1), holder.id, holder.scope);
  },
  swapAllocator(oracle) {
    const { core, allocator } = oracle;
    if (allocator === 'default') return;
    const { name } = core.allocators[0]!;
    registerNext(oracle, Number(name.split(' ')[1]) + 1);
    // The next has the same functions: it knows the numbers that are out.
    expect(unregisterAllocator(core, name)).toEqual({ warns: false });
  },
} as const satisfies Readonly<Record<string, Step>>;

/** Gives back whatever is still held: bonds, references of users, and those of owners. */
export function endAll(oracle: Oracle): void {
  for (let mm = 1; mm <= PROCESSES; mm += 1) while (unbindMm(oracle.as(mm), mm) === false);
  for (const { scope, id, set, users } of [...oracle.holders.values()]) {
    freeIoasid(oracle.as(1), set, id, scope);
    for (let user = 0; user < users; user += 1) putIoasid(oracle.as(1), set, id, scope);
  }
}
