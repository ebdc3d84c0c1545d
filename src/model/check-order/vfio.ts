import { type Check, inOrder, when } from './check.ts';
import * as if_ from './conditions.ts';
import { ANSWER, CHARGE, FIXED_IOVA, PIN_USER, protection, UNMAP_AREAS, USER_PAGES } from './shared.ts';

/** VFIO type1 commands as iommufd serves them, in the kernel's order: vfio_compat.c. */

/** io_pagetable.c iopt_cut_iova, iopt_area_split. */
const CUT = inOrder(
  'split-area-busy',
  when(if_.hasFilePages, 'split-dmabuf'),
  'split-misaligned',
  'split-area-pinned',
  'split-large-pages',
);

const STRUCT = inOrder('vfio-struct-unreadable', 'vfio-argsz-or-flags', 'no-compat-ioas');

export const VFIO_ORDER: Readonly<Record<string, readonly Check[]>> = {
  VFIO_GET_API_VERSION: [],
  VFIO_CHECK_EXTENSION: when(if_.asksCoherency, 'no-compat-ioas'),
  VFIO_SET_IOMMU: inOrder(
    'vfio-iommu-type-unsupported',
    'no-compat-ioas',
    when(if_.setsVersion1, 'large-pages-in-use', 'areas-misaligned'),
  ),
  VFIO_IOMMU_GET_INFO: inOrder(STRUCT, ANSWER),
  VFIO_IOMMU_MAP_DMA: inOrder(
    STRUCT,
    USER_PAGES,
    'length-misaligned',
    FIXED_IOVA,
    'user-offset-misaligned',
    when(if_.compatFilled, PIN_USER),
    protection(if_.compatRefusesNoPermission, if_.compatRefusesReadOnly),
    when(if_.compatFilled, CHARGE),
  ),
  VFIO_IOMMU_UNMAP_DMA: inOrder(
    STRUCT,
    when(if_.unmapsAll, 'vfio-unmap-all-with-range'),
    when(if_.not(if_.unmapsAll), when(if_.compatCuts, CUT), 'length-zero', 'iova-range-wraps'),
    UNMAP_AREAS,
    when(if_.not(if_.unmapsAll), when(if_.emptyUnmapFails, 'vfio-unmap-empty-range')),
    ANSWER,
  ),
};
