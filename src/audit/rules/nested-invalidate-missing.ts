import { tellMissing } from '../lint/guest-caches.ts';
import type { Rule } from '../lint/rule.ts';
import { text } from '../lint/text.ts';

export const nestedInvalidateMissing: Rule = {
  id: 'nested-invalidate-missing',
  severity: 'error',
  title: 'A guest\u2019s page table changed, and nobody invalidated',
  doc: {
    detects: text(
      'An entry that is cached for a nested page table and that a change of the guest\u2019s table',
      'made untrue, with no IOMMU_HWPT_INVALIDATE for that page table (or its vIOMMU) from the change',
      'to the next use of the entry or the end of the trace. On the selftest\u2019s mock IOMMU: a',
      'fake IOTLB or device cache entry that is still there when the test expects it gone, and no',
      'invalidation at all.',
    ),
    why: text(
      'The kernel does not see what a guest writes into its own tables. Unless the VMM passes each',
      'invalidation of the guest on, devices go on using translations that the guest has taken back.',
    ),
    fix: text(
      'Pass on every invalidation command of the guest\u2019s driver, in order, before its completion',
      'is told to the guest: HWPT_INVALIDATE with VTD_S1 entries on the nested page table, or with',
      'the commands on the vIOMMU (SMMUv3).',
    ),
    falseAlarms: text(
      'A guest that changes a table whose old entries it never uses again, and resets the device',
      'instead. A trace that ends right after the change.',
    ),
    source: 'hw_pagetable.c iommufd_hwpt_invalidate; reference 1.6, 2.14 and 5, bug 27',
  },
  seesCaches: true,
  start: (world, report) => tellMissing(world, report, false),
};
