import type { IovaSpace, Kernel } from '../../src/model/index.ts';
import { addNumber, addText, type Sum, sum } from './hash.ts';
import { type MemoryRoles, roleOfPage } from './memory-roles.ts';

/** What is remembered of each area beside the model: columns with the slots of its table. */
export interface AreaColumns {
  /** The call that mapped it. */
  since: Float64Array;
  /** Its sum: addresses, access, and the roles of its first and last page. */
  high: Int32Array;
  low: Int32Array;
  /** Sum of the sums of all its areas, in whatever order they came. */
  readonly content: Sum;
  /** Areas whose IOVA the kernel chose, so far: they are told apart by their number, not by their place. */
  automatic: number;
}

export function createColumns(capacity = 16): AreaColumns {
  return {
    since: new Float64Array(capacity),
    high: new Int32Array(capacity),
    low: new Int32Array(capacity),
    content: sum(),
    automatic: 0,
  };
}

function reserve(columns: AreaColumns, slots: number): void {
  if (slots <= columns.since.length) return;
  const grow = <T extends Float64Array | Int32Array>(from: T, to: T): T => {
    to.set(from);
    return to;
  };
  columns.since = grow(columns.since, new Float64Array(slots));
  columns.high = grow(columns.high, new Int32Array(slots));
  columns.low = grow(columns.low, new Int32Array(slots));
}

export function setArea(columns: AreaColumns, slot: number, capacity: number, since: number, of: Sum): void {
  reserve(columns, capacity);
  columns.since[slot] = since;
  columns.high[slot] = of.high;
  columns.low[slot] = of.low;
  columns.content.high = (columns.content.high + of.high) | 0;
  columns.content.low = (columns.content.low + of.low) | 0;
}

export function dropArea(columns: AreaColumns, slot: number): void {
  columns.content.high = (columns.content.high - columns.high[slot]!) | 0;
  columns.content.low = (columns.content.low - columns.low[slot]!) | 0;
}

/** The sum of all areas, from columns that were filled otherwise; the areas have the slots from 0 on. */
export function countContent({ high, low, content }: AreaColumns, areaCount: number): void {
  for (let slot = 0; slot < areaCount; slot += 1) {
    content.high = (content.high + high[slot]!) | 0;
    content.low = (content.low + low[slot]!) | 0;
  }
}

const scratch = sum();

/**
 * The sum of an area, valid until the next one is asked for. `automatic`: the how-manieth it is of those
 * whose IOVA the kernel chose, which depends on where its memory happens to lie; 0 for one at an IOVA of
 * the caller's.
 */
export function sumOfArea(
  roles: MemoryRoles,
  kernel: Kernel,
  { areas }: IovaSpace,
  slot: number,
  automatic = 0,
): Sum {
  const pages = areas.pages[slot]!;
  const index = areas.firstIndex[slot]!;
  const pageCount = areas.lastPage[slot]! - areas.startPage[slot]! + 1;
  scratch.high = 0;
  scratch.low = 0;
  addNumber(scratch, automatic === 0 ? areas.startPage[slot]! : -automatic);
  addNumber(scratch, areas.startOffset[slot]!);
  addNumber(scratch, pageCount);
  addNumber(scratch, areas.lastOffset[slot]!);
  addNumber(scratch, areas.prot[slot]! * 4096 + areas.pageOffset[slot]!);
  addRole(roles, kernel, pages, index, pageCount);
  addRole(roles, kernel, pages, index + pageCount - 1, 1);
  return scratch;
}

/** Names are few and long: their sums are kept. */
const sumsOfNames = new Map<string, Sum>();
const NAMES_KEPT = 4096;

function addRole(roles: MemoryRoles, kernel: Kernel, pages: number, index: number, pageCount: number): void {
  const { name, page } = roleOfPage(roles, kernel, pages, index, pageCount);
  let known = sumsOfNames.get(name);
  if (known === undefined) {
    if (sumsOfNames.size >= NAMES_KEPT) sumsOfNames.clear();
    known = sum();
    addText(known, name);
    sumsOfNames.set(name, known);
  }
  addNumber(scratch, known.high >>> 0);
  addNumber(scratch, known.low >>> 0);
  addNumber(scratch, page);
}
