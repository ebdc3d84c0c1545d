import { callName } from '../../../replay/index.ts';
import { CMD, IOMMU_TEST_OP } from '../../uapi/index.ts';
import { argU32 } from '../lint/lint-call.ts';
import { explainRefusal, hereLink } from '../lint/refusal.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { listed, text } from '../lint/text.ts';

/** Offset of the operation in struct iommu_test_cmd. */
const OP = 4;

export const attachOrder: Rule = {
  id: 'attach-order',
  severity: 'error',
  title: 'A range was mapped where a device that came later can not have it',
  doc: {
    detects: text(
      'An attach or a new page table that is refused with EADDRINUSE, because an area or an allowed',
      'range lies in a reserved range of the device, outside the aperture of the page table, or is',
      'aligned worse than its pages. The chain has the maps that were too early.',
    ),
    why: text(
      'What an IOAS may map is known only once a device is attached: before that its whole space is',
      'free, and a map over the MSI window or beyond 39 bits succeeds. The attach then fails, and',
      'tells no address.',
    ),
    fix: text(
      'Attach first, ask IOMMU_IOAS_IOVA_RANGES, then map inside what it answers; or name the ranges',
      'that are needed with IOMMU_IOAS_ALLOW_IOVAS, and treat its EADDRINUSE as the answer. Before a',
      'hotplug, check the ranges of the new device against the guest\u2019s memory map.',
    ),
    falseAlarms: 'A program that tries what the kernel does; selftests and random runs do.',
    source: text(
      'io_pagetable.c iopt_table_enforce_dev_resv_regions, iopt_table_add_domain; reference 2.16 and',
      '2.17',
    ),
  },
  start: (world, report) => ({
    refused: {
      'range-in-use': () => tellInTheWay(world, report),
      'areas-misaligned': () => tellInTheWay(world, report),
      'type1-attach-reserved-conflict': () => tellInTheWay(world, report),
      'type1-attach-aperture-conflict': () => tellInTheWay(world, report),
    },
  }),
};

function tellInTheWay(world: LintWorld, report: Report): void {
  const { call } = world;
  // The program says itself what is reserved, or how pages are made: no device is attached.
  if (call.cmd === CMD.IOMMU_OPTION) return;
  if (call.cmd === CMD.IOMMU_TEST_CMD && argU32(call, OP) === IOMMU_TEST_OP.ADD_RESERVED) return;
  const { texts, links, passes } = explainRefusal(world);
  const name = callName(call.record);
  report({
    message: `${name} is refused for what was mapped before it: ${listed(texts, 3) || call.reason?.says}`,
    chain: [...links, hereLink(world, 'attached too late', `${name} is refused`)],
    ...(passes === null ? {} : { fix: `It passes ${passes}. ${attachOrder.doc.fix}` }),
  });
}
