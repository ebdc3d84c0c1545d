import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { freeSet, IOASID_STATE } from '../../../src/model/ioasid/index.ts';
import {
  ALLOCATORS,
  CAPACITY,
  CGROUP_MAX,
  createOracle,
  endAll,
  type Oracle,
  STEPS,
} from '../../support/ioasid-oracle.ts';

/**
 * Random use of the PASID core over sets of processes and of others, scopes of the system and of functions,
 * and every kind of allocator: what must hold whatever is asked.
 */

const pick = fc.nat({ max: 30 });
const often = fc.constantFrom<keyof typeof STEPS>(
  'get',
  'put',
  'free',
  'bind',
  'unbind',
  'svaBind',
  'svaUnbind',
);
const seldom = fc.constantFrom<keyof typeof STEPS>('set', 'freeSet', 'freeAll', 'flush', 'swapAllocator');
const what = fc.oneof(
  { weight: 4, arbitrary: fc.constant<keyof typeof STEPS>('alloc') },
  { weight: 8, arbitrary: often },
  { weight: 1, arbitrary: seldom },
);
const steps = fc.array(fc.tuple(what, pick, pick), { minLength: 20, maxLength: 120 });

describe('the PASID core', () => {
  test.each(ALLOCATORS)('keeps its promises under random calls, with the allocator %s', (allocator) => {
    fc.assert(
      fc.property(steps, (all) => {
        const oracle = createOracle(allocator);
        for (const [step, a, b] of all) {
          oracle.told.length = 0;
          oracle.expected = [];
          STEPS[step](oracle, a, b);
          // Once, and in order: CPU, IOMMU, device.
          expect(oracle.told.map(({ event, subscriber }) => `${event} ${subscriber}`)).toEqual(
            oracle.expected,
          );
          checkBalance(oracle);
        }
        checkEnd(oracle);
      }),
      { numRuns: 120 },
    );
  });
});

function checkEnd(oracle: Oracle): void {
  const { core } = oracle;
  endAll(oracle);
  // Every FREE_PENDING ends: with the last user nothing is left, whatever came before.
  expect(Object.values(core.spaces).flatMap(({ ids }) => Object.keys(ids))).toEqual([]);
  expect(core.bound).toEqual({});
  for (const set of Object.keys(core.sets)) freeSet(core, Number(set));
  expect(core.available).toBe(CAPACITY - CGROUP_MAX);
  expect(core.cgroups['group']).toMatchObject({ current: 0 });
  expect(Object.values(core.hypervisors).flat()).toEqual([]);
}

function checkBalance({ core, holders, allocator }: Oracle): void {
  const live = Object.values(core.spaces).flatMap(({ ids }) => Object.values(ids));
  expect(live.map(({ scope, id }) => `${scope}#${id}`).sort()).toEqual([...holders.keys()].sort());
  for (const { scope, id, refs, lifecycle, set, boundTo } of live) {
    const holder = holders.get(`${scope}#${id}`)!;
    expect([refs, boundTo, set]).toEqual([holder.refs, holder.mm, holder.set]);
    const state = holder.isFreed ? 'FREE_PENDING' : refs > 1 ? 'ACTIVE' : 'IDLE';
    expect((IOASID_STATE as Record<number, string>)[lifecycle]).toBe(state);
  }
  // Quotas: what sets and the cgroup have reserved and what is left make the capacity.
  let reserved = core.available + CGROUP_MAX;
  for (const { id, quota, count } of Object.values(core.sets)) {
    reserved += quota;
    expect(count).toBe(live.filter(({ set }) => set === id).length);
    expect(count).toBeLessThanOrEqual(quota);
  }
  expect(reserved).toBe(CAPACITY);
  const { current, max } = core.cgroups['group']!;
  expect(current).toBe(live.filter(({ charged }) => charged === 'group').length);
  expect(current).toBeLessThanOrEqual(max);
  // No guest number stands for two host numbers of one set, and no process has two.
  const unique = (all: readonly unknown[]): void => expect(new Set(all).size).toBe(all.length);
  unique(live.filter(({ spid }) => spid !== null).map(({ set, spid }) => `${set}#${spid}`));
  unique(live.filter(({ boundTo }) => boundTo !== 0).map(({ boundTo }) => boundTo));
  expect(Object.keys(core.bound).length).toBe(live.filter(({ boundTo }) => boundTo !== 0).length);
  // What the hypervisor has given out is what came from it.
  if (allocator === 'vcmd')
    expect(core.hypervisors['vcmd']?.length ?? 0).toBe(
      live.filter((each) => each.allocator === 'vcmd').length,
    );
}
