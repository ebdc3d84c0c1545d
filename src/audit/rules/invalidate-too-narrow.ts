import { tellMissing } from '../lint/guest-caches.ts';
import type { Rule } from '../lint/rule.ts';
import { text } from '../lint/text.ts';

export const invalidateTooNarrow: Rule = {
  id: 'invalidate-too-narrow',
  severity: 'error',
  title: 'An invalidation does not reach all that changed',
  doc: {
    detects: text(
      'An entry that is cached for a nested page table and that a change of the guest\u2019s table',
      'made untrue, where IOMMU_HWPT_INVALIDATE followed and did not reach it: another range, address',
      'space or device, leaves only where a table was taken away. On the selftest\u2019s mock IOMMU:',
      'an invalidation that names another entry than the one that the test expects gone.',
    ),
    why: text(
      'The rest of the range is still in the caches. A guest that takes back 2 MiB and has only the',
      'first page invalidated leaves 511 pages to the device.',
    ),
    fix: text(
      'Pass on the range of the guest\u2019s command as it is, rounded outwards to what the entry',
      'format can say. When in doubt invalidate the whole address space (npages 2^64-1 for VTD_S1,',
      'TLBI_NH_ASID for SMMUv3). A table that is taken away needs an invalidation without LEAF.',
    ),
    falseAlarms: 'As of `nested-invalidate-missing`.',
    source: text(
      'intel/nested.c intel_nested_cache_invalidate_user; arm-smmu-v3-iommufd.c',
      'arm_vsmmu_cache_invalidate; reference 5, bug 28',
    ),
  },
  seesCaches: true,
  start: (world, report) => tellMissing(world, report, true),
};
