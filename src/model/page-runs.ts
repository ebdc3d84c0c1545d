import { pageAt } from './held-pages.ts';
import type { Kernel } from './kernel.ts';
import { locatePage, type PageIdentity } from './user-memory.ts';

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
  const cuts = mappingCuts(kernel, mm, firstPage, count);
  return runsBetween(cuts, count, (index) => locatePage(kernel.memory, mm, firstPage + index));
}

/** What is behind pages of an iopt_pages: those held, else those at the user address. */
export function pinnedPageRuns(kernel: Kernel, pages: number, firstIndex: number, count: number): PageRun[] {
  const { pages: table } = kernel;
  const cuts = mappingCuts(kernel, table.mm[pages]!, table.basePage[pages]! + firstIndex, count);
  for (const { first, last } of table.replaced.get(pages) ?? [])
    cuts.push(first - firstIndex, last + 1 - firstIndex);
  return runsBetween(cuts, count, (index) => pageAt(kernel, pages, firstIndex + index));
}

/** Indexes at which another mapping may begin. */
function mappingCuts(kernel: Kernel, mm: number, firstPage: number, count: number): number[] {
  const cuts: number[] = [];
  for (const range of kernel.memory.spaces[mm]!.ranges) {
    if (range.lastPage < firstPage || range.firstPage >= firstPage + count) continue;
    cuts.push(range.firstPage - firstPage, range.lastPage + 1 - firstPage);
  }
  return cuts;
}

function runsBetween(cuts: readonly number[], count: number, at: (index: number) => PageIdentity): PageRun[] {
  const inside = cuts.filter((index) => index > 0 && index < count).sort((a, b) => a - b);
  const starts = [0, ...inside.filter((index, place) => index !== inside[place - 1])];
  return starts.map((index, place) => {
    const { object, page } = at(index);
    return { index, count: (starts[place + 1] ?? count) - index, object, page };
  });
}
