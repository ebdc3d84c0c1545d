import { faultLinks } from '../lint/fault-book.ts';
import { faultQueueOf, faultRecords } from '../lint/fault-records.ts';
import type { LintCall } from '../lint/lint-call.ts';
import { hereLink } from '../lint/refusal.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { label, text } from '../lint/text.ts';

/** IOMMU_PGFAULT_FLAGS_LAST_PAGE: the last record of its group. */
const LAST_PAGE = 2;

export const faultDeliveredTwice: Rule = {
  id: 'fault-delivered-twice',
  severity: 'error',
  title: 'A group of page requests is delivered twice, or in part',
  doc: {
    detects: text(
      'A read of a fault queue that returns a cookie which an earlier read has returned and nobody',
      'has answered, or that ends within a group (its last record has no LAST_PAGE).',
    ),
    why: text(
      'A group is answered as a whole by one cookie. A user that gets half of it answers for pages',
      'that it has not seen; one that gets it twice answers twice, and the second answer hits another',
      'group.',
    ),
    fix: text(
      'A bug of the kernel before 6.12.101: use one with the fix. Until then read with a buffer that',
      'holds the largest group the device makes.',
    ),
    falseAlarms: 'None are known.',
    source: 'fault.c iommufd_fault_fops_read; reference 5, bug 7',
  },
  start: (world, report) => ({ ops: { read: (call) => lookAt(world, report, call) } }),
};

function lookAt(world: LintWorld, report: Report, { record, seq }: LintCall): void {
  const records = faultRecords(record);
  const queue = records.length === 0 ? null : faultQueueOf(world.kernel, record);
  if (queue === null) return;
  const last = records.at(-1)!;
  const where = label('fault', queue.id);
  if ((last.flags & LAST_PAGE) === 0) {
    report({
      message: text(
        `a read of ${where} ends within group ${last.group} of device ${last.device}: its last record`,
        'has no LAST_PAGE',
      ),
      chain: [hereLink(world, 'read', 'returns half a group')],
    });
  }
  for (const cookie of new Set(records.map((each) => each.cookie))) {
    const story = world.faults.findCookie(queue.context, queue.id, cookie);
    if (story === undefined || story.readSeq === null || story.readSeq >= seq || story.endSeq !== null)
      continue;
    report({
      message: text(
        `a read of ${where} returns cookie ${cookie} again, which call ${story.readSeq} has returned`,
        'and nobody has answered',
      ),
      chain: [...faultLinks(story), hereLink(world, 'read again', `returns cookie ${cookie}`)],
    });
  }
}
