import type { Rule } from '../lint/rule.ts';
import { tellRefused } from '../lint/tell-refused.ts';
import { text } from '../lint/text.ts';

/** Refusals of what a program does in a wrong order, or to the wrong object. */
const REASONS = [
  'attach-target-of-wrong-type',
  'bind-descriptor-no-iommufd',
  'bind-descriptor-not-open',
  'bind-through-group',
  'container-without-iommu',
  'device-already-attached',
  'group-attached-elsewhere',
  'group-without-container',
  'hwpt-parent-of-wrong-type',
  'nested-without-vdevice',
  'not-a-nest-parent',
  'page-table-of-other-driver',
  'replace-not-attached',
  'vfio-device-not-bound',
  'viommu-needs-nest-parent',
] as const;

export const attachRefused: Rule = {
  id: 'attach-refused',
  severity: 'warning',
  title: 'A device or PASID is attached too early, twice, or to the wrong thing',
  doc: {
    detects: text(
      'Calls that are refused because the device is not bound yet, the PASID is attached already, a',
      'replace has nothing to replace, the object is of another type or kind of IOMMU than asked for,',
      'or another user holds the group.',
    ),
    why: text(
      'The device is not where the program believes it is: it has no DMA, or that of another address',
      'space.',
    ),
    fix: text(
      'Bind, then attach; replace instead of attaching again; keep the ids of IOASes, page tables and',
      'devices apart.',
    ),
    falseAlarms: 'Tests that ask for refusals; a probe whether a device can share a page table.',
    source: 'device.c iommufd_device_attach, iommufd_device_change_pt; vfio/device_cdev.c; reference 2',
  },
  start: (world, report) => ({ refused: tellRefused(world, report, REASONS) }),
};
