import { CMD, ERRNO } from '../../uapi/index.ts';
import { objectOf } from '../lint/holders.ts';
import { argU32, contextOf, type LintCall } from '../lint/lint-call.ts';
import { bornLink, diedLinks } from '../lint/object-lives.ts';
import { hereLink } from '../lint/refusal.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { label, text } from '../lint/text.ts';

/** Offset of the id in struct iommu_destroy. */
const ID = 4;

export const busyWithoutHolder: Rule = {
  id: 'busy-without-holder',
  severity: 'error',
  title: 'IOMMU_DESTROY is refused with EBUSY, and nothing holds the object',
  doc: {
    detects: 'A recorded EBUSY of IOMMU_DESTROY of an object that, by all calls so far, nothing refers to.',
    why: text(
      'A reference has leaked in the kernel, or another thread was in the middle of a call on the',
      'object (two DESTROY of one id raised the count for each other before 6.5). The object stays',
      'until the context goes.',
    ),
    fix: text(
      'Destroy each object in one thread. When no other thread was there, report the kernel with this',
      'trace.',
    ),
    falseAlarms: 'A trace that lacks the calls of another process on the same context.',
    source: 'main.c iommufd_object_remove; reference 5, bug 17',
  },
  start: (world, report) => ({ after: { [CMD.IOMMU_DESTROY]: (call) => lookAt(world, report, call) } }),
};

function lookAt(world: LintWorld, report: Report, call: LintCall): void {
  const { record } = call;
  if (record.op !== 'ioctl' || !record.replied || record.errno !== ERRNO.EBUSY || call.errno !== 0) return;
  const { kernel, lives } = world;
  const [context, id] = [contextOf(kernel, call), argU32(call, ID)];
  const life = lives.find(context, id);
  if (life === undefined || objectOf(kernel, context, id) !== undefined) return;
  report({
    message: `IOMMU_DESTROY of ${label(life.type, id)} was refused with EBUSY, and nothing refers to it`,
    chain: [bornLink(life), ...diedLinks(life).slice(1), hereLink(world, 'destroyed', 'answers EBUSY')],
  });
}
