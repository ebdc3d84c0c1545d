import { offsetsOf, VFIO_DMA_MAP_FLAGS, VFIO_IOMMU_MAP_DMA } from '../../uapi/index.ts';
import { addWide, subWide, wide } from '../address.ts';
import { type AreaTable, firstAreaIn, NONE, PROT_READ, PROT_WRITE } from '../area-table.ts';
import type { Answer, Kernel } from '../kernel.ts';
import { insertArea } from '../mapping.ts';
import { allocatePages, FROM_USER } from '../pages-table.ts';
import { type Refusal, reason } from '../reason.ts';
import { fieldOffset, fieldPage, u32 } from '../user-call.ts';
import { copyVfioStruct } from '../vfio-compat.ts';
import {
  TYPE1_ARGSZ_OR_FLAGS,
  TYPE1_MISALIGNED,
  TYPE1_OVERFLOW,
  TYPE1_SIZE_ZERO,
  TYPE1_STRUCT_FAULT,
  TYPE1_WRAPS,
} from './check.ts';
import { DIRTY_PAGES_MAX } from './dirty-bitmap.ts';
import { holdsRange } from './iova-list.ts';
import { changeOwner, lockPages, refuseNewOwner, refusePinning } from './locked-memory.ts';
import { findMapping, isAddressInvalid, isPageAligned, mappingsOf, setAddressInvalid } from './mappings.ts';
import type { Type1Container, Type1Iommu } from './state.ts';

/** VFIO_IOMMU_MAP_DMA: vfio_iommu_type1.c vfio_dma_do_map. */

const MAP = offsetsOf(VFIO_IOMMU_MAP_DMA);
const { READ, WRITE, VADDR } = VFIO_DMA_MAP_FLAGS;

const PERMISSION_OR_ADDRESS = reason(
  'type1-permission-or-vaddr',
  'EINVAL',
  'vfio_iommu_type1.c vfio_dma_do_map',
  'a mapping needs READ or WRITE, and a new user address (VADDR) takes neither',
);
const NO_MAPPING = reason(
  'type1-vaddr-no-mapping',
  'ENOENT',
  'vfio_iommu_type1.c vfio_dma_do_map',
  'VADDR: no mapping lies in the range',
);
const OTHER_MAPPING = reason(
  'type1-vaddr-other-mapping',
  'EINVAL',
  'vfio_iommu_type1.c vfio_dma_do_map',
  'VADDR: the mapping has another range, or its user address was not invalidated before',
);
const ALREADY_MAPPED = reason(
  'type1-already-mapped',
  'EEXIST',
  'vfio_iommu_type1.c vfio_dma_do_map',
  'the range touches a mapping',
);
const NONE_AVAILABLE = reason(
  'type1-no-mapping-available',
  'ENOSPC',
  'vfio_iommu_type1.c vfio_dma_do_map',
  'the container has as many mappings as dma_entry_limit allows',
);
const NOT_USABLE = reason(
  'type1-iova-not-usable',
  'EINVAL',
  'vfio_iommu_type1.c vfio_iommu_iova_dma_valid',
  'the range is outside the aperture or touches a reserved region of an attached group',
);
const TOO_LONG_TO_TRACK = reason(
  'type1-too-long-to-track',
  'EINVAL',
  'vfio_iommu_type1.c vfio_dma_bitmap_alloc',
  'dirty pages are tracked, and the mapping has more than 2^31-1 of them',
);

const iova = wide();
const last = wide();
const vaddr = wide();

