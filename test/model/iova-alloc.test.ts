import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { offsetOf, pageOf, toBigInt, wide } from '../../src/model/address.ts';
import { allocateSlot, createAreaTable, linkArea } from '../../src/model/area-table.ts';
import { allocateIova, type PageGeometry } from '../../src/model/iova-alloc.ts';
import { type IovaSpace, mergeRanges } from '../../src/model/iova-space.ts';
import { lower, rangeOf, type Span, span, U64_LAST, u64 } from '../support/wide.ts';

/**
 * The automatic choice of an IOVA against a second one, written from the description of `iopt_alloc_iova`
 * with BigInt and plain lists: whatever is asked of whatever space, both choose alike or refuse alike.
 */

interface Occupied {
  readonly areas: readonly Span[];
  readonly reserved: readonly Span[];
  readonly allowed: readonly Span[];
}

interface Request {
  readonly length: bigint;
  readonly uptr: bigint;
  readonly iovaAlignment: number;
  readonly geometry: PageGeometry;
}

function roundUpToPowerOfTwo(value: bigint): bigint {
  let power = 1n;
  while (power < value) power *= 2n;
  return power;
}

/** Start of a mapping in [first, last], or null when it does not fit: `__alloc_iova_check_range`. */
function placeIn({ first, last }: Span, align: bigint, pageOffset: bigint, length: bigint): bigint | null {
  const aligned = ((first + align - 1n) / align) * align;
  if (aligned > U64_LAST) return null;
  const start = aligned | pageOffset;
  return start >= last || last - start < length - 1n ? null : start;
}

/** Holes between the spans, clipped to [first, last], lowest first. */
function holesIn({ first, last }: Span, used: readonly Span[]): Span[] {
  const holes: Span[] = [];
  let from = first;
  for (const span of [...used].sort((a, b) => (a.first < b.first ? -1 : 1))) {
    if (span.last < from) continue;
    if (span.first > last) break;
    if (span.first > from) holes.push({ first: from, last: span.first - 1n });
    from = span.last + 1n;
  }
  if (from <= last) holes.push({ first: from, last });
  return holes;
}

/** Spans joined where they overlap or touch. */
function joined(spans: readonly Span[]): Span[] {
  const list: Span[] = [];
  for (const span of [...spans].sort((a, b) => (a.first < b.first ? -1 : 1))) {
    const before = list.at(-1);
    if (before === undefined || span.first > before.last + 1n) list.push(span);
    else if (span.last > before.last) list[list.length - 1] = { first: before.first, last: span.last };
  }
  return list;
}

function reference({ areas, reserved, allowed }: Occupied, request: Request): bigint | string {
  const { length, uptr, iovaAlignment, geometry } = request;
  if (length >= U64_LAST / 2n) return 'length-half-of-space';
  let align = lower(roundUpToPowerOfTwo(length), BigInt(geometry.hugeBytes));
  if (uptr !== 0n) align = lower(align, uptr & -uptr);
  if (align < BigInt(iovaAlignment)) return 'user-va-misaligned';
  const page = BigInt(geometry.pageBytes);
  const spans = allowed.length === 0 ? [{ first: 0n, last: U64_LAST }] : joined(allowed);
  for (const whole of spans) {
    const first = whole.first < page ? page : whole.first;
    const last = lower(whole.last, U64_LAST - page);
    if (first > last) continue;
    const from = placeIn({ first, last }, align, uptr % page, length);
    if (from === null) continue;
    for (const hole of holesIn({ first: from, last }, [...areas, ...reserved])) {
      const start = placeIn(hole, align, uptr % page, length);
      if (start !== null) return start;
    }
  }
  return 'no-iova-space';
}

function spaceOf({ areas, reserved, allowed }: Occupied): IovaSpace {
  const table = createAreaTable();
  for (const area of areas) {
    const slot = allocateSlot(table);
    const { startPage, startOffset, lastPage, lastOffset } = rangeOf(area);
    table.startPage[slot] = startPage;
    table.startOffset[slot] = startOffset;
    table.lastPage[slot] = lastPage;
    table.lastOffset[slot] = lastOffset;
    linkArea(table, slot);
  }
  const [merged, allow] = [reserved, allowed].map((spans) => mergeRanges(spans.map(rangeOf)));
  return { areas: table, reserved: merged!, allowed: allow! };
}

function chosen(space: IovaSpace, { length, uptr, iovaAlignment, geometry }: Request): bigint | string {
  const into = wide();
  const [page, offset] = [pageOf(uptr), offsetOf(uptr)];
  const [pages, rest] = [pageOf(length), offsetOf(length)];
  const refusal = allocateIova(into, space, geometry, iovaAlignment, page, offset, pages, rest);
  return refusal === null ? toBigInt(into.page, into.offset) : refusal.id;
}

