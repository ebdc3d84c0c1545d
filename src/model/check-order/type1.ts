import {
  VFIO_DIRTY_PAGES_FLAGS,
  VFIO_DMA_MAP_FLAGS,
  VFIO_DMA_UNMAP_FLAGS,
  VFIO_IOMMU_DIRTY_PAGES,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_UNMAP_DMA,
} from '../../uapi/index.ts';
import { about, type Check, type Condition, inOrder, numberIn, when, wideIn } from './check.ts';
import { countsPages, not } from './conditions.ts';
import { containerIn, recordedBelow } from './vfio-conditions.ts';

/** The classic container: container.c of vfio and vfio_iommu_type1.c, in the kernel's order. */

const { GET_DIRTY_BITMAP, ALL, VADDR } = VFIO_DMA_UNMAP_FLAGS;
const { START, STOP, GET_BITMAP } = VFIO_DIRTY_PAGES_FLAGS;
const UNMAP_BYTES = VFIO_IOMMU_UNMAP_DMA.sizeBytes;
/** `struct vfio_bitmap`. */
const BITMAP_BYTES = 24;
const DIRTY_BYTES = VFIO_IOMMU_DIRTY_PAGES.minBytes;

const checksOverflow: Condition = ({ kernel }) => kernel.profile.has.type1ChecksOverflow;
const canNest: Condition = ({ kernel }) => !kernel.profile.has.withoutType1Nesting;
const isVersion2: Condition = (facts) => containerIn(facts)?.iommu?.v2 === true;
const has =
  (flag: number): Condition =>
  (facts) =>
    (numberIn(facts, 'flags') & flag) !== 0;
const operationIs =
  (flag: number): Condition =>
  (facts) =>
    numberIn(facts, 'flags') === flag;
const argszBelow =
  (bytes: number): Condition =>
  (facts) =>
    numberIn(facts, 'argsz') < bytes;
const offPage =
  (field: string): Condition =>
  (facts) =>
    wideIn(facts, field) % BigInt(containerIn(facts)?.iommu?.pageBytes ?? 1) !== 0n;

/** `vfio_iommu_type1_attach_group`. */
export const TYPE1_ATTACH: readonly Check[] = inOrder(
  'type1-attach-vaddr-invalid',
  when(canNest, 'type1-attach-no-nesting'),
  'type1-attach-aperture-conflict',
  'type1-attach-reserved-conflict',
  'type1-attach-no-iova-left',
  'type1-attach-msi-not-isolated',
);

/** What is called when a range wraps, which is refused earlier since 6.18. */
const WRAPS = inOrder(
  when(checksOverflow, 'type1-range-overflow'),
  when(not(checksOverflow), 'type1-range-wraps'),
);

const INFO_LEAST = VFIO_IOMMU_GET_INFO.minBytes;

const GET_INFO = inOrder(
  about('struct', 'type1-struct-fault', recordedBelow(INFO_LEAST)),
  'type1-argsz-or-flags',
  about('answer', 'type1-struct-fault', not(recordedBelow(INFO_LEAST))),
);

const MAP_DMA = inOrder(
  'type1-struct-fault',
  'type1-argsz-or-flags',
  when(checksOverflow, 'type1-size-zero', 'type1-range-overflow'),
  'type1-permission-or-vaddr',
  when(not(checksOverflow), 'type1-size-zero'),
  'type1-misaligned',
  when(not(checksOverflow), 'type1-range-wraps'),
  when(
    has(VFIO_DMA_MAP_FLAGS.VADDR),
    'type1-vaddr-no-mapping',
    'type1-vaddr-other-mapping',
    when(countsPages, about('vaddr', 'type1-locked-memory')),
  ),
  when(
    not(has(VFIO_DMA_MAP_FLAGS.VADDR)),
    'type1-already-mapped',
    'type1-no-mapping-available',
    'type1-iova-not-usable',
    'type1-memory-not-pinnable',
    when(countsPages, 'type1-locked-memory'),
    'type1-too-long-to-track',
  ),
);

