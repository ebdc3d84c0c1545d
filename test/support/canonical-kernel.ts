import { someArea } from '../../src/model/area-table.ts';
import type { Kernel } from '../../src/model/kernel.ts';

/**
 * A kernel as a plain value in which nothing depends on where in its columns an area or an iopt_pages happens
 * to lie. It is made of whatever fields there are, so that a new one is compared without a word here.
 */

/** What belongs to the call in progress, to nobody's state, or is given to the kernel from outside. */
const NOT_STATE: ReadonlySet<keyof Kernel> = new Set(['call', 'reply', 'effects', 'profile', 'machine']);
/** How columns are laid out: which slots are free, and how the order is cut into chunks. */
const LAYOUT: ReadonlySet<string> = new Set(['slotCount', 'freeHead', 'chunks']);
const PAGES_LAYOUT: ReadonlySet<string> = new Set([...LAYOUT, 'accessNodes', 'replaced']);

type Columns = Readonly<Record<string, unknown>>;

export function canonicalKernel(kernel: Kernel): Readonly<Record<string, unknown>> {
  const fields = Object.entries(kernel).filter(([name]) => !NOT_STATE.has(name as keyof Kernel));
  const rest = fields.filter(([name]) => name !== 'spaces' && name !== 'pages');
  const { payerCount } = kernel.pages;
  return { ...Object.fromEntries(rest), spaces: spacesOf(kernel), pages: { payerCount } };
}

/** Areas by space, each with its own iopt_pages, which are named in the order in which areas come to them. */
function spacesOf(kernel: Kernel): unknown {
  const names = new Map<number, number>();
  const keys = [...kernel.spaces.keys()].sort((a, b) => a - b);
  return keys.map((key) => {
    const { areas, ...rest } = kernel.spaces.get(key)!;
    const rows: unknown[] = [];
    someArea(areas, (slot) => {
      const pages = areas.pages[slot]!;
      if (!names.has(pages)) names.set(pages, names.size);
      rows.push({
        ...rowOf(areas as unknown as Columns, slot, LAYOUT),
        pages: names.get(pages),
        behind: rowOf(kernel.pages as unknown as Columns, pages, PAGES_LAYOUT),
        accessNodes: sorted(kernel.pages.accessNodes.get(pages)),
        replaced: sorted(kernel.pages.replaced.get(pages)),
      });
      return false;
    });
    return { key, rest, rows };
  });
}

function rowOf(table: Columns, slot: number, without: ReadonlySet<string>): Record<string, unknown> {
  const cells = Object.entries(table)
    .filter(([name]) => !without.has(name))
    .map(([name, column]): [string, unknown] => [name, cellOf(column, slot)]);
  return Object.fromEntries(cells);
}

/** A column's value; what is no column is a count of the whole table. */
function cellOf(column: unknown, slot: number): unknown {
  return ArrayBuffer.isView(column) ? (column as Float64Array)[slot] : column;
}

function sorted(ranges: readonly { readonly first: number; readonly last: number }[] = []): unknown {
  return [...ranges].sort((a, b) => a.first - b.first || a.last - b.last);
}
