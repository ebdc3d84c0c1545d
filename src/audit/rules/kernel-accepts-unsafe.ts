import { callName } from '../../../replay/index.ts';
import {
  CMD,
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_GET_DIRTY_BITMAP,
  IOMMU_HWPT_INVALIDATE,
  offsetsOf,
  VFIO_IOMMU_MAP_DMA,
} from '../../uapi/index.ts';
import { argU32, argU64, type LintCall } from '../lint/lint-call.ts';
import { hereLink } from '../lint/refusal.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { text } from '../lint/text.ts';

const HWPT = offsetsOf(IOMMU_HWPT_ALLOC);
const DIRTY = offsetsOf(IOMMU_HWPT_GET_DIRTY_BITMAP);
const INVALIDATE = offsetsOf(IOMMU_HWPT_INVALIDATE);
const MAP_DMA = offsetsOf(VFIO_IOMMU_MAP_DMA);
const NEST_PARENT = 1;
const FAULT_ID_VALID = 4;
/** READ and WRITE of VFIO_IOMMU_MAP_DMA. */
const ANY_ACCESS = 3;
/** Entries that a kernel with the bound takes at once. */
const MOST_ENTRIES = 2 ** 19;
/** A bitmap of one bit a page; larger pages than this make no sense. */
const LARGEST_PAGE = 2n ** 40n;

/** Calls that fixed kernels refuse, by reason of the refusal, and what became of those that did not. */
const FIXED: Readonly<Record<string, string>> = {
  'replace-not-attached':
    'a device that is not attached was replaced, which moves the references of another (55c85fa7579d)',
  'access-pins-dmabuf': 'pages of a dma-buf were pinned, which have no struct page (5f3fc0ad9a41)',
  'dirty-range-empty': 'a dirty bitmap of no bytes was read: the size wraps around (6.12.117)',
  'nest-parent-with-faults': 'a nest parent has a fault queue, and gets the faults of its guests (6.12.31)',
};

export const kernelAcceptsUnsafe: Rule = {
  id: 'kernel-accepts-unsafe',
  severity: 'error',
  title: 'A call that a fixed kernel refuses was accepted',
  doc: {
    detects: text(
      'A recorded success where the model refuses for a check that came with a fix (replace of a',
      'device that is not attached, pins of a dma-buf, an empty dirty bitmap, a nest parent with',
      'faults); and arguments that were dangerous for kernels without the check, when they got',
      'through: an empty or wrapping dirty bitmap or a page size beyond its range, more than 2^19',
      'invalidation entries, a nest parent with a fault queue, VFIO_IOMMU_MAP_DMA without READ and',
      'WRITE.',
    ),
    why: text(
      'Each was a bug with consequences: references moved to the wrong device, a division by zero or',
      'a bitmap written out of bounds, a soft lockup, faults of a guest that go to the parent.',
      'MAP_DMA with no access reaches a WARN in the generic page table of 7.x (found while this',
      'project was written), which stops a machine that runs with panic_on_warn.',
    ),
    fix: 'Do not make such calls; use a kernel with the fix that is named.',
    falseAlarms: 'A kernel that has come to allow the call on purpose.',
    source: 'reference 5, bugs 12, 22, 23, 25, 26 and 34; reference 10',
  },
  start: (world, report) => ({
    refused: Object.fromEntries(
      Object.entries(FIXED).map(([id, says]) => [
        id,
        (call: LintCall) => lookAtAccepted(world, report, call, says),
      ]),
    ),
    after: {
      [CMD.IOMMU_HWPT_GET_DIRTY_BITMAP]: (call) => tellIf(world, report, call, dirtyHazard(call)),
      [CMD.IOMMU_HWPT_INVALIDATE]: (call) => tellIf(world, report, call, invalidateHazard(call)),
      [CMD.IOMMU_HWPT_ALLOC]: (call) => tellIf(world, report, call, parentHazard(call)),
      [CMD.VFIO_IOMMU_MAP_DMA]: (call) => lookAtMap(world, report, call),
    },
  }),
};

function isAccepted({ record }: LintCall): boolean {
  return record.op === 'ioctl' && record.replied && record.errno === 0;
}

function lookAtAccepted(world: LintWorld, report: Report, call: LintCall, says: string): void {
  if (isAccepted(call)) tell(world, report, says);
}

/** Whether or not the kernel of the model has the check. */
function tellIf(world: LintWorld, report: Report, call: LintCall, says: string | null): void {
  if (says !== null && isAccepted(call)) tell(world, report, says);
}

function tell(world: LintWorld, report: Report, says: string): void {
  const name = callName(world.call.record);
  report({ message: `${name}: ${says}`, chain: [hereLink(world, 'called', name)] });
}

function dirtyHazard(call: LintCall): string | null {
  const [iova, length, page] = [DIRTY.iova, DIRTY.length, DIRTY.page_size].map((at) => argU64(call, at));
  if (length === 0n) return 'a dirty bitmap of no bytes was read: the size wraps around (6.12.117)';
  if (iova! + length! > 2n ** 64n) return 'a dirty bitmap that wraps past 2^64 was read (6.18)';
  return page! > LARGEST_PAGE ? 'a page of a dirty bitmap is larger than 1 TiB (6.18)' : null;
}

function invalidateHazard(call: LintCall): string | null {
  const entries = argU32(call, INVALIDATE.entry_num);
  return entries > MOST_ENTRIES ? `${entries} entries at once lock up a processor (6.12.96)` : null;
}

function parentHazard(call: LintCall): string | null {
  const both = NEST_PARENT | FAULT_ID_VALID;
  return (argU32(call, HWPT.flags) & both) === both ? FIXED['nest-parent-with-faults']! : null;
}

function lookAtMap(world: LintWorld, report: Report, call: LintCall): void {
  const { record, reason } = call;
  if (record.op !== 'ioctl' || (record.kind !== 'iommufd' && record.kind !== 'container')) return;
  if ((argU32(call, MAP_DMA.flags) & ANY_ACCESS) !== 0 || argU64(call, MAP_DMA.size) === 0n) return;
  const isHit = reason?.id === 'map-without-permission' || (call.errno === 0 && call.mapped > 0);
  if (isHit)
    tell(world, report, 'a mapping without READ and WRITE, which reaches a WARN in the page table of 7.x');
}