const geometry = fc.constantFrom<PageGeometry>(
  { pageBytes: 4096, hugeBytes: 2 ** 21 },
  { pageBytes: 4096, hugeBytes: 4096 },
  { pageBytes: 16_384, hugeBytes: 2 ** 25 },
  { pageBytes: 65_536, hugeBytes: 2 ** 29 },
);
const length = fc.oneof(
  fc.bigInt({ min: 1n, max: 20_000n }),
  fc.bigInt({ min: 1n, max: 40n }).map((pages) => pages * 4096n),
  fc.integer({ min: 0, max: 62 }).map((bit) => 1n << BigInt(bit)),
  fc.bigInt({ min: 1n, max: 2n ** 62n }),
  fc.constantFrom(2n ** 63n - 2n, 2n ** 63n - 1n, 2n ** 63n),
);
const uptr = fc.oneof(
  fc.constant(0n),
  fc.bigInt({ min: 0x7f0000000n, max: 0x7f0001000n }).map((page) => page * 4096n),
  fc.bigInt({ min: 0x7fn, max: 0x1ffn }).map((page) => page * 0x200000n),
  u64,
);
const request = fc.record({ length, uptr, iovaAlignment: fc.constantFrom(1, 2, 2048, 4096), geometry });

/** Disjoint areas with narrow holes, beginning anywhere. */
const crowd = (sizes: { readonly maxLength: number; readonly minLength?: number }): fc.Arbitrary<Span[]> =>
  fc
    .tuple(
      fc.constantFrom(0n, 4096n, 0x1000000n, 2n ** 40n + 17n, U64_LAST - 9_000_000n),
      fc.array(
        fc.tuple(fc.constantFrom(0n, 1n, 2048n, 4096n, 70_000n), fc.bigInt({ min: 1n, max: 9_000n })),
        sizes,
      ),
    )
    .map(([start, parts]) => {
      const areas: Span[] = [];
      let first = start;
      for (const [hole, size] of parts) {
        first += hole;
        if (first + size > U64_LAST) break;
        areas.push({ first, last: first + size - 1n });
        first += size;
      }
      return areas;
    });
const aperture = { first: 0n, last: 0xff_ffffn };
const above = { first: 0x8000_0000n, last: U64_LAST };
const ranges = fc.oneof(
  fc.constantFrom<Span[]>([], [aperture, above]),
  fc.array(
    fc.oneof(
      span,
      fc.tuple(u64, fc.bigInt({ min: 0n, max: 2n ** 24n })).map(([first, size]) => {
        return { first, last: lower(first + size, U64_LAST) };
      }),
    ),
    { maxLength: 4 },
  ),
);
const allowed = fc.oneof(fc.constant<Span[]>([]), ranges);
const occupied = fc.record({ areas: crowd({ maxLength: 25 }), reserved: ranges, allowed });

describe('the automatic choice of an IOVA', () => {
  test('is the same as that of a slow reference, address or refusal', () => {
    const answers = new Map<string, number>();
    fc.assert(
      fc.property(occupied, request, (space, asked) => {
        const expected = reference(space, asked);
        const kind = typeof expected === 'string' ? expected : 'address';
        answers.set(kind, (answers.get(kind) ?? 0) + 1);
        expect(chosen(spaceOf(space), asked)).toBe(expected);
      }),
      { numRuns: 20_000 },
    );
    const kinds = ['address', 'length-half-of-space', 'no-iova-space', 'user-va-misaligned'];
    expect([...answers.keys()].sort()).toEqual(kinds);
    for (const count of answers.values()) expect(count).toBeGreaterThan(300);
  });

  test('finds the first hole among thousands of areas, where whole chunks of them are skipped', () => {
    const many = crowd({ minLength: 1_200, maxLength: 1_600 });
    const small = fc.constantFrom(1n, 2048n, 4096n, 8192n, 65_536n, 70_000n, 2n ** 21n);
    const bounds = fc.constantFrom<Span[]>([], [{ first: 0n, last: 0x200_0000n }]);
    const asked = fc.record({ length: small, uptr, iovaAlignment: fc.constantFrom(1, 2048), geometry });
    fc.assert(
      fc.property(many, bounds, fc.array(asked, { minLength: 4, maxLength: 8 }), (areas, allow, list) => {
        const space = { areas, reserved: [], allowed: allow };
        const built = spaceOf(space);
        for (const each of list) expect(chosen(built, each)).toBe(reference(space, each));
      }),
      { numRuns: 40 },
    );
  });

  test('is never page zero, and is placed in its page as the user address is', () => {
    fc.assert(
      fc.property(occupied, request, (space, asked) => {
        const address = chosen(spaceOf(space), asked);
        if (typeof address === 'string') return;
        const page = BigInt(asked.geometry.pageBytes);
        expect(address).toBeGreaterThanOrEqual(page);
        expect(address + asked.length - 1n).toBeLessThanOrEqual(U64_LAST - page);
        const used = [...space.areas, ...space.reserved];
        expect(used.filter(({ first, last }) => first < address + asked.length && last >= address)).toEqual(
          [],
        );
        expect(address % BigInt(asked.iovaAlignment)).toBe((asked.uptr % page) % BigInt(asked.iovaAlignment));
      }),
      { numRuns: 3_000 },
    );
  });
});
