import { about, type Check, inOrder, when } from './check.ts';
import * as if_ from './conditions.ts';
import { DRIVER_NESTED, DRIVER_PAGING, INVALIDATE_NESTED, INVALIDATE_VIOMMU } from './drivers.ts';
import {
  ADD_DOMAIN,
  ANSWER,
  CHARGE,
  DISPATCHER,
  PIN,
  PIN_BY_ACCESS,
  PIN_USER,
  PLACE,
  UNMAP_AREAS,
  USER_PAGES,
} from './shared.ts';
import { driverIs } from './vfio-conditions.ts';

/** iommufd's commands: every check that the model makes, in the kernel's order. */

/** Where the new page table goes decides who checks: hw_pagetable.c iommufd_hwpt_alloc. */
const HWPT_ALLOC = inOrder(
  'reserved-field-set',
  when(if_.not(if_.hasNesting), 'hwpt-flags-unsupported'),
  'driver-data-type-and-length-disagree',
  'device-not-found',
  when(if_.not(if_.hasNesting), about('pt_id', 'ioas-not-found')),
  when(if_.hasNesting, 'hwpt-parent-not-found', 'hwpt-parent-of-wrong-type'),
  when(
    if_.names('pt_id', 'ioas'),
    when(driverIs('riscv'), 'driver-without-flags'),
    'hwpt-flags-unsupported',
    'dirty-tracking-not-capable',
    'nest-parent-with-faults',
    DRIVER_PAGING,
    ADD_DOMAIN,
  ),
  when(if_.names('pt_id', 'viommu'), 'viommu-of-other-iommu'),
  when(if_.names('pt_id', 'hwpt-paging', 'viommu'), 'nested-flags-or-no-data', 'driver-without-nesting'),
  when(if_.names('pt_id', 'hwpt-paging'), 'not-a-nest-parent'),
  when(if_.names('pt_id', 'hwpt-paging', 'viommu'), DRIVER_NESTED),
  when(if_.faultQueueGiven, 'fault-queue-not-found'),
  ANSWER,
);

const HWPT_INVALIDATE = inOrder(
  'reserved-field-set',
  'invalidate-array-malformed',
  'hwpt-not-found',
  when(if_.hasViommu, 'invalidate-target-of-wrong-type'),
  when(if_.names('hwpt_id', 'hwpt-nested'), INVALIDATE_NESTED),
  when(if_.names('hwpt_id', 'viommu'), INVALIDATE_VIOMMU),
  ANSWER,
);

const OPTION = inOrder(
  'reserved-field-set',
  'option-unknown',
  when(if_.rlimitMode, 'option-object-set'),
  when(if_.hugePages, 'ioas-not-found'),
  'option-operation-unknown',
  when(if_.optionIsSet, when(if_.rlimitMode, 'option-not-permitted', 'context-not-empty'), 'option-value'),
  when(if_.optionIsSet, when(if_.hugePages, when(if_.valueIsZero, 'large-pages-in-use', 'areas-misaligned'))),
  ANSWER,
);

const IOAS_COPY = inOrder(
  'unknown-flags',
  'address-or-length-too-high',
  'no-permission-asked',
  about('src_ioas_id', 'ioas-not-found'),
  'length-zero',
  'iova-range-wraps',
  'copy-source-not-mapped',
  about('dst_ioas_id', 'ioas-not-found'),
  PLACE,
  'pages-mapped-read-only',
  'user-offset-misaligned',
  when(if_.filled('dst_ioas_id'), PIN),
  when(if_.holdsReadOnlyRefuser('dst_ioas_id'), 'nest-parent-read-only'),
  when(if_.filled('dst_ioas_id'), CHARGE),
  ANSWER,
);

const IOAS_MAP_FILE = inOrder(
  'unknown-flags',
  'address-or-length-too-high',
  'no-permission-asked',
  'ioas-not-found',
  'length-zero',
  'file-range-wraps',
  'map-file-bad-descriptor',
  when(if_.mapsDmabuf, 'dmabuf-range-outside'),
  'length-too-long',
  when(if_.mapsDmabuf, 'dmabuf-revoked'),
  PLACE,
  'user-offset-misaligned',
  when(if_.filled('ioas_id'), 'file-not-pinnable'),
  when(if_.holdsReadOnlyRefuser('ioas_id'), 'nest-parent-read-only'),
  when(if_.filled('ioas_id'), CHARGE),
  ANSWER,
);

const HW_QUEUE_ALLOC = inOrder(
  'unknown-flags',
  'hw-queue-length-zero',
  'hw-queue-range-wraps',
  'viommu-not-found',
  'hw-queue-type-unsupported',
  'hw-queue-length-too-long',
  'hw-queue-page-array',
  'areas-misaligned',
  // The queue's own access object is attached, and its length is known not to be zero.
  PIN_BY_ACCESS.filter(({ id }) => id !== 'access-length-zero' && id !== 'access-not-attached'),
  'hw-queue-not-one-run',
  'hw-queue-index-too-high',
  'hw-queue-index-taken',
  'hw-queue-previous-missing',
  ANSWER,
);

