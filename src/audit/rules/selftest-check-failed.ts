import { firstAreaIn, NO_AREA, spaceOf } from '../../model/index.ts';
import {
  CMD,
  errnoName,
  IOMMU_TEST_CMD,
  IOMMU_TEST_OP,
  offsetsOf,
  unionOffsetsOf,
} from '../../uapi/index.ts';
import { mappedLinks } from '../lint/area-book.ts';
import type { ChainLink } from '../lint/finding.ts';
import { argOffset, argPage, argU32, contextOf, type LintCall } from '../lint/lint-call.ts';
import { hereLink } from '../lint/refusal.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { ioasOfTable } from '../lint/tables.ts';
import { text } from '../lint/text.ts';

const TEST = offsetsOf(IOMMU_TEST_CMD);
const MAP = unionOffsetsOf(IOMMU_TEST_CMD, IOMMU_TEST_OP.MD_CHECK_MAP);

/** Checks of what the kernel did, and what it means when they fail. */
const CHECKS: Readonly<Record<number, string>> = {
  [IOMMU_TEST_OP.MD_CHECK_MAP]: 'the page table does not hold the pages of the user address',
  [IOMMU_TEST_OP.MD_CHECK_REFS]: 'pages are pinned more or less often than they are used',
  [IOMMU_TEST_OP.PASID_CHECK_HWPT]: 'the PASID is attached to something else',
};
/** What the refusals of the checks say about the question itself. */
const BAD_QUESTIONS: ReadonlySet<string> = new Set(['EFAULT', 'ENOENT', 'EOPNOTSUPP', 'EBADF', 'EBADFD']);

export const selftestCheckFailed: Rule = {
  id: 'selftest-check-failed',
  severity: 'error',
  title: 'The kernel\u2019s own check of its page tables or pins fails',
  doc: {
    detects: text(
      'A selftest operation that compares the state of the kernel with what it should be, and that',
      'says no: MD_CHECK_MAP (the page behind an IOVA), MD_CHECK_REFS (how often a page is pinned),',
      'PASID_CHECK_HWPT.',
    ),
    why: text(
      'A page behind an IOVA that is not the one that was mapped is DMA to memory of somebody else',
      '(batches that carried over, bug 16); a wrong number of pins is a use after free or a leak',
      '(area nodes lost by a split, CVE-2023-52801, bug 15).',
    ),
    fix: text(
      'When the model agrees with the check (`ioasis replay` has no divergence there), the program',
      'asked the wrong question: look at the maps that the chain names. When the model differs, it is',
      'the kernel.',
    ),
    falseAlarms: 'Random runs ask what they like.',
    source: text(
      'selftest.c iommufd_test_md_check_pa, _md_check_refs, _pasid_check_hwpt; reference 5, bugs 15',
      'and 16',
    ),
  },
  start: (world, report) => ({ after: { [CMD.IOMMU_TEST_CMD]: (call) => lookAt(world, report, call) } }),
};

function lookAt(world: LintWorld, report: Report, call: LintCall): void {
  const { record } = call;
  if (record.op !== 'ioctl') return;
  const errno = record.replied ? record.errno : call.errno;
  if (errno === 0) return;
  const op = argU32(call, TEST.op);
  const means = CHECKS[op];
  const name = errnoName(errno) ?? '';
  if (means === undefined || BAD_QUESTIONS.has(name) || isMalformed(call)) return;
  const isModel = call.errno === errno;
  report({
    message: text(
      `a check of the selftest fails with ${name}:`,
      `${means}${isModel ? '' : '; the model says that all is well'}`,
    ),
    chain: [
      ...(op === IOMMU_TEST_OP.MD_CHECK_MAP ? mapLinks(world, call) : []),
      hereLink(world, 'checked', `${means} (${name})`),
    ],
  });
}

/** The question was refused before anything was compared. */
function isMalformed({ reason }: LintCall): boolean {
  return reason?.id === 'check-misaligned' || reason?.id === 'hwpt-not-found';
}

function mapLinks({ kernel, areas }: LintWorld, call: LintCall): ChainLink[] {
  const ioas = ioasOfTable(kernel, contextOf(kernel, call), argU32(call, TEST.id));
  if (ioas === undefined) return [];
  const space = spaceOf(kernel, ioas);
  const [page, offset] = [argPage(call, MAP.iova), argOffset(call, MAP.iova)];
  const slot = firstAreaIn(space.areas, page, offset, page, offset);
  return slot === NO_AREA ? [] : mappedLinks(areas.of(space), slot);
}
