import { heldRanges, without } from './held-ranges.ts';
import type { Kernel } from './kernel.ts';
import { locatePage, type MappedRange, type PageIdentity, setRange, spansPage } from './user-memory.ts';

/**
 * Pages that a domain or an access object still holds although the process has put something else, or
 * nothing, at their user address. A page that is held is never asked of the process again, so the old one
 * stays in use until its last holder lets go: pages.c reads pinned pages from where they are pinned.
 */

/** Records what mmap or munmap put at an address, after noting which of the old pages are held. */
export function replaceRange(kernel: Kernel, mm: number, range: MappedRange): void {
  const { memory } = kernel;
  const old = memory.spaces[mm]!.ranges.filter(
    ({ backing, firstPage, lastPage }) =>
      backing !== null && firstPage <= range.lastPage && range.firstPage <= lastPage,
  );
  if (old.length > 0) keepHeldPages(kernel, mm, range, old);
  setRange(memory, mm, range);
}

function keepHeldPages(kernel: Kernel, mm: number, range: MappedRange, old: readonly MappedRange[]): void {
  const { pages: table, memory } = kernel;
  for (const [pages, held] of heldRanges(kernel)) {
    if (table.mm[pages] !== mm) continue;
    const base = table.basePage[pages]!;
    for (const part of old) {
      const low = Math.max(range.firstPage, part.firstPage) - base;
      const high = Math.min(range.lastPage, part.lastPage) - base;
      for (const [first, last] of held) {
        const from = Math.max(low, first);
        if (from > Math.min(high, last)) continue;
        keep(kernel, pages, from, Math.min(high, last), locatePage(memory, mm, base + from));
      }
    }
  }
}

/** Notes pages that are held, but for those that are not at their user address any more already. */
function keep(kernel: Kernel, pages: number, first: number, last: number, at: PageIdentity): void {
  const { replaced } = kernel.pages;
  const known = replaced.get(pages) ?? [];
  let left: [number, number][] = [[first, last]];
  for (const part of known) left = left.flatMap(([a, b]) => without(a, b, part.first, part.last));
  const added = left.map(([a, b]) => ({
    first: a,
    last: b,
    object: at.object,
    page: at.page + a - first,
    huge: at.huge,
  }));
  replaced.set(pages, [...known, ...added]);
}

/** Pages first..last are pinned anew: what is at their user address now. */
export function forgetReplaced(kernel: Kernel, pages: number, first: number, last: number): void {
  const { replaced } = kernel.pages;
  const known = replaced.get(pages);
  if (known === undefined) return;
  const left = known.flatMap((part) =>
    without(part.first, part.last, first, last).map(([a, b]) => ({
      ...part,
      first: a,
      last: b,
      page: part.page + a - part.first,
    })),
  );
  if (left.length > 0) replaced.set(pages, left);
  else replaced.delete(pages);
}

/** The page that an iopt_pages has at an index: the one held, else the one at its user address. */
export function pageAt(kernel: Kernel, pages: number, index: number): PageIdentity {
  const { pages: table, memory } = kernel;
  const part = table.replaced.get(pages)?.find(({ first, last }) => first <= index && index <= last);
  if (part === undefined) return locatePage(memory, table.mm[pages]!, table.basePage[pages]! + index);
  return { object: part.object, page: part.page + index - part.first, huge: part.huge };
}

/** Whether one of the pages first..last of an iopt_pages is the page `target`. */
export function holdsPage(
  kernel: Kernel,
  pages: number,
  first: number,
  last: number,
  target: PageIdentity,
): boolean {
  const { pages: table, memory } = kernel;
  let left: [number, number][] = [[first, last]];
  for (const part of table.replaced.get(pages) ?? []) {
    const index = part.first + target.page - part.page;
    const inPart = part.object === target.object && part.first <= index && index <= part.last;
    if (inPart && first <= index && index <= last) return true;
    left = left.flatMap(([a, b]) => without(a, b, part.first, part.last));
  }
  const base = table.basePage[pages]!;
  return left.some(([a, b]) => spansPage(memory, table.mm[pages]!, base + a, base + b, target));
}