const wantsBitmap = has(GET_DIRTY_BITMAP);
const unmapsAll = has(ALL);
const unmapStruct = recordedBelow(UNMAP_BYTES);
const unmapBitmap = recordedBelow(UNMAP_BYTES + BITMAP_BYTES);
/** An unknown flag is told before the bitmap is looked at. */
const hasUnknownFlag = has(~(GET_DIRTY_BITMAP | ALL | VADDR));
const isUnmapArgsz: Condition = (facts) => argszBelow(UNMAP_BYTES)(facts) || hasUnknownFlag(facts);

const UNMAP_DMA = inOrder(
  about('struct', 'type1-struct-fault', unmapStruct),
  about('argsz or flags', 'type1-argsz-or-flags', isUnmapArgsz),
  when(
    wantsBitmap,
    'type1-unmap-bitmap-with-other',
    about('argsz of the bitmap', 'type1-argsz-or-flags', not(isUnmapArgsz)),
    about('bitmap', 'type1-struct-fault', unmapBitmap),
    'type1-bitmap-address',
    'type1-bitmap-size',
  ),
  about('iova', 'type1-misaligned', offPage('iova')),
  when(unmapsAll, 'type1-unmap-all-with-range'),
  when(
    not(unmapsAll),
    'type1-size-zero',
    about('size', 'type1-misaligned', not(offPage('iova'))),
    WRAPS,
    when(wantsBitmap, 'type1-not-tracking', 'type1-bitmap-page-size'),
    when(isVersion2, 'type1-bisects-mapping'),
  ),
  when(has(VADDR), 'type1-vaddr-already-invalid'),
  when(wantsBitmap, about('data', 'user-buffer-fault')),
  about('answer', 'type1-struct-fault', not(unmapStruct)),
);

/** `struct vfio_iommu_type1_dirty_bitmap_get`. */
const GET_BYTES = 40;
const isDirtyArgsz: Condition = (facts) =>
  argszBelow(DIRTY_BYTES)(facts) || (numberIn(facts, 'flags') & ~7) !== 0;

const DIRTY_PAGES = inOrder(
  'type1-dirty-not-version-2',
  about('struct', 'type1-struct-fault', recordedBelow(DIRTY_BYTES)),
  about('argsz or flags', 'type1-argsz-or-flags', isDirtyArgsz),
  when(operationIs(START), 'type1-dirty-mapping-too-long'),
  when(
    operationIs(GET_BITMAP),
    about('argsz of the range', 'type1-argsz-or-flags', not(isDirtyArgsz)),
    about('range', 'type1-struct-fault', recordedBelow(DIRTY_BYTES + GET_BYTES)),
    when(checksOverflow, 'type1-size-zero'),
    WRAPS,
    'type1-bitmap-address',
    'type1-bitmap-size',
    'type1-bitmap-page-size',
    'type1-misaligned',
    'type1-not-tracking',
    'type1-bisects-mapping',
    about('data', 'user-buffer-fault'),
  ),
  when(
    (facts) => ![START, STOP, GET_BITMAP].some((flag) => operationIs(flag)(facts)),
    'type1-dirty-not-one-flag',
  ),
);

/** Only one IOMMU driver is asked, which knows its commands once the type is set. */
const byDriver = (...checks: readonly Check[]): readonly Check[] => inOrder('type1-no-iommu-yet', checks);

export const TYPE1_ORDER: Readonly<Record<string, readonly Check[]>> = {
  'VFIO_GET_API_VERSION on a container': [],
  'VFIO_CHECK_EXTENSION on a container': [],
  'VFIO_SET_IOMMU on a container': inOrder(
    'type1-set-iommu-no-group',
    'type1-set-iommu-again',
    'type1-set-iommu-no-driver',
    'type1-set-iommu-not-a-type',
    // A fresh IOMMU has no mapping whose user address could be invalid.
    TYPE1_ATTACH.filter(({ id }) => id !== 'type1-attach-vaddr-invalid'),
  ),
  'VFIO_IOMMU_GET_INFO on a container': byDriver(...GET_INFO),
  'VFIO_IOMMU_MAP_DMA on a container': byDriver(...MAP_DMA),
  'VFIO_IOMMU_UNMAP_DMA on a container': byDriver(...UNMAP_DMA),
  'VFIO_IOMMU_DIRTY_PAGES on a container': byDriver(...DIRTY_PAGES),
  'another ioctl of a container': inOrder('type1-no-iommu-yet', 'type1-command-unknown'),
};
