import { placeLeaves } from '../leaf-sizes.ts';
import type { PageTable } from '../page-table.ts';

/** Pages that tables span which large leaves are about to replace; null when none is in the way. */
export function replacedTables(
  table: PageTable,
  page: number,
  pageCount: number,
  frame: number,
): { readonly first: number; readonly last: number } | null {
  const { leafSizes, itemShift } = table.format;
  let from = Number.POSITIVE_INFINITY;
  let to = -1;
  placeLeaves(leafSizes, page, pageCount, frame, (first, last, size) => {
    const { level } = leafSizes[size]!;
    if (level === 1) return;
    const own = 2 ** (itemShift(level) - 12);
    for (let at = table.nextTable(level - 1, first); at <= last; at = table.nextTable(level - 1, at + own)) {
      from = Math.min(from, at);
      to = Math.max(to, at + own - 1);
    }
  });
  return to < 0 ? null : { first: from, last: to };
}
