import { resized } from './area-table.ts';

/**
 * All `struct iopt_pages`: the user memory behind areas. A COPY shares one between areas, so they are
 * counted. Columns of typed arrays; free slots are chained through `refs`.
 */
export interface PagesTable {
  /**
   * Address space (see user-memory.ts) the pages come from: `source_mm`, or the one that stands for a file.
   */
  mm: Uint32Array;
  /** First user page: `uptr / PAGE_SIZE`. */
  basePage: Float64Array;
  /** Number of pages. */
  pageCount: Float64Array;
  /** Areas that share them. */
  refs: Uint32Array;
  /** 1 when mapped writable at creation: pinning asks for write access. */
  writable: Uint8Array;
  /** What they are: FROM_USER, FROM_FILE, FROM_DMABUF or REVOKED_DMABUF. */
  source: Uint8Array;
  /** Who is charged for their pins, from 1 on: see accounting-state.ts; 0: nobody. */
  payer: Uint32Array;
  /** `npinned`: pages that are pinned; kept only where somebody is charged. */
  pinned: Float64Array;
  /** `last_npinned`: pages that were charged. With type1, `locked_vm` of the mapping. */
  charged: Float64Array;
  /** How many have a payer. */
  payerCount: number;
  slotCount: number;
  freeHead: number;
  /** Pins made by access objects, only for those iopt_pages that have any: `access_itree`. */
  readonly accessNodes: Map<number, AccessNode[]>;
  /** Held pages that are not at their user address any more, only for those iopt_pages that may have any. */
  readonly replaced: Map<number, ReplacedPages[]>;
}

/** Pages first..last (indexes, inclusive) of an iopt_pages; `page` is the page of the object at `first`. */
export interface ReplacedPages {
  readonly first: number;
  readonly last: number;
  readonly object: number;
  readonly page: number;
  readonly huge: boolean;
}

/** `struct iopt_pages_access`: page indexes first..last (inclusive) held by `users` pins. */
export interface AccessNode {
  first: number;
  last: number;
  users: number;
}

const FREE_END = 0xffffffff;

/** Memory of a process, found by its page tables. */
export const FROM_USER = 0;
/** Pages of a memory file. */
export const FROM_FILE = 1;
/** A dma-buf: physical memory of a device, or of the selftest. */
export const FROM_DMABUF = 2;
/** The same after its exporter revoked it: nothing of it is mapped any more, and nothing will be. */
export const REVOKED_DMABUF = 3;

export function createPagesTable(capacity = 64): PagesTable {
  return {
    mm: new Uint32Array(capacity),
    basePage: new Float64Array(capacity),
    pageCount: new Float64Array(capacity),
    refs: new Uint32Array(capacity),
    writable: new Uint8Array(capacity),
    source: new Uint8Array(capacity),
    payer: new Uint32Array(capacity),
    pinned: new Float64Array(capacity),
    charged: new Float64Array(capacity),
    payerCount: 0,
    slotCount: 0,
    freeHead: FREE_END,
    accessNodes: new Map(),
    replaced: new Map(),
  };
}

/** `iopt_alloc_pages` after its checks; the caller owns the one reference. */
export function allocatePages(
  table: PagesTable,
  mm: number,
  basePage: number,
  pageCount: number,
  writable: boolean,
  source: number,
): number {
  let slot = table.freeHead;
  if (slot !== FREE_END) {
    table.freeHead = table.refs[slot]!;
  } else {
    slot = table.slotCount;
    if (slot === table.mm.length) grow(table);
    table.slotCount += 1;
  }
  table.mm[slot] = mm;
  table.basePage[slot] = basePage;
  table.pageCount[slot] = pageCount;
  table.refs[slot] = 1;
  table.writable[slot] = writable ? 1 : 0;
  table.source[slot] = source;
  table.payer[slot] = 0;
  table.pinned[slot] = 0;
  table.charged[slot] = 0;
  return slot;
}

function grow(table: PagesTable): void {
  const capacity = Math.ceil(table.mm.length * 1.5);
  table.mm = resized(table.mm, new Uint32Array(capacity));
  table.basePage = resized(table.basePage, new Float64Array(capacity));
  table.pageCount = resized(table.pageCount, new Float64Array(capacity));
  table.refs = resized(table.refs, new Uint32Array(capacity));
  table.writable = resized(table.writable, new Uint8Array(capacity));
  table.source = resized(table.source, new Uint8Array(capacity));
  table.payer = resized(table.payer, new Uint32Array(capacity));
  table.pinned = resized(table.pinned, new Float64Array(capacity));
  table.charged = resized(table.charged, new Float64Array(capacity));
}

/** `iopt_is_dmabuf`. */
export function isDmabuf(table: PagesTable, slot: number): boolean {
  return table.source[slot]! >= FROM_DMABUF;
}

/** `iopt_put_pages`: the last reference frees them. */
export function putPages(table: PagesTable, slot: number): void {
  const refs = table.refs[slot]! - 1;
  if (refs > 0) {
    table.refs[slot] = refs;
    return;
  }
  table.accessNodes.delete(slot);
  table.replaced.delete(slot);
  table.refs[slot] = table.freeHead;
  table.freeHead = slot;
}

/** Slots of the chain of free entries, for readers that walk all live ones. */
export function freePages(table: PagesTable): Set<number> {
  const free = new Set<number>();
  for (let slot = table.freeHead; slot !== FREE_END; slot = table.refs[slot]!) free.add(slot);
  return free;
}

/** The access node with exactly these page indexes: `iopt_pages_get_exact_access`. */
export function exactAccess(
  table: PagesTable,
  slot: number,
  first: number,
  last: number,
): AccessNode | undefined {
  return table.accessNodes.get(slot)?.find((node) => node.first === first && node.last === last);
}
