import { UNKNOWN_FRAME } from './table-format.ts';

/** Physical frames by a page number or index: sparse, in blocks of 512. 0 in a block stands for unknown. */
export type FrameMap = Map<number, Float64Array>;
export type ReadonlyFrameMap = ReadonlyMap<number, Float64Array>;

/** Pages first..first+count-1 with ascending frames, or with unknown ones. */
export interface FrameRun {
  readonly first: number;
  readonly count: number;
  /** Of `first`, or UNKNOWN_FRAME. */
  readonly frame: number;
}

/** Pages in a block of the map. */
export const BLOCK = 512;

export function setFrame(map: FrameMap, page: number, frame: number): void {
  const at = Math.floor(page / BLOCK);
  let block = map.get(at);
  if (block === undefined) {
    block = new Float64Array(BLOCK);
    map.set(at, block);
  }
  block[page % BLOCK] = frame;
}

/** Frame of a page, or UNKNOWN_FRAME. */
export function getFrame(map: ReadonlyFrameMap, page: number): number {
  return map.get(Math.floor(page / BLOCK))?.[page % BLOCK] || UNKNOWN_FRAME;
}

/** Copies the frames of `count` pages from one map to another: costs the blocks that are known. */
export function copyFrames(from: FrameMap, page: number, count: number, to: FrameMap, toPage: number): void {
  const copyBlock = (at: number, block: Float64Array): void => {
    const first = Math.max(at * BLOCK, page);
    const end = Math.min((at + 1) * BLOCK, page + count);
    for (let each = first; each < end; each += 1) {
      const frame = block[each % BLOCK]!;
      if (frame !== 0) setFrame(to, toPage + each - page, frame);
    }
  };
  const low = Math.floor(page / BLOCK);
  const high = Math.floor((page + count - 1) / BLOCK);
  if (high - low < from.size) {
    for (let at = low; at <= high; at += 1) {
      const block = from.get(at);
      if (block !== undefined) copyBlock(at, block);
    }
  } else {
    for (const [at, block] of from) if (at >= low && at <= high) copyBlock(at, block);
  }
}
