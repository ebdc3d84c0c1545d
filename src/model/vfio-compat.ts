import {
  offsetsOf,
  VFIO_DMA_MAP_FLAGS,
  VFIO_DMA_UNMAP_FLAGS,
  VFIO_EXTENSION,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
} from '../uapi/index.ts';
import { addWide, subWide, wide } from './address.ts';
import { cutAt } from './area-split.ts';
import { PROT_READ, PROT_WRITE } from './area-table.ts';
import { mapUser, unmapAll, unmapIova } from './ioas-map.ts';
import { disableLargePages } from './iova-domains.ts';
import type { Kernel } from './kernel.ts';
import { mustGet } from './objects.ts';
import { type Refusal, reason } from './reason.ts';
import type { Context, Ioas } from './state.ts';
import { copyStructIn, fieldOffset, fieldPage, setU64, u32 } from './user-call.ts';
import { compatIoas, NO_COMPAT_IOAS } from './vfio-ioas.ts';

/** VFIO type1 ioctls as iommufd serves them: vfio_compat.c. */

const MAP = offsetsOf(VFIO_IOMMU_MAP_DMA);
const UNMAP = offsetsOf(VFIO_IOMMU_UNMAP_DMA);
const { READ, WRITE } = VFIO_DMA_MAP_FLAGS;
const { ALL } = VFIO_DMA_UNMAP_FLAGS;

export const VFIO_STRUCT_FAULT = reason(
  'vfio-struct-unreadable',
  'EFAULT',
  'vfio_compat.c, each command',
  'the struct at the argument pointer can not be read',
);
export const ARGSZ_TOO_SMALL = reason(
  'vfio-argsz-or-flags',
  'EINVAL',
  'vfio_compat.c, each command',
  'argsz is below the struct, or a flag is not supported',
);
const TYPE_UNSUPPORTED = reason(
  'vfio-iommu-type-unsupported',
  'EINVAL',
  'vfio_compat.c iommufd_vfio_set_iommu',
  'the IOMMU type is neither TYPE1 nor TYPE1v2',
);
const NOTHING_UNMAPPED = reason(
  'vfio-unmap-empty-range',
  'ENOENT',
  'io_pagetable.c iopt_unmap_iova_range, before 6.18',
  'no mapping is in the range',
);
const ALL_WITH_RANGE = reason(
  'vfio-unmap-all-with-range',
  'EINVAL',
  'vfio_compat.c iommufd_vfio_unmap_dma',
  'UNMAP_ALL takes neither IOVA nor size',
);

/** Copies the fixed part of a VFIO struct in; false when it can not be read. */
export function copyVfioStruct(kernel: Kernel, bytes: number): boolean {
  if (kernel.call.arg.length < bytes) return false;
  copyStructIn(kernel.call, bytes);
  kernel.call.userSize = u32(kernel.call, 0);
  return true;
}

/** VFIO_GET_API_VERSION: the answer is VFIO_API_VERSION, 0. */
export function getApiVersion(): Refusal {
  return null;
}

export function checkExtension(kernel: Kernel, context: Context): Refusal {
  switch (Number(kernel.call.argument)) {
    case VFIO_EXTENSION.TYPE1:
    case VFIO_EXTENSION.TYPE1v2:
    case VFIO_EXTENSION.UNMAP_ALL:
      kernel.call.ret = 1;
      return null;
    case VFIO_EXTENSION.DMA_CC: {
      const ioas = compatIoas(context);
      if (ioas === undefined) return NO_COMPAT_IOAS;
      kernel.call.ret = ioas.hwpts.every((id) => mustGet(context, id, 'hwpt-paging').enforceCacheCoherency)
        ? 1
        : 0;
      return null;
    }
    default:
      return null;
  }
}

export function setIommu(kernel: Kernel, context: Context): Refusal {
  const type = Number(kernel.call.argument);
  if (type !== VFIO_EXTENSION.TYPE1 && type !== VFIO_EXTENSION.TYPE1v2) return TYPE_UNSUPPORTED;
  const ioas = compatIoas(context);
  if (ioas === undefined) return NO_COMPAT_IOAS;
  // Version 1 may unmap the middle of a mapping, which large pages would forbid.
  return type === VFIO_EXTENSION.TYPE1 ? disableLargePages(kernel, context, ioas) : null;
}