/** By the name of the command; the dispatcher's checks come before. */
const OWN: Readonly<Record<string, readonly Check[]>> = {
  IOMMU_DESTROY: inOrder('object-not-found', 'object-in-use'),
  IOMMU_IOAS_ALLOC: inOrder('unknown-flags', ANSWER),
  IOMMU_IOAS_ALLOW_IOVAS: inOrder(
    'reserved-field-set',
    'ioas-not-found',
    about('allowed_iovas', 'user-buffer-fault'),
    'allowed-range-not-ascending',
    'allowed-ranges-overlap',
    'allowed-range-reserved',
  ),
  IOMMU_IOAS_COPY: IOAS_COPY,
  IOMMU_IOAS_IOVA_RANGES: inOrder(
    'reserved-field-set',
    'ioas-not-found',
    about('allowed_iovas', 'user-buffer-fault'),
    ANSWER,
    'iova-ranges-buffer-too-short',
  ),
  IOMMU_IOAS_MAP: inOrder(
    'unknown-flags',
    'reserved-field-set',
    'address-or-length-too-high',
    'no-permission-asked',
    'ioas-not-found',
    USER_PAGES,
    PLACE,
    'user-offset-misaligned',
    when(if_.filled('ioas_id'), PIN_USER),
    when(if_.holdsReadOnlyRefuser('ioas_id'), 'nest-parent-read-only'),
    when(if_.filled('ioas_id'), CHARGE),
    ANSWER,
  ),
  IOMMU_IOAS_UNMAP: inOrder(
    'ioas-not-found',
    when(if_.not(if_.everything), 'address-or-length-too-high', 'length-zero', 'iova-range-wraps'),
    UNMAP_AREAS,
    when(if_.not(if_.everything), 'nothing-mapped'),
    ANSWER,
  ),
  IOMMU_OPTION: OPTION,
  IOMMU_VFIO_IOAS: inOrder(
    'reserved-field-set',
    'vfio-ioas-operation-unknown',
    when(if_.vfioIoasGet, 'no-compat-ioas', ANSWER),
    when(if_.vfioIoasSet, 'ioas-not-found'),
  ),
  IOMMU_HWPT_ALLOC: HWPT_ALLOC,
  IOMMU_GET_HW_INFO: inOrder(
    'unknown-flags',
    'reserved-field-set',
    'device-not-found',
    when(if_.not(driverIs('riscv')), 'hw-info-type-unsupported'),
    about('data_uptr', 'user-buffer-fault'),
    ANSWER,
  ),
  IOMMU_HWPT_SET_DIRTY_TRACKING: inOrder('unknown-flags', 'hwpt-not-found', 'hwpt-without-dirty-tracking'),
  IOMMU_HWPT_GET_DIRTY_BITMAP: inOrder(
    'unknown-flags',
    'reserved-field-set',
    'hwpt-not-found',
    when(if_.refusesEmptyBitmap, 'dirty-range-empty'),
    'dirty-range-wraps',
    'dirty-range-misaligned',
    'hwpt-without-dirty-tracking',
  ),
  IOMMU_HWPT_INVALIDATE: HWPT_INVALIDATE,
  IOMMU_FAULT_QUEUE_ALLOC: inOrder('unknown-flags', ANSWER),
  IOMMU_IOAS_MAP_FILE: IOAS_MAP_FILE,
  IOMMU_VIOMMU_ALLOC: inOrder(
    'unknown-flags',
    'device-not-found',
    'viommu-type-unsupported',
    'hwpt-not-found',
    'viommu-needs-nest-parent',
    'viommu-parent-of-other-iommu',
    // Only the mock driver takes data; the others do not look at it.
    when(
      driverIs('mock'),
      when(if_.dataGiven, 'viommu-data-length', about('data_uptr', 'user-buffer-fault')),
    ),
    ANSWER,
  ),
  IOMMU_VDEVICE_ALLOC: inOrder(
    'viommu-not-found',
    'device-not-found',
    'viommu-of-other-iommu',
    'device-has-vdevice',
    'virtual-id-taken',
    ANSWER,
  ),
  IOMMU_IOAS_CHANGE_PROCESS: inOrder(
    'reserved-field-set',
    'change-process-needs-files',
    CHARGE,
    'change-process-owner-gone',
  ),
  IOMMU_VEVENTQ_ALLOC: inOrder(
    'unknown-flags',
    'reserved-field-set',
    'veventq-depth',
    'viommu-not-found',
    'veventq-type-taken',
    ANSWER,
  ),
  IOMMU_HW_QUEUE_ALLOC: HW_QUEUE_ALLOC,
  IOMMU_IOAS_NOIOMMU_GET_PA: inOrder('noiommu-not-configured'),
};

/** The commands of iommufd but for the selftest's. */
export const IOMMUFD_ORDER: Readonly<Record<string, readonly Check[]>> = Object.fromEntries(
  Object.entries(OWN).map(([name, checks]) => [name, inOrder(DISPATCHER, checks)]),
);
