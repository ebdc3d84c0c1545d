import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { firstArea, NONE, nextArea } from '../../src/model/area-table.ts';
import { VFIO_EXTENSION } from '../../src/uapi/index.ts';
import { groupOf, startType1, UNMAP_ALL } from '../support/type1-session.ts';

const PAGE = 4096n;
/** IOVA pages that the sequences play on. */
const PAGES = 48;
const BASE = 0x100000n;

type Step = readonly ['map' | 'unmap' | 'all', number, number];

const step: fc.Arbitrary<Step> = fc.tuple(
  fc.constantFrom('map', 'map', 'map', 'unmap', 'unmap', 'all'),
  fc.nat({ max: PAGES - 1 }),
  fc.integer({ min: 1, max: 12 }),
);

/** What is mapped, page by page: the number of the mapping, or 0. */
type Pages = number[];

/** Mappings by number that have a page in a range, and whether the range holds all of each. */
function touched(pages: Pages, first: number, count: number): { ids: Set<number>; isWhole: boolean } {
  const inside = pages.slice(first, first + count);
  const ids = new Set(inside.filter((id) => id !== 0));
  const isWhole = [...ids].every((id) => countOf(pages, id) === countOf(inside, id));
  return { ids, isWhole };
}

function countOf(pages: Pages, wanted: number): number {
  return pages.filter((id) => id === wanted).length;
}

describe('any sequence of maps and unmaps', () => {
  test.each([
    ['version 1', VFIO_EXTENSION.TYPE1],
    ['version 2', VFIO_EXTENSION.TYPE1v2],
  ])('of %s: mappings never overlap, and unmapped sizes add up', (_name, type) => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const session = startType1();
        session.attach(groupOf(2));
        session.setIommu(type);
        let pages: Pages = new Array<number>(PAGES + 12).fill(0);
        let mapped = 0n;
        let unmapped = 0n;
        for (const [index, [what, first, count]] of steps.entries()) {
          const iova = BASE + BigInt(first) * PAGE;
          const size = BigInt(count) * PAGE;
          const { ids, isWhole } = touched(pages, first, count);
          if (what === 'map') {
            expect(session.map(iova, size)).toBe(ids.size > 0 ? 'type1-already-mapped' : null);
            if (ids.size > 0) continue;
            mapped += size;
            pages.fill(index + 1, first, first + count);
            continue;
          }
          const isAll = what === 'all';
          const gone = isAll ? new Set(pages) : removedBy(type, pages, first, ids);
          const answer = isAll ? session.unmap(0n, 0n, UNMAP_ALL) : session.unmap(iova, size);
          if (!isAll && !isWhole && type === VFIO_EXTENSION.TYPE1v2) {
            expect(answer).toBe('type1-bisects-mapping');
            continue;
          }
          gone.delete(0);
          const bytes = BigInt(pages.filter((id) => gone.has(id)).length) * PAGE;
          expect(answer).toBe(bytes);
          unmapped += bytes;
          pages = pages.map((id) => (gone.has(id) ? 0 : id));
        }
        const left = [...session.kernel.spaces.values()][0]!.areas;
        let last = -1;
        let bytes = 0n;
        for (let slot = firstArea(left); slot !== NONE; slot = nextArea(left, slot)) {
          expect(left.startPage[slot]!).toBeGreaterThan(last);
          last = left.lastPage[slot]!;
          bytes += BigInt(last - left.startPage[slot]! + 1) * PAGE;
        }
        expect(bytes).toBe(mapped - unmapped);
        expect(session.info().available).toBe(65535 - left.count);
      }),
      { numRuns: 300 },
    );
  });
});

/** Version 1 takes whole mappings, and none when the range begins inside one. */
function removedBy(type: number, pages: Pages, first: number, ids: ReadonlySet<number>): Set<number> {
  if (type === VFIO_EXTENSION.TYPE1v2) return new Set(ids);
  const isInside = first > 0 && pages[first] !== 0 && pages[first - 1] === pages[first];
  return isInside ? new Set() : new Set(ids);
}
