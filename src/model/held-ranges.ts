import { firstArea, NONE, nextArea } from './area-table.ts';
import type { IovaSpace } from './iova-space.ts';
import { type Kernel, spaceOf } from './kernel.ts';

/**
 * Which pages of each iopt_pages a domain or an access object holds: `domains_itree` and `access_itree` of
 * pages.c.
 */

/** The parts of a..b outside low..high. */
export function without(a: number, b: number, low: number, high: number): [number, number][] {
  if (high < a || low > b) return [[a, b]];
  const parts: [number, number][] = [];
  if (low > a) parts.push([a, low - 1]);
  if (high < b) parts.push([high + 1, b]);
  return parts;
}

/** Page index ranges that are pinned, by iopt_pages: `domains_itree` and `access_itree`. Walks all areas. */
export function heldRanges(kernel: Kernel): Map<number, [number, number][]> {
  const held = new Map<number, [number, number][]>();
  const add = (pages: number, first: number, last: number): void => {
    const ranges = held.get(pages);
    if (ranges === undefined) held.set(pages, [[first, last]]);
    else ranges.push([first, last]);
  };
  for (const [pages, nodes] of kernel.pages.accessNodes) {
    for (const { first, last } of nodes) add(pages, first, last);
  }
  eachFilledArea(kernel, add);
  return held;
}

/** Visits every area of every IOAS that has a domain: its iopt_pages and page indexes. */
export function eachFilledArea(
  kernel: Kernel,
  visit: (pages: number, first: number, last: number) => void,
): void {
  for (const context of Object.values(kernel.state.contexts)) {
    for (const object of Object.values(context.objects)) {
      if (object.type !== 'ioas' || object.domains.length === 0) continue;
      const space = spaceOf(kernel, object);
      const { areas } = space;
      for (let slot = firstArea(areas); slot !== NONE; slot = nextArea(areas, slot)) {
        visit(areas.pages[slot]!, areas.firstIndex[slot]!, lastIndex(space, slot));
      }
    }
  }
}

/** `iopt_area_last_index`: index of the last page of an area in its iopt_pages. */
export function lastIndex({ areas }: IovaSpace, slot: number): number {
  const pages = areas.lastPage[slot]! - areas.startPage[slot]!;
  const offset = areas.lastOffset[slot]! - areas.startOffset[slot]! + areas.pageOffset[slot]!;
  return areas.firstIndex[slot]! + pages + Math.floor(offset / 4096);
}
