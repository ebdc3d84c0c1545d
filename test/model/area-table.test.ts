import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { offsetOf, pageOf, toBigInt } from '../../src/model/address.ts';
import {
  type AreaTable,
  allocateSlot,
  createAreaTable,
  firstArea,
  firstAreaIn,
  freeSlot,
  linkArea,
  NONE,
  nextArea,
  skipNarrowHoles,
  someArea,
  unlinkArea,
} from '../../src/model/area-table.ts';
import { lower, rangeOf, type Span, span, U64_LAST, u64 } from '../support/wide.ts';

/** The areas in IOVA order, as a plain sorted array. */
interface Reference {
  readonly areas: (Span & { readonly slot: number })[];
}

/** A table and its naive reference, changed together. */
interface Pair extends Reference {
  readonly table: AreaTable;
}

function createPair(): Pair {
  return { table: createAreaTable(), areas: [] };
}

function overlapping({ areas }: Reference, { first, last }: Span): (Span & { readonly slot: number })[] {
  return areas.filter((area) => area.first <= last && first <= area.last);
}

/** Puts an area in, unless it overlaps one. */
function insert(pair: Pair, area: Span): void {
  if (pair.areas.some(({ first, last }) => first <= area.last && area.first <= last)) return;
  const { table, areas } = pair;
  const slot = allocateSlot(table);
  const { startPage, startOffset, lastPage, lastOffset } = rangeOf(area);
  table.startPage[slot] = startPage;
  table.startOffset[slot] = startOffset;
  table.lastPage[slot] = lastPage;
  table.lastOffset[slot] = lastOffset;
  linkArea(table, slot);
  const at = areas.findIndex(({ first }) => first > area.first);
  areas.splice(at < 0 ? areas.length : at, 0, { ...area, slot });
}

function remove({ table, areas }: Pair, index: number): void {
  const [area] = areas.splice(index % areas.length, 1);
  unlinkArea(table, area!.slot);
  freeSlot(table, area!.slot);
}

function find(table: AreaTable, { first, last }: Span): number {
  return firstAreaIn(table, pageOf(first), offsetOf(first), pageOf(last), offsetOf(last));
}

function slotsOf(table: AreaTable): number[] {
  const slots: number[] = [];
  someArea(table, (slot) => {
    slots.push(slot);
    return false;
  });
  return slots;
}

function expectSameOrder({ table, areas }: Pair): void {
  const slots = areas.map(({ slot }) => slot);
  expect(table.count).toBe(areas.length);
  expect(slotsOf(table)).toEqual(slots);
  expect(firstArea(table)).toBe(slots[0] ?? NONE);
  expect(slots.map((slot) => nextArea(table, slot))).toEqual([
    ...slots.slice(1),
    ...slots.slice(-1).fill(NONE),
  ]);
  const spans = areas.map(({ slot }) => ({
    first: toBigInt(table.startPage[slot]!, table.startOffset[slot]!),
    last: toBigInt(table.lastPage[slot]!, table.lastOffset[slot]!),
    slot,
  }));
  expect(spans).toEqual(areas);
}

/** Pages that the hole between two areas touches; infinite behind the last area. */
function holePages(areas: readonly Span[], index: number): number {
  const next = areas[index + 1];
  if (next === undefined) return Number.POSITIVE_INFINITY;
  const { last } = areas[index]!;
  if (next.first === last + 1n) return 0;
  return Number((next.first - 1n) / 4096n - (last + 1n) / 4096n) + 1;
}

/** No hole that touches so many pages may lie between the area asked for and the one answered. */
function expectNothingSkipped({ table, areas }: Pair, from: number, pages: number): void {
  const answered = areas.findIndex(({ slot }) => slot === skipNarrowHoles(table, areas[from]!.slot, pages));
  expect(answered).toBeGreaterThanOrEqual(from);
  for (let index = from; index < answered; index += 1) expect(holePages(areas, index)).toBeLessThan(pages);
}

type Step =
  | { readonly does: 'insert'; readonly area: Span }
  | { readonly does: 'remove'; readonly index: number }
  | { readonly does: 'find'; readonly range: Span };

const index = fc.nat({ max: 100_000 });
/** Areas that begin and end within pages, close together. */
const subPageArea = fc
  .tuple(fc.bigInt({ min: 0n, max: 400_000n }), fc.bigInt({ min: 0n, max: 6_000n }))
  .map(([first, length]) => ({ first, last: first + length }));
const anyArea = fc.tuple(u64, fc.bigInt({ min: 0n, max: 20_000n })).map(([first, length]) => ({
  first,
  last: lower(first + length, U64_LAST),
}));

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: subPageArea.map((area): Step => ({ does: 'insert', area })) },
  { weight: 2, arbitrary: anyArea.map((area): Step => ({ does: 'insert', area })) },
  { weight: 3, arbitrary: index.map((at): Step => ({ does: 'remove', index: at })) },
  { weight: 4, arbitrary: fc.oneof(subPageArea, span).map((range): Step => ({ does: 'find', range })) },
);

