import { CMD, IOMMU_HWPT_ALLOC_FLAGS } from '../../uapi/index.ts';
import { about, type Check, type Condition, inOrder, numberIn, when } from './check.ts';
import * as if_ from './conditions.ts';
import { attachesNested, driverIn, driverIs } from './vfio-conditions.ts';

/** The checks of IOMMU drivers, each in its own order: src/model/drivers. */

const DATA: Check = about('data_uptr', 'user-buffer-fault');
const { NEST_PARENT } = IOMMU_HWPT_ALLOC_FLAGS;

/** `attach_dev` for the RID. */
const ATTACH_RID = inOrder(
  when(driverIs('mock'), 'domain-incompatible', when(if_.hasViommu, 'nested-without-vdevice')),
  when(driverIs('amd'), 'amd-domain-incompatible'),
  when(
    driverIs('smmuv3'),
    'smmuv3-other-instance',
    'smmuv3-substreams-in-use',
    when(attachesNested, 'nested-without-vdevice'),
    'smmuv3-domain-incompatible',
  ),
  when(driverIs('riscv'), 'riscv-mode-unsupported'),
);

/** `set_dev_pasid`, after the core has looked at the number. */
const ATTACH_PASID = inOrder(
  when(driverIs('riscv'), 'pasid-unsupported'),
  when(if_.not(driverIs('riscv')), 'pasid-too-large'),
  when(driverIs('mock'), 'mock-pasid-fails'),
  when(driverIs('vtd'), 'vtd-pasid-unsupported'),
  when(driverIs('smmuv3'), 'smmuv3-pasid-needs-stage-1'),
);

/** What the driver of the device says when it changes its page table. */
export const DRIVER_ATTACH: readonly Check[] = inOrder(
  'page-table-of-other-driver',
  when(if_.not(if_.byPasid), ATTACH_RID),
  when(if_.byPasid, ATTACH_PASID),
  when(
    driverIs('vtd'),
    'vtd-domain-incompatible',
    'no-page-requests',
    when(attachesNested, 'vtd-nested-address-width', 'vtd-nested-supervisor'),
  ),
);

/** `domain_alloc_paging_flags`. */
export const DRIVER_PAGING: readonly Check[] = inOrder(
  when(
    driverIs('mock'),
    'driver-flags-unsupported',
    when(if_.pagingDataGiven, 'paging-data-type', 'nested-data-length', DATA, 'mock-table-type'),
  ),
  when(driverIs('vtd'), 'vtd-flags-unsupported'),
  when(driverIs('amd'), 'amd-flags-unsupported'),
  when(driverIs('smmuv3'), 'smmuv3-flags-unsupported'),
);

/** `domain_alloc_nested`, of the driver or of its vIOMMU. */
export const DRIVER_NESTED: readonly Check[] = inOrder(
  when(driverIs('mock'), 'nested-data-type'),
  when(driverIs('vtd'), 'vtd-nesting-unsupported', 'vtd-parent-not-second-stage'),
  when(driverIs('smmuv3'), 'smmuv3-nested-flags', 'driver-data-type'),
  'nested-data-length',
  DATA,
  when(driverIs('smmuv3'), 'smmuv3-bad-ste'),
);

/** `cache_invalidate_user` of a nested page table. */
export const INVALIDATE_NESTED: readonly Check[] = inOrder(
  when(driverIs('smmuv3', 'amd', 'riscv'), 'invalidate-unsupported'),
  when(
    driverIs('mock', 'vtd'),
    'invalidate-type-unknown',
    'invalidate-entry-length',
    DATA,
    when(driverIs('mock'), 'invalidate-entry-flags', 'invalidate-entry-id'),
    when(driverIs('vtd'), 'vtd-invalidate-flags', 'vtd-invalidate-range'),
  ),
);

/** `cache_invalidate` of a vIOMMU. */
export const INVALIDATE_VIOMMU: readonly Check[] = inOrder(
  when(driverIs('vtd', 'amd', 'riscv'), 'invalidate-unsupported'),
  when(
    driverIs('mock', 'smmuv3'),
    'viommu-invalidate-array',
    DATA,
    'viommu-invalidate-entry-tail',
    when(
      driverIs('mock'),
      'viommu-invalidate-entry-flags',
      'viommu-invalidate-entry-cache',
      'viommu-invalidate-entry-device',
    ),
    when(driverIs('smmuv3'), 'smmuv3-command-not-allowed', 'smmuv3-stream-unknown'),
  ),
);

/** Page tables of real IOMMUs hold no mapping without a permission; the mock one since its generic table. */
export const newTableNeedsPermission: Condition = (facts) =>
  driverIn(facts) !== 'mock' || if_.hasGenericTable(facts);

/** The new page table is a nest parent of VT-d. */
export const isReadOnlyParent: Condition = (facts) =>
  facts.call.op === 'ioctl' &&
  facts.call.cmd === CMD.IOMMU_HWPT_ALLOC &&
  driverIn(facts) === 'vtd' &&
  (numberIn(facts, 'flags') & NEST_PARENT) !== 0;