export function mapDma(kernel: Kernel, container: Type1Container, iommu: Type1Iommu): Answer {
  const { call } = kernel;
  if (!copyVfioStruct(kernel, VFIO_IOMMU_MAP_DMA.sizeBytes)) return TYPE1_STRUCT_FAULT;
  const flags = u32(call, MAP.flags);
  if (call.userSize < VFIO_IOMMU_MAP_DMA.sizeBytes || (flags & ~(READ | WRITE | VADDR)) !== 0)
    return TYPE1_ARGSZ_OR_FLAGS;
  const sizePage = fieldPage(call, MAP.size);
  const sizeOffset = fieldOffset(call, MAP.size);
  iova.page = fieldPage(call, MAP.iova);
  iova.offset = fieldOffset(call, MAP.iova);
  vaddr.page = fieldPage(call, MAP.vaddr);
  vaddr.offset = fieldOffset(call, MAP.vaddr);
  const refusal = kernel.profile.has.type1ChecksOverflow
    ? (refuseRange(sizePage, sizeOffset, TYPE1_OVERFLOW) ?? refuseFlags(flags))
    : refuseFlags(flags);
  if (refusal !== null) return refusal;
  const isAligned =
    isPageAligned(iommu, sizePage, sizeOffset) &&
    isPageAligned(iommu, iova.page, iova.offset) &&
    isPageAligned(iommu, vaddr.page, vaddr.offset);
  if (sizePage + sizeOffset === 0) return TYPE1_SIZE_ZERO;
  if (!isAligned) return TYPE1_MISALIGNED;
  const wraps = refuseRange(sizePage, sizeOffset, TYPE1_WRAPS);
  if (wraps !== null) return wraps;
  const found = findMapping(kernel, iommu, iova.page, iova.offset, last.page, last.offset);
  if ((flags & VADDR) !== 0) return renewAddress(kernel, iommu, found);
  if (found !== NONE) return ALREADY_MAPPED;
  const prot = ((flags & READ) !== 0 ? PROT_READ : 0) | ((flags & WRITE) !== 0 ? PROT_WRITE : 0);
  return insertMapping(kernel, container, iommu, sizePage, prot);
}

function refuseFlags(flags: number): Refusal {
  const isAddressOnly = (flags & VADDR) !== 0;
  return ((flags & (READ | WRITE)) !== 0) === isAddressOnly ? PERMISSION_OR_ADDRESS : null;
}

/** Refuses an empty range, or one whose IOVA or user address wraps; sets `last`, the last IOVA. */
function refuseRange(sizePage: number, sizeOffset: number, wrapped: Refusal): Refusal {
  if (sizePage + sizeOffset === 0) return TYPE1_SIZE_ZERO;
  subWide(last, sizePage, sizeOffset, 0, 1);
  if (addWide(last, vaddr.page, vaddr.offset, last.page, last.offset)) return wrapped;
  subWide(last, sizePage, sizeOffset, 0, 1);
  return addWide(last, iova.page, iova.offset, last.page, last.offset) ? wrapped : null;
}

/** Gives the mapping a new user address, and the caller as its owner; nothing is pinned anew. */
function renewAddress(kernel: Kernel, iommu: Type1Iommu, slot: number): Refusal {
  if (slot === NONE) return NO_MAPPING;
  const { areas } = mappingsOf(kernel, iommu);
  if (!isAddressInvalid(areas, slot) || !hasRange(areas, slot)) return OTHER_MAPPING;
  const pages = areas.pages[slot]!;
  const refusal = refuseNewOwner(kernel, pages);
  if (refusal !== null) return refusal;
  changeOwner(kernel, pages);
  kernel.pages.basePage[pages] = vaddr.page;
  setAddressInvalid(iommu, areas, slot, false);
  return null;
}

function hasRange(areas: AreaTable, slot: number): boolean {
  return areas.startPage[slot] === iova.page && areas.lastPage[slot] === last.page;
}

function insertMapping(
  kernel: Kernel,
  container: Type1Container,
  iommu: Type1Iommu,
  sizePage: number,
  prot: number,
): Answer {
  if (iommu.available === 0) return NONE_AVAILABLE;
  if (!holdsRange(iommu.iovas, iova.page, iova.offset, last.page, last.offset)) return NOT_USABLE;
  const { call, pages: table } = kernel;
  const isWritten = (prot & PROT_WRITE) !== 0;
  const lastPage = vaddr.page + sizePage - 1;
  const refusal = refusePinning(kernel, vaddr.page, lastPage, isWritten);
  if (refusal !== null) return refusal;
  const space = mappingsOf(kernel, iommu);
  // What the IOMMU's driver makes of an IOVA mapped twice is not known: only a search that missed the
  // mapping at the top of the address space comes here.
  if (firstAreaIn(space.areas, iova.page, iova.offset, last.page, last.offset) !== NONE)
    return 'not-modelled';
  if (iommu.tracking && sizePage / (iommu.pageBytes / 4096) > DIRTY_PAGES_MAX) return TOO_LONG_TO_TRACK;
  const pages = allocatePages(table, call.mm, vaddr.page, sizePage, isWritten, FROM_USER);
  lockPages(kernel, pages, vaddr.page, lastPage);
  const slot = insertArea(space.areas, iova, sizePage, 0, pages, 0, 0, prot);
  iommu.available -= 1;
  kernel.effects.rangeMapped(container.key, 0, space, slot);
  return null;
}
