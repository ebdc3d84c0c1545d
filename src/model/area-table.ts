import { addWide, compareWide, subWide, TOP_OFFSET, type Wide } from './address.ts';

/**
 * The areas of one IOAS, ordered by IOVA: what `iopt->area_itree` holds.
 *
 * Columns of typed arrays (a slot per area) and, for the order, sorted chunks of (start page, slot). Nothing
 * is allocated per map or unmap once the arrays have grown; an area costs at most 65 bytes in the columns and
 * 40 in the chunks. Addresses are page number + offset (see address.ts); last addresses are inclusive.
 */
export interface AreaTable {
  startPage: Float64Array;
  startOffset: Uint16Array;
  lastPage: Float64Array;
  lastOffset: Uint16Array;
  /** iopt_pages the area takes its slice of (index into PagesTable). */
  pages: Uint32Array;
  /** First page index of the slice in the iopt_pages. */
  firstIndex: Float64Array;
  /** Offset of the first byte in its page: `area->page_offset`. */
  pageOffset: Uint16Array;
  /** IOMMU_READ 1, IOMMU_WRITE 2. */
  prot: Uint8Array;
  /** Live pins of access objects: `area->num_accesses`. */
  accesses: Uint32Array;
  preventAccess: Uint8Array;
  /** Slots ever used; free ones are chained through `pages`. */
  slotCount: number;
  freeHead: number;
  /** Live areas. */
  count: number;
  chunks: Chunk[];
}

interface Chunk {
  count: number;
  readonly page: Float64Array;
  readonly slot: Uint32Array;
  /** Pages that the widest hole behind an area of this chunk touches; NaN when it must be computed again. */
  widestHole: number;
}

/** No area. */
export const NONE = -1;

/** Areas of a full chunk, and the room that ascending maps leave in one. */
export const CHUNK = 256;
export const CHUNK_ROOM = 16;
const FREE_END = 0xffffffff;

export const PROT_READ = 1;
export const PROT_WRITE = 2;

export function createAreaTable(capacity = 16): AreaTable {
  return {
    startPage: new Float64Array(capacity),
    startOffset: new Uint16Array(capacity),
    lastPage: new Float64Array(capacity),
    lastOffset: new Uint16Array(capacity),
    pages: new Uint32Array(capacity),
    firstIndex: new Float64Array(capacity),
    pageOffset: new Uint16Array(capacity),
    prot: new Uint8Array(capacity),
    accesses: new Uint32Array(capacity),
    preventAccess: new Uint8Array(capacity),
    slotCount: 0,
    freeHead: FREE_END,
    count: 0,
    chunks: [],
  };
}

function grow(table: AreaTable): void {
  const capacity = Math.ceil(table.startPage.length * 1.5);
  table.startPage = resized(table.startPage, new Float64Array(capacity));
  table.startOffset = resized(table.startOffset, new Uint16Array(capacity));
  table.lastPage = resized(table.lastPage, new Float64Array(capacity));
  table.lastOffset = resized(table.lastOffset, new Uint16Array(capacity));
  table.pages = resized(table.pages, new Uint32Array(capacity));
  table.firstIndex = resized(table.firstIndex, new Float64Array(capacity));
  table.pageOffset = resized(table.pageOffset, new Uint16Array(capacity));
  table.prot = resized(table.prot, new Uint8Array(capacity));
  table.accesses = resized(table.accesses, new Uint32Array(capacity));
  table.preventAccess = resized(table.preventAccess, new Uint8Array(capacity));
}

export function resized<T extends Float64Array | Uint32Array | Uint16Array | Uint8Array>(from: T, to: T): T {
  to.set(from);
  return to;
}

/** Takes a slot; the caller fills the columns and then calls `linkArea`. */
export function allocateSlot(table: AreaTable): number {
  let slot = table.freeHead;
  if (slot !== FREE_END) {
    table.freeHead = table.pages[slot]!;
  } else {
    slot = table.slotCount;
    if (slot === table.startPage.length) grow(table);
    table.slotCount += 1;
  }
  table.accesses[slot] = 0;
  table.preventAccess[slot] = 0;
  return slot;
}

