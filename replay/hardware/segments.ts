/**
 * Leaves of a page table as runs of one size: ordered by IOVA, disjoint, in chunks so that putting one in
 * among a million others moves few.
 */

/** Leaves of one size, one permission and ascending frames. Pages of 4096 bytes; `last` is inclusive. */
export interface Segment {
  readonly page: number;
  readonly last: number;
  /** Index in the format's `leafSizes`. */
  readonly size: number;
  /** Frame of `page`, or UNKNOWN_FRAME. */
  readonly frame: number;
  readonly prot: number;
}

export interface SegmentList {
  readonly chunks: Segment[][];
  count: number;
}

const MOST = 512;

export function createSegments(): SegmentList {
  return { chunks: [], count: 0 };
}

/** Index of the last chunk that begins at or below the page; 0 when there is none. */
function chunkFor({ chunks }: SegmentList, page: number): number {
  let low = 0;
  let high = chunks.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (chunks[middle]![0]!.page <= page) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Position of the first segment of a chunk that ends at or above the page. */
function positionFor(chunk: readonly Segment[], page: number): number {
  let low = 0;
  let high = chunk.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (chunk[middle]!.last >= page) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The lowest segment that ends at or above the page; null when there is none. */
export function segmentFrom(list: SegmentList, page: number): Segment | null {
  if (list.count === 0) return null;
  const at = chunkFor(list, page);
  const chunk = list.chunks[at]!;
  return chunk[positionFor(chunk, page)] ?? list.chunks[at + 1]?.[0] ?? null;
}

/** Adds a segment, which must not overlap another. */
export function addSegment(list: SegmentList, segment: Segment): void {
  list.count += 1;
  if (list.chunks.length === 0) {
    list.chunks.push([segment]);
    return;
  }
  const at = chunkFor(list, segment.page);
  const chunk = list.chunks[at]!;
  chunk.splice(positionFor(chunk, segment.page), 0, segment);
  if (chunk.length > MOST) {
    // Ascending maps fill their chunks: only the tail of the very last one is split off.
    const keep = at === list.chunks.length - 1 ? MOST - 16 : MOST / 2;
    list.chunks.splice(at + 1, 0, chunk.splice(keep));
  }
}

/** Removes what lies in first..last (inclusive); a segment that sticks out is cut. */
export function cutSegments(list: SegmentList, first: number, last: number): void {
  for (let hit = segmentFrom(list, first); hit !== null && hit.page <= last; hit = segmentFrom(list, first)) {
    remove(list, hit);
    if (hit.page < first) addSegment(list, { ...hit, last: first - 1 });
    if (hit.last > last) {
      const frame = hit.frame < 0 ? hit.frame : hit.frame + (last + 1 - hit.page);
      addSegment(list, { ...hit, page: last + 1, frame });
    }
  }
}

function remove(list: SegmentList, segment: Segment): void {
  const at = chunkFor(list, segment.page);
  const chunk = list.chunks[at]!;
  chunk.splice(positionFor(chunk, segment.page), 1);
  if (chunk.length === 0) list.chunks.splice(at, 1);
  list.count -= 1;
}

/** Every segment in order. */
export function allSegments(list: SegmentList): Segment[] {
  return list.chunks.flat();
}
