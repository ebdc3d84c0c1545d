import { addWide, compareWide, isAligned, isTop, subWide, type Wide, wide } from './address.ts';
import { firstAreaIn, freeSlot, NONE, startByte, unlinkArea } from './area-table.ts';
import { type Kernel, spaceOf } from './kernel.ts';
import { insertArea } from './mapping.ts';
import { isDmabuf } from './pages-table.ts';
import { type Refusal, reason } from './reason.ts';
import type { Context, Ioas } from './state.ts';

/**
 * Cutting areas in two, for the unmap of VFIO type1 version 1 only: io_pagetable.c iopt_cut_iova,
 * iopt_area_split.
 */

const SPLIT_BUSY = reason(
  'split-area-busy',
  'EBUSY',
  'io_pagetable.c iopt_area_split',
  'the area to be cut is being unmapped',
);
const SPLIT_DMABUF = reason(
  'split-dmabuf',
  'EOPNOTSUPP',
  'io_pagetable.c iopt_area_split',
  'an area of a dma-buf can not be cut',
);
const SPLIT_MISALIGNED = reason(
  'split-misaligned',
  'EINVAL',
  'io_pagetable.c iopt_area_split',
  'the cut is no multiple of the IOVA alignment of the IOAS',
);
const SPLIT_PINNED = reason(
  'split-area-pinned',
  'EINVAL',
  'io_pagetable.c iopt_area_split',
  'an access object has pinned pages of the area to be cut',
);
const SPLIT_LARGE_PAGES = reason(
  'split-large-pages',
  'EINVAL',
  'io_pagetable.c iopt_area_split',
  'the area to be cut may be mapped in a domain with large pages',
);

/** Makes the address the last of an area of its own, if it lies inside one. */
export function cutAt(kernel: Kernel, context: Context, ioas: Ioas, at: Wide): Refusal {
  const space = spaceOf(kernel, ioas);
  const { areas } = space;
  const slot = firstAreaIn(areas, at.page, at.offset, at.page, at.offset);
  if (slot === NONE) return null;
  const first = wide(areas.startPage[slot]!, areas.startOffset[slot]!);
  const last = wide(areas.lastPage[slot]!, areas.lastOffset[slot]!);
  if (compareWide(at.page, at.offset, first.page, first.offset) === 0) return null;
  if (compareWide(at.page, at.offset, last.page, last.offset) === 0 || isTop(at.page, at.offset)) return null;
  if (areas.preventAccess[slot] === 1) return SPLIT_BUSY;
  if (isDmabuf(kernel.pages, areas.pages[slot]!)) return SPLIT_DMABUF;
  const next = wide();
  addWide(next, at.page, at.offset, 0, 1);
  const byte = wide();
  startByte(byte, areas, slot, next.page, next.offset);
  const memoryPage = kernel.pages.basePage[areas.pages[slot]!]! + byte.page;
  const { alignment } = ioas;
  if (!isAligned(next.page, next.offset, alignment) || !isAligned(memoryPage, byte.offset, alignment))
    return SPLIT_MISALIGNED;
  if (areas.accesses[slot]! > 0) return SPLIT_PINNED;
  if (ioas.domains.length > 0 && !ioas.largePagesOff) return SPLIT_LARGE_PAGES;

  kernel.effects.rangeUnmapped(context.id, ioas.id, space, slot);
  const pages = areas.pages[slot]!;
  const firstIndex = areas.firstIndex[slot]!;
  const pageOffset = areas.pageOffset[slot]!;
  const prot = areas.prot[slot]!;
  unlinkArea(areas, slot);
  freeSlot(areas, slot);
  kernel.pages.refs[pages]! += 1;
  const length = wide();
  subWide(length, next.page, next.offset, first.page, first.offset);
  const left = insertArea(areas, first, length.page, length.offset, pages, firstIndex, pageOffset, prot);
  kernel.effects.rangeMapped(context.id, ioas.id, space, left);
  subWide(length, last.page, last.offset, next.page, next.offset);
  addWide(length, length.page, length.offset, 0, 1);
  const right = insertArea(areas, next, length.page, length.offset, pages, byte.page, byte.offset, prot);
  kernel.effects.rangeMapped(context.id, ioas.id, space, right);
  return null;
}
