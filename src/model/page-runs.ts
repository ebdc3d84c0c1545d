import { pageAt } from './held-pages.ts';
import type { Kernel } from './kernel.ts';
import { endOfMapping, locatePage, type PageIdentity } from './user-memory.ts';

/** What is behind many pages at once: for readers that know the physical pages of some. */

/** Pages index..index+count-1 that are consecutive pages of one object. */
export interface PageRun {
  /** From the first page asked for. */
  readonly index: number;
  readonly count: number;
  readonly object: number;
  /** Page of the object at `index`. */
  readonly page: number;
}

/** What is behind user pages of a process now. */
export function userPageRuns(kernel: Kernel, mm: number, firstPage: number, count: number): PageRun[] {
  const { memory } = kernel;
  const runs: PageRun[] = [];
  for (let index = 0; index < count; ) {
    const end = Math.min(count, endOfMapping(memory, mm, firstPage + index) + 1 - firstPage);
    const { object, page } = locatePage(memory, mm, firstPage + index);
    runs.push({ index, count: end - index, object, page });
    index = end;
  }
  return runs;
}

/** What is behind the first of these pages of an iopt_pages, if all are in one piece; else null. */
export function onlyPageRun(
  kernel: Kernel,
  pages: number,
  firstIndex: number,
  count: number,
): PageIdentity | null {
  const { pages: table, memory } = kernel;
  const mm = table.mm[pages]!;
  const first = table.basePage[pages]! + firstIndex;
  if (endOfMapping(memory, mm, first) < first + count - 1 || table.replaced.has(pages)) return null;
  return locatePage(memory, mm, first);
}

/** What is behind pages of an iopt_pages: those held, else those at the user address. */
export function pinnedPageRuns(kernel: Kernel, pages: number, firstIndex: number, count: number): PageRun[] {
  const { pages: table } = kernel;
  const cuts = [0];
  const first = table.basePage[pages]! + firstIndex;
  for (const { index } of userPageRuns(kernel, table.mm[pages]!, first, count)) cuts.push(index);
  for (const held of table.replaced.get(pages) ?? [])
    cuts.push(held.first - firstIndex, held.last + 1 - firstIndex);
  const inside = cuts.filter((index) => index >= 0 && index < count).sort((a, b) => a - b);
  const starts = inside.filter((index, place) => index !== inside[place - 1]);
  return starts.map((index, place) => {
    const { object, page } = pageAt(kernel, pages, firstIndex + index);
    return { index, count: (starts[place + 1] ?? count) - index, object, page };
  });
}
