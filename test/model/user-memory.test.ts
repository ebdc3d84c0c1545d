import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { knownBytes, loadBytes, storeBytes } from '../../src/model/user-bytes.ts';
import {
  type Backing,
  createSpace,
  createUserMemory,
  forkSpace,
  isAccessible,
  locatePage,
  type MappedRange,
  setRange,
  type UserMemory,
} from '../../src/model/user-memory.ts';

/** First page that a user may map, first above user space (its topmost is kept empty), the fixed image. */
const LOWEST = 16;
const TOP = 2 ** 35 - 1;
const IMAGE = 0x400;
const FOUR_GIB = 2 ** 20;
const RELOCATABLE = 0x550000000;
const LIBRARIES = 0x7e0000000;

/** What the records tell of one page: what backs it, and where the range begins that it is part of. */
interface PageRecord {
  readonly backing: Backing | null;
  readonly rangeFirst: number;
}

/** The recorded ranges page by page, and the rules of user-memory.ts one page at a time. */
interface Naive {
  readonly pages: Map<number, PageRecord>;
}

function setNaive({ pages }: Naive, { firstPage, lastPage, backing }: MappedRange): void {
  const after = pages.get(lastPage + 1);
  if (after !== undefined && after.rangeFirst <= lastPage) {
    // The new range cuts an old one: what is left of that on the right begins behind the new one.
    for (let page = lastPage + 1; pages.get(page)?.rangeFirst === after.rangeFirst; page += 1) {
      pages.set(page, { backing: pages.get(page)!.backing, rangeFirst: lastPage + 1 });
    }
  }
  for (let page = firstPage; page <= lastPage; page += 1) pages.set(page, { backing, rangeFirst: firstPage });
}

function isNaivelyAccessible({ pages }: Naive, page: number, write: boolean, pin: boolean): boolean {
  if (page < LOWEST || page >= TOP) return false;
  const record = pages.get(page);
  if (record !== undefined) {
    const { backing } = record;
    if (backing === null || (pin && backing.device)) return false;
    return write ? backing.writable : backing.readable;
  }
  if (pages.size === 0) return true;
  if (page < FOUR_GIB) {
    const below = [...pages.keys()].filter((other) => other < page).sort((a, b) => a - b);
    const nearest = below.at(-1);
    return nearest === undefined || pages.get(nearest)!.rangeFirst <= IMAGE;
  }
  return (page >= RELOCATABLE && page < 0x570000000) || page >= LIBRARIES;
}

const near = (around: number): fc.Arbitrary<number> => fc.integer({ min: around - 8, max: around + 24 });
const somewhere = fc.constantFrom(
  LOWEST,
  IMAGE,
  FOUR_GIB,
  RELOCATABLE,
  0x570000000,
  0x600000000,
  LIBRARIES,
  TOP,
);
const stretch = somewhere
  .chain((around) => fc.tuple(near(around), fc.integer({ min: 1, max: 12 })))
  .map(([firstPage, count]) => ({ firstPage: Math.max(0, firstPage), count }));

const backing: fc.Arbitrary<Backing> = fc
  .record({ readable: fc.boolean(), writable: fc.boolean(), device: fc.boolean() })
  .map((access) => ({ ...access, object: 9, objectPage: 0, shared: false, huge: false }));
const range: fc.Arbitrary<MappedRange> = fc
  .tuple(stretch, fc.option(backing, { freq: 3 }))
  .map(([{ firstPage, count }, behind]) => ({ firstPage, lastPage: firstPage + count - 1, backing: behind }));

function memoryWith(ranges: readonly MappedRange[]): { memory: UserMemory; mm: number; naive: Naive } {
  const memory = createUserMemory();
  const mm = createSpace(memory);
  const naive: Naive = { pages: new Map() };
  for (const each of ranges) {
    setRange(memory, mm, each);
    setNaive(naive, each);
  }
  return { memory, mm, naive };
}