const from = wide();
const iova = wide();
const unmapped = wide();
const cut = wide();

export function mapDma(kernel: Kernel, context: Context): Refusal {
  const { call } = kernel;
  if (!copyVfioStruct(kernel, VFIO_IOMMU_MAP_DMA.sizeBytes)) return VFIO_STRUCT_FAULT;
  const flags = u32(call, MAP.flags);
  if (call.userSize < VFIO_IOMMU_MAP_DMA.sizeBytes || (flags & ~(READ | WRITE)) !== 0) return ARGSZ_TOO_SMALL;
  const ioas = compatIoas(context);
  if (ioas === undefined) return NO_COMPAT_IOAS;
  from.page = fieldPage(call, MAP.vaddr);
  from.offset = fieldOffset(call, MAP.vaddr);
  iova.page = fieldPage(call, MAP.iova);
  iova.offset = fieldOffset(call, MAP.iova);
  const prot = ((flags & READ) !== 0 ? PROT_READ : 0) | ((flags & WRITE) !== 0 ? PROT_WRITE : 0);
  const lengthPage = fieldPage(call, MAP.size);
  return mapUser(kernel, context, ioas, from, lengthPage, fieldOffset(call, MAP.size), iova, prot, true);
}

export function unmapDma(kernel: Kernel, context: Context): Refusal {
  const { call } = kernel;
  if (!copyVfioStruct(kernel, VFIO_IOMMU_UNMAP_DMA.sizeBytes)) return VFIO_STRUCT_FAULT;
  const flags = u32(call, UNMAP.flags);
  if (call.userSize < VFIO_IOMMU_UNMAP_DMA.sizeBytes || (flags & ~ALL) !== 0) return ARGSZ_TOO_SMALL;
  const ioas = compatIoas(context);
  if (ioas === undefined) return NO_COMPAT_IOAS;
  iova.page = fieldPage(call, UNMAP.iova);
  iova.offset = fieldOffset(call, UNMAP.iova);
  const sizePage = fieldPage(call, UNMAP.size);
  const sizeOffset = fieldOffset(call, UNMAP.size);
  let refusal: Refusal;
  if ((flags & ALL) !== 0) {
    if (iova.page + iova.offset + sizePage + sizeOffset !== 0) return ALL_WITH_RANGE;
    refusal = unmapAll(kernel, context, ioas, unmapped);
  } else {
    refusal = ioas.largePagesOff ? cutEnds(kernel, context, ioas, sizePage, sizeOffset) : null;
    if (refusal !== null) return refusal;
    refusal = unmapIova(kernel, context, ioas, iova.page, iova.offset, sizePage, sizeOffset, unmapped);
    const isEmpty = refusal === null && unmapped.page === 0 && unmapped.offset === 0;
    if (isEmpty && !kernel.profile.has.emptyUnmapSucceeds) refusal = NOTHING_UNMAPPED;
  }
  // From here on the size is written back whatever the result: the bytes that are really gone.
  setU64(call, UNMAP.size, unmapped.page, unmapped.offset);
  call.respondFrom = 0;
  call.respondEnd = VFIO_IOMMU_UNMAP_DMA.sizeBytes;
  return refusal;
}

/** Cuts areas at the last byte of the range and before its first. */
function cutEnds(
  kernel: Kernel,
  context: Context,
  ioas: Ioas,
  sizePage: number,
  sizeOffset: number,
): Refusal {
  addWide(cut, iova.page, iova.offset, sizePage, sizeOffset);
  subWide(cut, cut.page, cut.offset, 0, 1);
  const refusal = cutAt(kernel, context, ioas, cut);
  if (refusal !== null || (iova.page === 0 && iova.offset === 0)) return refusal;
  subWide(cut, iova.page, iova.offset, 0, 1);
  return cutAt(kernel, context, ioas, cut);
}
