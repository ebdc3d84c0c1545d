import type { TableFormat, Word } from '../../../replay/hardware/table-format.ts';

/**
 * Arm's page tables as io-pgtable-arm.c keeps them: real tables with entries, filled and emptied one call of
 * the driver at a time. Slow and plain; knows nothing of runs and intervals.
 */

interface Table {
  readonly entries: Map<number, Table | Leaf>;
}

interface Leaf {
  readonly word: Word;
}

export interface RadixEntry {
  readonly level: number;
  readonly index: number;
  readonly page: number;
  readonly word: Word;
}

export interface Radix {
  map(page: number, count: number, frame: number, prot: number): void;
  unmap(page: number, count: number): void;
  /** Every entry, a table's before those it holds. */
  entries(): RadixEntry[];
}

export function createRadix(format: TableFormat): Radix {
  const root: Table = { entries: new Map() };
  return {
    map: (page, count, frame, prot) => map(format, root, page, count, frame, prot),
    unmap: (page, count) => unmap(format, root, page, count),
    entries: () => list(format, root, format.levels, 0),
  };
}

function isTable(entry: Table | Leaf | undefined): entry is Table {
  return entry !== undefined && 'entries' in entry;
}

/** iommu_pgsize: the largest page that both addresses are aligned to and that fits. */
function pageAt({ leafSizes }: TableFormat, merged: number[], left: number) {
  return leafSizes.findLast(({ shift }, at) => {
    const pages = 2 ** (shift - 12);
    return at === 0 || (pages <= left && merged.every((address) => address % pages === 0));
  })!;
}

function indexAt(format: TableFormat, level: number, page: number): number {
  return Math.floor(page / 2 ** (format.itemShift(level) - 12)) % 2 ** format.indexBits(level);
}

/** __arm_lpae_map, one page at a time. */
function map(
  format: TableFormat,
  root: Table,
  page: number,
  count: number,
  frame: number,
  prot: number,
): void {
  for (let at = 0; at < count; ) {
    const size = pageAt(format, [page + at, frame + at], count - at);
    let table = root;
    for (let level = format.levels; level > size.level; level -= 1) {
      const index = indexAt(format, level, page + at);
      let next = table.entries.get(index);
      if (next === undefined) {
        next = { entries: new Map() };
        table.entries.set(index, next);
      }
      if (!isTable(next)) throw new Error('a map below a leaf');
      table = next;
    }
    const word = format.leafWord(frame + at, prot, size, 0);
    // An empty table in its place is freed.
    table.entries.set(indexAt(format, size.level, page + at), { word });
    at += 2 ** (size.shift - 12);
  }
}

/** __arm_lpae_unmap: what stands at the level of the page size goes, leaf or table. */
function unmap(format: TableFormat, root: Table, page: number, count: number): void {
  for (let at = 0; at < count; ) {
    const size = pageAt(format, [page + at], count - at);
    let table: Table | Leaf | undefined = root;
    for (let level = format.levels; level > size.level; level -= 1) {
      table = table.entries.get(indexAt(format, level, page + at));
      if (!isTable(table)) throw new Error('an unmap of a part of a leaf, or of nothing');
    }
    if (!table.entries.delete(indexAt(format, size.level, page + at))) throw new Error('an unmap of nothing');
    at += 2 ** (size.shift - 12);
  }
}

function list(format: TableFormat, table: Table, level: number, base: number): RadixEntry[] {
  const item = 2 ** (format.itemShift(level) - 12);
  return [...table.entries]
    .sort(([a], [b]) => a - b)
    .flatMap(([index, entry]) => {
      const page = base + index * item;
      if (!isTable(entry)) return [{ level, index, page, word: entry.word }];
      const own = { level, index, page, word: format.tableWord(level) };
      return [own, ...list(format, entry, level - 1, page)];
    });
}