/** A page of a file or of anonymous memory, mapped readable and writable. */
function mapped(
  firstPage: number,
  pages: number,
  object: number,
  objectPage: number,
  shared: boolean,
): MappedRange {
  const behind = { object, objectPage, readable: true, writable: true, shared, huge: false, device: false };
  return { firstPage, lastPage: firstPage + pages - 1, backing: behind };
}

describe('whether user memory can be pinned or copied', () => {
  test('is told of a range as it is told of every page of it', () => {
    let yes = 0;
    fc.assert(
      fc.property(
        fc.array(range, { maxLength: 8 }),
        stretch,
        fc.boolean(),
        fc.boolean(),
        (ranges, at, write, pin) => {
          const { memory, mm, naive } = memoryWith(ranges);
          const asked = Array.from({ length: at.count }, (_, index) => at.firstPage + index);
          const expected = asked.every((page) => isNaivelyAccessible(naive, page, write, pin));
          const last = at.firstPage + at.count - 1;
          if (expected) yes += 1;
          expect(isAccessible(memory, mm, at.firstPage, last, write, pin)).toBe(expected);
        },
      ),
      { numRuns: 6_000 },
    );
    expect(yes).toBeGreaterThan(500);
  });

  test('is no for all memory of a process that is gone', () => {
    const { memory, mm } = memoryWith([mapped(0x600000000, 4, 9, 0, false)]);
    expect(isAccessible(memory, mm, 0x600000000, 0x600000003, true, true)).toBe(true);
    memory.spaces[mm]!.alive = false;
    expect(isAccessible(memory, mm, 0x600000000, 0x600000003, false, false)).toBe(false);
  });
});

describe('what user memory holds', () => {
  const OBJECT = 77;
  const VIEWS = [0x600000000, 0x610000000];
  const write = fc.record({
    view: fc.constantFrom(0, 1),
    at: fc.integer({ min: 0, max: 4 * 4096 - 1 }),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 6_000 }),
  });

  test('is seen through every mapping of the same file, and only written bytes are known', () => {
    fc.assert(
      fc.property(fc.array(write, { maxLength: 6 }), write, (writes, read) => {
        const { memory, mm } = memoryWith(VIEWS.map((page) => mapped(page, 6, OBJECT, 0, true)));
        const bytes = new Uint8Array(6 * 4096);
        const known = new Uint8Array(6 * 4096);
        for (const { view, at, bytes: data } of writes) {
          storeBytes(memory, mm, VIEWS[view]! + Math.floor(at / 4096), at % 4096, knownBytes(data));
          bytes.set(data, at);
          known.fill(1, at, at + data.length);
        }
        const { view, at } = read;
        const length = read.bytes.length;
        const loaded = loadBytes(memory, mm, VIEWS[view]! + Math.floor(at / 4096), at % 4096, length);
        const expected = known.slice(at, at + length);
        expect(Buffer.compare(loaded.bytes, bytes.slice(at, at + length))).toBe(0);
        expect(Buffer.compare(loaded.known ?? new Uint8Array(length).fill(1), expected)).toBe(0);
        expect(loaded.known === null).toBe(!expected.includes(0));
      }),
      { numRuns: 300 },
    );
  });

  test('is the same page after a cut, and after a fork when it is shared, not when it is private', () => {
    const { memory, mm } = memoryWith([
      mapped(0x600000000, 8, OBJECT, 2, true),
      mapped(0x610000000, 8, OBJECT + 1, 0, false),
      { firstPage: 0x600000002, lastPage: 0x600000003, backing: null },
    ]);
    expect(locatePage(memory, mm, 0x600000001)).toEqual({ object: OBJECT, page: 3, huge: false });
    expect(locatePage(memory, mm, 0x600000004)).toEqual({ object: OBJECT, page: 6, huge: false });
    expect(locatePage(memory, mm, 0x600000002).object).toBe(memory.spaces[mm]!.anonymous);
    memory.nextObject = 1_000;
    const child = forkSpace(memory, mm);
    expect(locatePage(memory, child, 0x600000004)).toEqual(locatePage(memory, mm, 0x600000004));
    expect(locatePage(memory, child, 0x610000004).object).not.toBe(OBJECT + 1);
  });
});
