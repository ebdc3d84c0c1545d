import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AccessAnswer, Entry } from '../../../../replay/index.ts';
import { MEMORY, startWorld, type World } from './world.ts';

/** IOTLBs over random maps, unmaps, attachments and accesses: what must hold whatever is done. */

type Action =
  | { readonly do: 'map'; readonly place: number; readonly pages: number; readonly memory: number }
  | { readonly do: 'unmap'; readonly place: number; readonly pages: number }
  | { readonly do: 'unmapAll' }
  | { readonly do: 'attach'; readonly hwpt: number }
  | { readonly do: 'detach' | 'allocate' }
  | { readonly do: 'destroy'; readonly hwpt: number }
  | { readonly do: 'access'; readonly place: number; readonly write: boolean; readonly ats: boolean };

/** Places are few, so that maps, unmaps and accesses meet. */
const place = fc.nat({ max: 11 });
const pages = fc.oneof(fc.integer({ min: 1, max: 8 }), fc.constant(512));
const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('map' as const), place, pages, memory: place }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('unmap' as const), place, pages }) },
  { weight: 1, arbitrary: fc.constant({ do: 'unmapAll' as const }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('attach' as const), hwpt: fc.nat({ max: 3 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('detach' as const, 'allocate' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('destroy' as const), hwpt: fc.nat({ max: 3 }) }) },
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constant('access' as const),
      place,
      write: fc.boolean(),
      ats: fc.boolean(),
    }),
  },
);
const actions = fc.array(action, { minLength: 5, maxLength: 60 });

const IOVA = 0x4000_0000;

/** Does one thing; what an access met in each IOTLB. */
function act(world: World, hwpts: number[], device: number, step: Action): readonly AccessAnswer[] {
  switch (step.do) {
    case 'map':
      world.map(IOVA + step.place * 4096, MEMORY + step.memory * 4096, step.pages);
      return [];
    case 'unmap':
      world.unmap(IOVA + step.place * 4096, step.pages);
      return [];
    case 'unmapAll':
      for (let at = 0; at < 48; at += 1) world.unmap(IOVA + at * 4096, 1);
      return [];
    case 'attach':
      world.attach(hwpts[step.hwpt] ?? world.ioas);
      return [];
    case 'detach':
      world.detach();
      return [];
    case 'allocate': {
      const id = world.allocate(world.ioas);
      if (id > 0) hwpts.push(id);
      return [];
    }
    case 'destroy': {
      const id = hwpts[step.hwpt];
      if (id !== undefined && world.destroy(id)) hwpts.splice(step.hwpt, 1);
      return [];
    }
    case 'access': {
      const page = IOVA / 4096 + step.place;
      const request = { device, pasid: 0, page, access: step.write ? ('w' as const) : ('r' as const) };
      return world.iotlbs.map((iotlb) => iotlb.access({ ...request, translates: step.ats }));
    }
  }
}

const MACHINES = [
  ['vtd', '6.12', 0],
  ['vtd', '7.3', 2],
  ['amd', '6.12', 2],
  ['amd', '7.3', 0],
  ['smmuv3', '7.3', 0],
  ['smmuv3', '6.12', 2],
] as const;

const isSame = (one: Entry, other: Entry): boolean =>
  one.firstPage === other.firstPage &&
  one.lastPage === other.lastPage &&
  one.prot === other.prot &&
  one.to?.memory === other.to?.memory;

describe.each(MACHINES)('an IOTLB of %s on Linux %s, device %i', (hardware, release, device) => {
  it('is never left with a stale entry by the kernel', () => {
    let hits = 0;
    const run = (list: readonly Action[]): void => {
      const world = startWorld(hardware, release, [{}], device);
      const hwpts: number[] = [];
      world.attach(world.ioas);
      world.map(IOVA, MEMORY, 8);
      for (const step of list) {
        const [answer] = act(world, hwpts, device, step);
        if (answer?.outcome === 'hit') hits += 1;
        expect(world.iotlbs[0]!.stale()).toEqual([]);
        expect(world.iotlbs[0]!.slots().filter(({ stale }) => stale !== null)).toEqual([]);
      }
    };
    fc.assert(fc.property(actions, run), { numRuns: 60 });
    // Without hits nothing was held, and the property would say nothing.
    expect(hits).toBeGreaterThan(20);
  });

  it('with bounds answers nothing that one without bounds would not', () => {
    let evicted = 0;
    const run = (list: readonly Action[], sets: number, ways: number): void => {
      const world = startWorld(hardware, release, [{}, { geometry: { sets, ways } }], device);
      const hwpts: number[] = [];
      world.attach(world.ioas);
      world.map(IOVA, MEMORY, 8);
      for (const step of list) {
        const [all, few] = act(world, hwpts, device, step);
        if (all === undefined || few === undefined) continue;
        for (const entry of few.held) expect(all.held.some((each) => isSame(each, entry))).toBe(true);
        if (all.outcome === 'hit' && few.outcome === 'miss') evicted += 1;
        if (few.outcome === 'hit') expect(all.outcome).toBe('hit');
        if (few.outcome === 'fault') expect(all.outcome).toBe('fault');
      }
    };
    const size = fc.integer({ min: 1, max: 3 });
    fc.assert(fc.property(actions, size, size, run), { numRuns: 60 });
    expect(evicted).toBeGreaterThan(0);
  });
});

