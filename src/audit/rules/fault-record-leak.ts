import { faultRecords } from '../lint/fault-records.ts';
import type { LintCall } from '../lint/lint-call.ts';
import { hereLink } from '../lint/refusal.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { hex, text } from '../lint/text.ts';

export const faultRecordLeak: Rule = {
  id: 'fault-record-leak',
  severity: 'error',
  title: 'A page request carries bytes of kernel memory',
  doc: {
    detects: 'A record of a fault queue whose reserved field is not zero.',
    why: text(
      'The kernel did not clear the record before it filled it: what stands there is old memory of',
      'the kernel.',
    ),
    fix: 'A bug of the kernel before 6.12.14: use one with the fix. Do not log or pass on reserved fields.',
    falseAlarms: 'A later kernel that gives the field a meaning.',
    source: 'fault.c iommufd_compose_fault_message; reference 5, bug 6',
  },
  start: (world, report) => ({ ops: { read: (call) => lookAt(world, report, call) } }),
};

function lookAt(world: LintWorld, report: Report, { record }: LintCall): void {
  if (!('kind' in record) || record.kind !== 'fault') return;
  const bad = faultRecords(record).find(({ reserved }) => reserved !== 0);
  if (bad === undefined) return;
  report({
    message: text(
      `the record of cookie ${bad.cookie} has ${hex(bad.reserved)} in its reserved field, which must`,
      'be zero',
    ),
    chain: [hereLink(world, 'read', 'returns bytes that nobody wrote')],
  });
}
