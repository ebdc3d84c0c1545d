import { NOBODY } from './accounting.ts';
import { type AreaTable, CHUNK, CHUNK_ROOM, newChunk, someArea } from './area-table.ts';
import type { Kernel } from './kernel.ts';
import type { Machine } from './machine.ts';
import type { ColumnReader, ColumnWriter } from './number-columns.ts';
import type { PagesTable } from './pages-table.ts';
import type { Profile } from './profile.ts';
import { headOf, kernelOf, orderPages, orderSpaces, type StateHead } from './state-head.ts';

/**
 * The whole state of a kernel in columns: what `serializeKernel` writes, in a form that is small and read
 * back fast. Areas are written in the order of IOVAs, as distances; most columns hold one and the same number
 * then, and cost nothing.
 */

export function packKernel(kernel: Kernel, writer: ColumnWriter): void {
  const order = orderPages(kernel);
  writer.text(JSON.stringify(headOf(kernel, order)));
  const scratch = new Float64Array(Math.max(order.size, ...areaCounts(kernel), 0));
  for (const key of orderSpaces(kernel)) packAreas(kernel.spaces.get(key)!.areas, order, writer, scratch);
  const slots = Uint32Array.from(order.keys());
  for (const column of columnsOf(kernel.pages)) {
    for (let at = 0; at < slots.length; at += 1) scratch[at] = column[slots[at]!]!;
    writer.numbers(scratch, slots.length);
  }
}

function areaCounts({ spaces }: Kernel): number[] {
  return [...spaces.values()].map(({ areas }) => areas.count);
}

/** Everything of an iopt_pages. */
function columnsOf({ mm, basePage, pageCount, refs, writable, source, payer, pinned, charged }: PagesTable) {
  return [mm, basePage, pageCount, refs, writable, source, payer, pinned, charged];
}

/** Slots of the areas in the order of IOVAs. */
export function areaOrder(areas: AreaTable): Uint32Array {
  const slots = new Uint32Array(areas.count);
  let count = 0;
  someArea(areas, (slot) => {
    slots[count] = slot;
    count += 1;
    return false;
  });
  return slots;
}

function packAreas(
  areas: AreaTable,
  order: ReadonlyMap<number, number>,
  writer: ColumnWriter,
  scratch: Float64Array,
): void {
  const slots = areaOrder(areas);
  const { length } = slots;
  const column = (numberOf: (slot: number, at: number) => number): void => {
    for (let at = 0; at < length; at += 1) scratch[at] = numberOf(slots[at]!, at);
    writer.numbers(scratch, length);
  };
  const { startPage, lastPage, pages } = areas;
  column((slot, at) => startPage[slot]! - (at === 0 ? 0 : lastPage[slots[at - 1]!]!));
  column((slot) => lastPage[slot]! - startPage[slot]!);
  // Without COPY and splits, the how-manieth area has the how-manieth pages.
  column((slot, at) => order.get(pages[slot]!)! - at);
  for (const plain of plainColumns(areas)) column((slot) => plain[slot]!);
}

function plainColumns(areas: AreaTable) {
  const { startOffset, lastOffset, firstIndex, pageOffset, prot, accesses, preventAccess } = areas;
  return [startOffset, lastOffset, firstIndex, pageOffset, prot, accesses, preventAccess];
}

/** The kernel that `packKernel` wrote; the slots of its areas are in the order of IOVAs. */
export function unpackKernel(reader: ColumnReader, profile: Profile, machine: Machine): Kernel {
  const head = JSON.parse(reader.text()) as StateHead;
  return kernelOf(head, profile, machine, ({ pages }, areasOf) => {
    for (const [key, count] of head.spaces) unpackAreas(reader, areasOf(key), count);
    growTo(pages, head.pageSets);
    for (const column of columnsOf(pages)) reader.numbers(column);
    for (let slot = 0; slot < head.pageSets; slot += 1)
      if (pages.payer[slot] !== NOBODY) pages.payerCount += 1;
  });
}

function unpackAreas(reader: ColumnReader, areas: AreaTable, count: number): void {
  const { startPage, lastPage, pages } = areas;
  reader.numbers(startPage);
  reader.numbers(lastPage);
  const numbers = new Float64Array(count);
  reader.numbers(numbers);
  let before = 0;
  for (let slot = 0; slot < count; slot += 1) {
    const start = startPage[slot]! + before;
    before = start + lastPage[slot]!;
    startPage[slot] = start;
    lastPage[slot] = before;
    pages[slot] = numbers[slot]! + slot;
  }
  for (const plain of plainColumns(areas)) reader.numbers(plain);
  linkAscending(areas, count);
}

/**
 * Puts the slots 0 to `count` - 1, which are in the order of IOVAs, into an empty table; chunks are as full
 * as ascending maps leave them.
 */
function linkAscending(table: AreaTable, count: number): void {
  for (let from = 0; from < count; from += CHUNK - CHUNK_ROOM) {
    const chunk = newChunk();
    chunk.count = Math.min(CHUNK - CHUNK_ROOM, count - from);
    for (let at = 0; at < chunk.count; at += 1) {
      chunk.page[at] = table.startPage[from + at]!;
      chunk.slot[at] = from + at;
    }
    table.chunks.push(chunk);
  }
  table.slotCount = count;
  table.count = count;
}

/** Makes the empty table of iopt_pages as large as it has to be. */
function growTo(pages: PagesTable, count: number): void {
  pages.slotCount = count;
  if (count <= pages.mm.length) return;
  pages.mm = new Uint32Array(count);
  pages.basePage = new Float64Array(count);
  pages.pageCount = new Float64Array(count);
  pages.refs = new Uint32Array(count);
  pages.writable = new Uint8Array(count);
  pages.source = new Uint8Array(count);
  pages.payer = new Uint32Array(count);
  pages.pinned = new Float64Array(count);
  pages.charged = new Float64Array(count);
}
