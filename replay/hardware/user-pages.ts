import type { HardwareDomain } from './domain.ts';
import type { Fill } from './fills.ts';
import { fillAt, fillsOf } from './guest-memory.ts';
import type { History } from './history.ts';

/** What user memory a domain shows after so many steps. */

/** The areas are only looked for when somebody asks. */
export function userPages(history: History, key: number, stepCount: number): HardwareDomain['userPage'] {
  let fills: Fill[] | null = null;
  return (page) => {
    fills ??= fillsOf(history, key, stepCount);
    const fill = fillAt(fills, page);
    if (fill === null) return null;
    const index = page - fill.page;
    const pid = history.owners.get(fill.mm) ?? null;
    return { pid, page: fill.userPage + index, count: fill.pageCount - index };
  };
}
