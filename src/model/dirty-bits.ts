import { addWide, wide } from './address.ts';
import { firstAreaIn, NONE, startByte } from './area-table.ts';
import type { IovaSpace } from './iova-space.ts';
import { type Kernel, spaceOf } from './kernel.ts';
import { mustGet } from './objects.ts';
import type { Context, HwptPaging, Ioas } from './state.ts';
import { locatePage } from './user-memory.ts';

/**
 * Dirty bits of mock page tables: one for every half page of the CPU, in selftest.c a flag of the stored page
 * number. Kept by HWPT as a set of IOVAs divided by that half page, made when tracking begins.
 */

/** MOCK_HUGE_PAGE_SIZE in half pages: 512. */
const HUGE_STEPS = 512;

/** Bytes of the mock IOMMU's page. */
export function mockPageBytes(kernel: Kernel): number {
  return kernel.profile.pageBytes / 2;
}

export function dirtyBits(kernel: Kernel, hwpt: HwptPaging): Set<number> {
  let bits = kernel.dirty.get(hwpt.domain.key);
  if (bits === undefined) {
    bits = new Set();
    kernel.dirty.set(hwpt.domain.key, bits);
  }
  return bits;
}

/** Forgets the bits of an area that is unmapped, in every domain of its IOAS. */
export function dropDirtyBits(
  kernel: Kernel,
  context: Context,
  ioas: Ioas,
  { areas }: IovaSpace,
  slot: number,
): void {
  const step = mockPageBytes(kernel);
  const first = (areas.startPage[slot]! * 4096 + areas.startOffset[slot]!) / step;
  const last = Math.floor((areas.lastPage[slot]! * 4096 + areas.lastOffset[slot]!) / step);
  for (const id of ioas.domains) {
    const bits = kernel.dirty.get(mustGet(context, id, 'hwpt-paging').domain.key);
    if (bits === undefined) continue;
    for (const bit of bits) if (bit >= first && bit <= last) bits.delete(bit);
  }
}

/** How a half page is mapped in a domain. */
export type EntryKind = 'none' | 'small' | 'huge';

/**
 * What the page table holds for half page `index`. A huge entry needs the domain's huge page size, contiguous
 * memory (huge pages of the process) that lines up with the IOVA, and the whole block inside the area.
 */
export function entryKind(kernel: Kernel, context: Context, hwpt: HwptPaging, index: number): EntryKind {
  const ioas = mustGet(context, hwpt.ioas, 'ioas');
  const space = spaceOf(kernel, ioas);
  const { areas } = space;
  const step = mockPageBytes(kernel);
  const at = addressOf(index, step);
  const slot = firstAreaIn(areas, at.page, at.offset, at.page, at.offset);
  if (slot === NONE) return 'none';
  if (hwpt.domain.pageSizes === step || ioas.largePagesOff) return 'small';
  const block = addressOf(index - (index % HUGE_STEPS), step);
  const blockEnd = addressOf(index - (index % HUGE_STEPS) + HUGE_STEPS - 1, step);
  const contains = (page: number, offset: number): boolean =>
    firstAreaIn(areas, page, offset, page, offset) === slot;
  if (!contains(block.page, block.offset) || !contains(blockEnd.page, blockEnd.offset)) return 'small';
  const byte = wide();
  startByte(byte, areas, slot, block.page, block.offset);
  const pages = areas.pages[slot]!;
  const memory = locatePage(
    kernel.memory,
    kernel.pages.mm[pages]!,
    kernel.pages.basePage[pages]! + byte.page,
  );
  const blockPages = (HUGE_STEPS * step) / 4096;
  return memory.huge && byte.offset === 0 && memory.page % blockPages === 0 ? 'huge' : 'small';
}

function addressOf(index: number, step: number): { page: number; offset: number } {
  const perPage = 4096 / step;
  const at = wide(Math.floor(index / perPage), 0);
  addWide(at, at.page, 0, 0, (index % perPage) * step);
  return at;
}

/** `mock_test_and_clear_dirty` of the entry around half page `index`. */
export function testDirty(bits: Set<number>, index: number, kind: EntryKind, clear: boolean): boolean {
  const first = kind === 'huge' ? index - (index % HUGE_STEPS) : index;
  const count = kind === 'huge' ? HUGE_STEPS : 1;
  let dirty = false;
  for (let bit = first; bit < first + count; bit += 1) {
    if (!bits.has(bit)) continue;
    dirty = true;
    if (clear) bits.delete(bit);
  }
  return dirty;
}

/** Half pages that one recorded entry stands for. */
export function entrySteps(kind: EntryKind): number {
  return kind === 'huge' ? HUGE_STEPS : 1;
}