export function freeSlot(table: AreaTable, slot: number): void {
  table.pages[slot] = table.freeHead;
  table.freeHead = slot;
}

/** Index of the last chunk whose first area starts at or below the address; 0 when there is none. */
function chunkFor(table: AreaTable, page: number, offset: number): number {
  const chunks = table.chunks;
  let low = 0;
  let high = chunks.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    const chunk = chunks[middle]!;
    const first = chunk.page[0]!;
    const below = first === page ? table.startOffset[chunk.slot[0]!]! <= offset : first < page;
    if (below) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Position in the chunk of the first area that starts above the address; `count` when there is none. */
function positionAbove(table: AreaTable, chunk: Chunk, page: number, offset: number): number {
  let low = 0;
  let high = chunk.count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const start = chunk.page[middle]!;
    const above = start === page ? table.startOffset[chunk.slot[middle]!]! > offset : start > page;
    if (above) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Puts a filled slot into the order. The area must not overlap another. */
export function linkArea(table: AreaTable, slot: number): void {
  const page = table.startPage[slot]!;
  const offset = table.startOffset[slot]!;
  if (table.chunks.length === 0) table.chunks.push(newChunk());
  const at = chunkFor(table, page, offset);
  let chunk = table.chunks[at]!;
  if (chunk.count === CHUNK) {
    const right = splitChunk(table, at);
    const first = right.page[0]!;
    const goesRight = first === page ? table.startOffset[right.slot[0]!]! <= offset : first < page;
    if (goesRight) chunk = right;
  }
  const position = positionAbove(table, chunk, page, offset);
  chunk.page.copyWithin(position + 1, position, chunk.count);
  chunk.slot.copyWithin(position + 1, position, chunk.count);
  chunk.page[position] = page;
  chunk.slot[position] = slot;
  chunk.count += 1;
  chunk.widestHole = Number.NaN;
  const before = table.chunks[at - 1];
  if (position === 0 && before !== undefined) before.widestHole = Number.NaN;
  table.count += 1;
}

export function newChunk(): Chunk {
  return { count: 0, page: new Float64Array(CHUNK), slot: new Uint32Array(CHUNK), widestHole: Number.NaN };
}

/**
 * Splits a full chunk. At the very end of the table it splits off an empty tail's worth only, so that
 * ascending maps (the usual order of a VMM) fill their chunks instead of leaving them half empty.
 */
function splitChunk(table: AreaTable, at: number): Chunk {
  const chunk = table.chunks[at]!;
  const keep = at === table.chunks.length - 1 ? CHUNK - CHUNK_ROOM : CHUNK / 2;
  const right = newChunk();
  right.page.set(chunk.page.subarray(keep, chunk.count));
  right.slot.set(chunk.slot.subarray(keep, chunk.count));
  right.count = chunk.count - keep;
  chunk.count = keep;
  chunk.widestHole = Number.NaN;
  table.chunks.splice(at + 1, 0, right);
  return right;
}

/** Takes an area out of the order; its slot stays filled until `freeSlot`. */
export function unlinkArea(table: AreaTable, slot: number): void {
  const page = table.startPage[slot]!;
  const offset = table.startOffset[slot]!;
  const at = chunkFor(table, page, offset);
  const chunk = table.chunks[at]!;
  const position = positionAbove(table, chunk, page, offset) - 1;
  chunk.page.copyWithin(position, position + 1, chunk.count);
  chunk.slot.copyWithin(position, position + 1, chunk.count);
  chunk.count -= 1;
  chunk.widestHole = Number.NaN;
  const before = table.chunks[at - 1];
  if (before !== undefined && (position === 0 || chunk.count === 0)) before.widestHole = Number.NaN;
  // The last chunk stays, so that mapping and unmapping one area allocates nothing.
  if (chunk.count === 0 && table.chunks.length > 1) table.chunks.splice(at, 1);
  table.count -= 1;
}

/** Lowest area that has a byte in [first, last], or NONE: `iopt_area_iter_first`. */
export function firstAreaIn(
  table: AreaTable,
  firstPage: number,
  firstOffset: number,
  lastPage: number,
  lastOffset: number,
): number {
  if (table.count === 0) return NONE;
  const at = chunkFor(table, firstPage, firstOffset);
  const chunk = table.chunks[at]!;
  const position = positionAbove(table, chunk, firstPage, firstOffset);
  if (position > 0) {
    const slot = chunk.slot[position - 1]!;
    const end = table.lastPage[slot]!;
    if (end > firstPage || (end === firstPage && table.lastOffset[slot]! >= firstOffset)) return slot;
  }
  const next = position < chunk.count ? chunk.slot[position]! : table.chunks[at + 1]?.slot[0];
  if (next === undefined) return NONE;
  return compareWide(table.startPage[next]!, table.startOffset[next]!, lastPage, lastOffset) <= 0
    ? next
    : NONE;
}

/** The area after this one in IOVA order, or NONE. */
export function nextArea(table: AreaTable, slot: number): number {
  const at = chunkFor(table, table.startPage[slot]!, table.startOffset[slot]!);
  const chunk = table.chunks[at]!;
  const position = positionAbove(table, chunk, table.startPage[slot]!, table.startOffset[slot]!);
  if (position < chunk.count) return chunk.slot[position]!;
  return table.chunks[at + 1]?.slot[0] ?? NONE;
}

export function firstArea(table: AreaTable): number {
  return table.count === 0 ? NONE : table.chunks[0]!.slot[0]!;
}

/** Calls `visit` for each area in IOVA order; stops when it returns true and says so. */
export function someArea(table: AreaTable, visit: (slot: number) => boolean): boolean {
  for (const chunk of table.chunks) {
    for (let position = 0; position < chunk.count; position += 1) {
      if (visit(chunk.slot[position]!)) return true;
    }
  }
  return false;
}

/**
 * An area at or after `from` such that no hole between them touches `pages` pages: whole chunks without such
 * a hole are skipped, and a first-fit search looks at holes one by one from there.
 */
export function skipNarrowHoles(table: AreaTable, from: number, pages: number): number {
  let at = chunkFor(table, table.startPage[from]!, table.startOffset[from]!);
  let chunk = table.chunks[at]!;
  if (widestHole(table, at) >= pages) return from;
  for (at += 1; at < table.chunks.length; at += 1) {
    if (widestHole(table, at) >= pages) {
      chunk = table.chunks[at]!;
      return chunk.slot[0]!;
    }
  }
  const last = table.chunks[table.chunks.length - 1]!;
  return last.slot[last.count - 1]!;
}

function widestHole(table: AreaTable, at: number): number {
  const chunk = table.chunks[at]!;
  if (!Number.isNaN(chunk.widestHole)) return chunk.widestHole;
  let widest = 0;
  for (let position = 0; position < chunk.count; position += 1) {
    const slot = chunk.slot[position]!;
    const next = position + 1 < chunk.count ? chunk.slot[position + 1]! : table.chunks[at + 1]?.slot[0];
    if (next === undefined) {
      widest = Number.POSITIVE_INFINITY;
      break;
    }
    const holeEnd = table.startPage[next]! + (table.startOffset[next]! > 0 ? 1 : 0);
    const hole = holeEnd - table.lastPage[slot]! - (table.lastOffset[slot] === TOP_OFFSET ? 1 : 0);
    if (hole > widest) widest = hole;
  }
  chunk.widestHole = widest;
  return widest;
}

/** Byte of the iopt_pages behind an IOVA of an area: `iopt_area_start_byte`. */
export function startByte(into: Wide, table: AreaTable, slot: number, page: number, offset: number): void {
  subWide(into, page, offset, table.startPage[slot]!, table.startOffset[slot]!);
  addWide(into, into.page, into.offset, table.firstIndex[slot]!, table.pageOffset[slot]!);
}