/** Guest's pages of tables, first page of its data, and the IOVA that its table translates from. */
const GUEST = { levels: 4, tables: 0x100, data: 0x200, iova: 0x1_2345_6000 } as const;
const PRESENT = 0x7n;
/** `struct iommu_hwpt_vtd_s1_invalidate` for pages, leaves only. */
function rangeEntry(iova: number, count: number): Uint8Array {
  const bytes = new Uint8Array(24);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(iova), true);
  view.setBigUint64(8, BigInt(count), true);
  view.setUint32(16, 1, true);
  return bytes;
}

interface Guest {
  readonly world: World;
  readonly nested: number;
  /** Makes the guest translate its page `index` to its data page `to`, or to nothing. */
  set(index: number, to: number | null): void;
}

/** A guest with a first-stage table of its own over a nest parent, of which notes tell every word. */
function startGuest(): Guest {
  const world = startWorld('vtd', '7.3', [{}], 0);
  // Guest physical addresses are those of the second stage, from 0 on.
  world.map(0, MEMORY, 0x400);
  const parent = world.allocate(world.ioas, 1);
  const page = (bytes: number): number => MEMORY + bytes;
  const word = (value: bigint): Uint8Array => new Uint8Array(new BigUint64Array([value]).buffer);
  const tableAt = (depth: number): number => (GUEST.tables + depth) * 4096;
  for (let depth = 0; depth < GUEST.levels; depth += 1) {
    world.write(page(tableAt(depth)), new Uint8Array(4096));
    const shift = 12 + 9 * (GUEST.levels - 1 - depth);
    const index = Math.floor(GUEST.iova / 2 ** shift) % 512;
    if (depth + 1 < GUEST.levels)
      world.write(page(tableAt(depth) + index * 8), word(BigInt(tableAt(depth + 1)) | PRESENT));
  }
  const config = new Uint8Array(24);
  const view = new DataView(config.buffer);
  view.setBigUint64(8, BigInt(tableAt(0)), true);
  view.setUint32(16, 48, true);
  const nested = world.allocate(parent, 0, config);
  return {
    world,
    nested,
    set(index, to) {
      const at = tableAt(GUEST.levels - 1) + ((Math.floor(GUEST.iova / 4096) % 512) + index) * 8;
      world.write(page(at), word(to === null ? 0n : BigInt((GUEST.data + to) * 4096) | PRESENT));
    },
  };
}

describe('a nested IOTLB', () => {
  const index = fc.nat({ max: 7 });
  const change = fc.record({ index, to: fc.option(fc.nat({ max: 15 })), access: fc.boolean() });
  const changes = fc.array(change, { minLength: 1, maxLength: 30 });
  const invalidation = fc.record({ from: index, count: fc.integer({ min: 1, max: 8 }) });

  it('keeps what the guest took away until user space invalidates it, and not longer', () => {
    let left = 0;
    const run = (
      list: readonly { index: number; to: number | null; access: boolean }[],
      range: { from: number; count: number },
    ): void => {
      const { world, nested, set } = startGuest();
      const [iotlb] = world.iotlbs;
      expect(nested).toBeGreaterThan(0);
      expect(world.attach(nested)).toBe(true);
      /** What the guest's table has, and what was last seen through the IOTLB. */
      const table = new Map<number, number | null>();
      const seen = new Map<number, Set<number>>();
      const first = GUEST.iova / 4096;
      for (const step of list) {
        set(step.index, step.to);
        table.set(step.index, step.to);
        if (!step.access) continue;
        const answer = iotlb!.access({ device: 0, pasid: 0, page: first + step.index, access: 'r' });
        const known = seen.get(step.index) ?? new Set();
        expect(answer.outcome).toBe(known.size > 0 ? 'hit' : step.to === null ? 'fault' : 'miss');
        if (step.to !== null) seen.set(step.index, known.add(step.to));
      }
      const stalePages = (): number[] => [
        ...new Set(
          iotlb!
            .stale()
            .filter(({ cache }) => cache === 'iotlb')
            .map(({ firstPage }) => firstPage - first),
        ),
      ];
      const expected = [...seen].flatMap(([at, pages]) =>
        [...pages].some((page) => page !== table.get(at)) ? [at] : [],
      );
      expect(stalePages().sort()).toEqual(expected.sort());
      left += expected.length;
      for (const { stale } of iotlb!.stale()) expect(stale!.needed.who).toBe('user');
      world.invalidate(nested, rangeEntry(GUEST.iova + range.from * 4096, range.count), 1);
      // The hardware forgets the smallest aligned power of two that holds the range, and no more.
      let size = 1;
      const low = (first % 512) + range.from;
      while (Math.floor(low / size) !== Math.floor((low + range.count - 1) / size)) size *= 2;
      const start = low - (low % size) - (first % 512);
      expect(stalePages().sort()).toEqual(expected.filter((at) => at < start || at >= start + size).sort());
      world.invalidate(nested, rangeEntry(GUEST.iova - 4096 * 8, 32), 1);
      expect(iotlb!.stale()).toEqual([]);
    };
    fc.assert(fc.property(changes, invalidation, run), { numRuns: 60 });
    expect(left).toBeGreaterThan(10);
  });

  it('is cleared by the kernel when what lies below the guest goes', () => {
    const { world, nested, set } = startGuest();
    const [iotlb] = world.iotlbs;
    world.attach(nested);
    set(0, 3);
    const request = { device: 0, pasid: 0, page: GUEST.iova / 4096, access: 'r' } as const;
    expect(iotlb!.access(request).outcome).toBe('miss');
    expect(iotlb!.access(request).outcome).toBe('hit');
    expect(world.unmap(0, 0x400)).toBe(true);
    expect(iotlb!.stale()).toEqual([]);
    expect(iotlb!.access(request)).toMatchObject({ outcome: 'fault', held: [] });
  });
});
