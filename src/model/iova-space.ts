import { compareWide, TOP_OFFSET, TOP_PAGE } from './address.ts';
import { type AreaTable, createAreaTable } from './area-table.ts';

/** An inclusive range of IOVAs; addresses are page number + offset. */
export interface IovaRange {
  readonly startPage: number;
  readonly startOffset: number;
  readonly lastPage: number;
  readonly lastOffset: number;
}

/** A reserved range and who asked for it: `device:ID`, `hwpt:ID`, or `test` for the selftest's. */
export interface ReservedRange extends IovaRange {
  readonly owner: string;
}

/** The hot half of an IOAS: its areas, and its reserved and allowed ranges merged for searching. */
export interface IovaSpace {
  readonly areas: AreaTable;
  reserved: MergedRanges;
  allowed: MergedRanges;
}

/**
 * Ascending, disjoint, not adjacent ranges; four numbers each: start page, start offset, last page, last
 * offset.
 */
export type MergedRanges = Float64Array;

export const RANGE_COLUMNS = 4;
const NO_RANGES: MergedRanges = new Float64Array(0);

export function createIovaSpace(): IovaSpace {
  return { areas: createAreaTable(), reserved: NO_RANGES, allowed: NO_RANGES };
}

/** Sorts and joins ranges that overlap or touch, as the kernel's span iterator shows them. */
export function mergeRanges(ranges: readonly IovaRange[]): MergedRanges {
  if (ranges.length === 0) return NO_RANGES;
  const sorted = [...ranges].sort((a, b) =>
    compareWide(a.startPage, a.startOffset, b.startPage, b.startOffset),
  );
  const merged: number[] = [];
  for (const range of sorted) {
    const at = merged.length - RANGE_COLUMNS;
    if (at >= 0 && touches(merged[at + 2]!, merged[at + 3]!, range)) {
      if (compareWide(range.lastPage, range.lastOffset, merged[at + 2]!, merged[at + 3]!) > 0) {
        merged[at + 2] = range.lastPage;
        merged[at + 3] = range.lastOffset;
      }
    } else {
      merged.push(range.startPage, range.startOffset, range.lastPage, range.lastOffset);
    }
  }
  return Float64Array.from(merged);
}

function touches(lastPage: number, lastOffset: number, next: IovaRange): boolean {
  if (lastPage === TOP_PAGE && lastOffset === TOP_OFFSET) return true;
  const endPage = lastOffset === TOP_OFFSET ? lastPage + 1 : lastPage;
  const endOffset = lastOffset === TOP_OFFSET ? 0 : lastOffset + 1;
  return compareWide(next.startPage, next.startOffset, endPage, endOffset) <= 0;
}

/** Index (in numbers) of the first merged range whose last is at or above the address; `length` when none. */
export function rangeFrom(ranges: MergedRanges, page: number, offset: number): number {
  let at = 0;
  while (at < ranges.length && compareWide(ranges[at + 2]!, ranges[at + 3]!, page, offset) < 0)
    at += RANGE_COLUMNS;
  return at;
}

/** Whether any merged range has a byte in [first, last]. */
export function hitsRange(
  ranges: MergedRanges,
  firstPage: number,
  firstOffset: number,
  lastPage: number,
  lastOffset: number,
): boolean {
  const at = rangeFrom(ranges, firstPage, firstOffset);
  return at < ranges.length && compareWide(ranges[at]!, ranges[at + 1]!, lastPage, lastOffset) <= 0;
}

/** The holes between merged ranges over the whole 64-bit space. */
export function holesOf(ranges: MergedRanges): IovaRange[] {
  const holes: IovaRange[] = [];
  let page = 0;
  let offset = 0;
  for (let at = 0; at < ranges.length; at += RANGE_COLUMNS) {
    const startPage = ranges[at]!;
    const startOffset = ranges[at + 1]!;
    if (compareWide(page, offset, startPage, startOffset) < 0) {
      const lastPage = startOffset === 0 ? startPage - 1 : startPage;
      holes.push({
        startPage: page,
        startOffset: offset,
        lastPage,
        lastOffset: startOffset === 0 ? TOP_OFFSET : startOffset - 1,
      });
    }
    if (ranges[at + 2] === TOP_PAGE && ranges[at + 3] === TOP_OFFSET) return holes;
    page = ranges[at + 3] === TOP_OFFSET ? ranges[at + 2]! + 1 : ranges[at + 2]!;
    offset = ranges[at + 3] === TOP_OFFSET ? 0 : ranges[at + 3]! + 1;
  }
  holes.push({ startPage: page, startOffset: offset, lastPage: TOP_PAGE, lastOffset: TOP_OFFSET });
  return holes;
}