function apply(pair: Pair, taken: Step): void {
  switch (taken.does) {
    case 'insert':
      insert(pair, taken.area);
      break;
    case 'remove':
      if (pair.areas.length > 0) remove(pair, taken.index);
      break;
    case 'find':
      expect(find(pair.table, taken.range)).toBe(overlapping(pair, taken.range)[0]?.slot ?? NONE);
  }
}

/** Many small areas in an order that a small number chooses: many chunks of the table. */
const COUNT = 2_003;
const spread = (at: number, stride: number): Span => {
  const first = BigInt((at * stride) % COUNT) * 8192n + BigInt(at % 4096);
  return { first, last: first + BigInt((at * 7) % 3000) };
};

describe('the table of areas', () => {
  test('agrees with a sorted array over random inserts, removes and queries', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const pair = createPair();
        for (const taken of steps) apply(pair, taken);
        expectSameOrder(pair);
      }),
      { numRuns: 500 },
    );
  });

  test('ends a walk at the area that the visitor asks for, and says so', () => {
    fc.assert(
      fc.property(fc.array(subPageArea, { minLength: 1, maxLength: 40 }), index, (list, at) => {
        const pair = createPair();
        for (const area of list) insert(pair, area);
        const wanted = pair.areas[at % pair.areas.length]!.slot;
        const seen: number[] = [];
        const found = someArea(pair.table, (slot) => seen.push(slot) > 0 && slot === wanted);
        expect(found).toBe(true);
        expect(seen).toEqual(pair.areas.map(({ slot }) => slot).slice(0, (at % pair.areas.length) + 1));
      }),
      { numRuns: 200 },
    );
  });

  test.each([1, COUNT - 1, 1_117])(
    'keeps thousands of areas in order however they come and go (stride %d)',
    (stride) => {
      const pair = createPair();
      for (let at = 0; at < COUNT; at += 1) insert(pair, spread(at, stride));
      expect(pair.table.chunks.length).toBeGreaterThan(7);
      expectSameOrder(pair);
      for (let at = 0; at < COUNT - 20; at += 1) {
        remove(pair, at * 613);
        if (at % 1_000 === 0) expectSameOrder(pair);
      }
      expectSameOrder(pair);
      for (let at = 0; at < COUNT; at += 1) insert(pair, spread(at, stride + 2));
      expectSameOrder(pair);
    },
  );

  test('agrees with a sorted array on queries among thousands of areas', () => {
    const pair = createPair();
    for (let at = 0; at < COUNT; at += 1) insert(pair, spread(at, 1_117));
    const near = fc
      .tuple(fc.bigInt({ min: 0n, max: 8192n * BigInt(COUNT) }), fc.bigInt({ min: 0n, max: 20_000n }))
      .map(([first, length]) => ({ first, last: first + length }));
    fc.assert(
      fc.property(near, (range) => {
        expect(find(pair.table, range)).toBe(overlapping(pair, range)[0]?.slot ?? NONE);
      }),
      { numRuns: 500 },
    );
  });

  test('reuses slots, so that mapping and unmapping does not grow it', () => {
    const pair = createPair();
    for (let at = 0; at < 5_000; at += 1) {
      insert(pair, { first: BigInt(at) * 4096n, last: BigInt(at) * 4096n + 4095n });
      if (at >= 10) remove(pair, 0);
    }
    expect(pair.table.slotCount).toBeLessThanOrEqual(11);
    expectSameOrder(pair);
  });

  test('never skips a hole that is wide enough, whatever was mapped and unmapped before', () => {
    const pair = createPair();
    for (let at = 0; at < COUNT; at += 1) insert(pair, spread(at, 1_117));
    const changes = fc.array(step, { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(changes, index, fc.integer({ min: 0, max: 12 }), (steps, from, pages) => {
        for (const taken of steps) apply(pair, taken);
        expectNothingSkipped(pair, from % pair.areas.length, pages);
      }),
      { numRuns: 300, endOnFailure: true },
    );
  });

  test('sees a hole that opens in front of a chunk, although it looked at the chunk before already', () => {
    const pair = createPair();
    for (let at = 0; at < COUNT; at += 1)
      insert(pair, { first: BigInt(at) * 4096n, last: BigInt(at) * 4096n + 4095n });
    const first = firstArea(pair.table);
    expect(skipNarrowHoles(pair.table, first, 2)).toBe(pair.table.chunks.at(-1)!.slot[0]);
    for (let chunk = pair.table.chunks.length - 1; chunk > 0; chunk -= 1) {
      for (let removed = 0; removed < 2; removed += 1) {
        const slot = pair.table.chunks[chunk]!.slot[0]!;
        remove(
          pair,
          pair.areas.findIndex((area) => area.slot === slot),
        );
      }
      expectNothingSkipped(pair, 0, 2);
      expect(skipNarrowHoles(pair.table, first, 2)).toBe(pair.table.chunks[chunk - 1]!.slot[0]);
    }
  });
});
