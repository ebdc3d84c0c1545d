import { compareWide, isTop } from '../address.ts';
import { type AreaTable, firstAreaIn, freeSlot, NONE, unlinkArea } from '../area-table.ts';
import type { IovaSpace } from '../iova-space.ts';
import type { Kernel } from '../kernel.ts';
import { putPages } from '../pages-table.ts';
import { unlockPages } from './locked-memory.ts';
import type { Type1Container, Type1Iommu } from './state.ts';

/** The mappings of a container (`struct vfio_dma` in `dma_list`): one area each, never split. */

export function mappingsOf(kernel: Kernel, { space: key }: Type1Iommu): IovaSpace {
  const space = kernel.spaces.get(key);
  if (space === undefined) throw new Error(`a container has no IOVA space ${key}`);
  return space;
}

/**
 * `vfio_find_dma`: a mapping with a byte in first..last, or NONE. Where sums are not checked for overflow,
 * neither a range nor a mapping that ends at 2^64 is ever found.
 */
export function findMapping(
  kernel: Kernel,
  iommu: Type1Iommu,
  firstPage: number,
  firstOffset: number,
  lastPage: number,
  lastOffset: number,
): number {
  const { areas } = mappingsOf(kernel, iommu);
  if (kernel.profile.has.type1ChecksOverflow)
    return firstAreaIn(areas, firstPage, firstOffset, lastPage, lastOffset);
  if (isTop(lastPage, lastOffset)) return NONE;
  const slot = firstAreaIn(areas, firstPage, firstOffset, lastPage, lastOffset);
  return slot !== NONE && endsAtTop(areas, slot) ? NONE : slot;
}

export function endsAtTop(areas: AreaTable, slot: number): boolean {
  return isTop(areas.lastPage[slot]!, areas.lastOffset[slot]!);
}

/** Whether a range bisects a mapping at its first or its last address; a version 2 container refuses that. */
export function isBisected(
  kernel: Kernel,
  iommu: Type1Iommu,
  firstPage: number,
  firstOffset: number,
  lastPage: number,
  lastOffset: number,
): boolean {
  const { areas } = mappingsOf(kernel, iommu);
  const atFirst = findMapping(kernel, iommu, firstPage, firstOffset, firstPage, firstOffset);
  if (
    atFirst !== NONE &&
    compareWide(areas.startPage[atFirst]!, areas.startOffset[atFirst]!, firstPage, firstOffset) !== 0
  )
    return true;
  const atLast = findMapping(kernel, iommu, lastPage, lastOffset, lastPage, lastOffset);
  return (
    atLast !== NONE &&
    compareWide(areas.lastPage[atLast]!, areas.lastOffset[atLast]!, lastPage, lastOffset) !== 0
  );
}

/** The user address was taken away by UNMAP_DMA with VADDR, and not yet given anew. */
export function isAddressInvalid(areas: AreaTable, slot: number): boolean {
  return areas.preventAccess[slot] === 1;
}

export function setAddressInvalid(
  iommu: Type1Iommu,
  areas: AreaTable,
  slot: number,
  isInvalid: boolean,
): void {
  areas.preventAccess[slot] = isInvalid ? 1 : 0;
  iommu.invalidAddresses += isInvalid ? 1 : -1;
}

/** `vfio_remove_dma`. */
export function removeMapping(
  kernel: Kernel,
  container: Type1Container,
  iommu: Type1Iommu,
  slot: number,
): void {
  const space = mappingsOf(kernel, iommu);
  const { areas } = space;
  kernel.effects.rangeUnmapped(container.key, 0, space, slot);
  if (isAddressInvalid(areas, slot)) setAddressInvalid(iommu, areas, slot, false);
  if (iommu.tracking) delete iommu.strayBits[areas.startPage[slot]!];
  const pages = areas.pages[slot]!;
  unlinkArea(areas, slot);
  freeSlot(areas, slot);
  unlockPages(kernel, pages);
  putPages(kernel.pages, pages);
  iommu.available += 1;
}

/** Whether a value is a multiple of the smallest page; that one is at least a CPU page, so at least 4096. */
export function isPageAligned({ pageBytes }: Type1Iommu, page: number, offset: number): boolean {
  return offset === 0 && page % (pageBytes / 4096) === 0;
}

/** Length of a mapping in pages of 4096 bytes. */
export function mappedPages(areas: AreaTable, slot: number): number {
  return areas.lastPage[slot]! - areas.startPage[slot]! + 1;
}
