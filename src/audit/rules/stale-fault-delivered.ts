import { attachedLink, detachedLinks } from '../lint/attachments.ts';
import { faultLinks } from '../lint/fault-book.ts';
import { faultQueueOf, faultRecords } from '../lint/fault-records.ts';
import { objectOf } from '../lint/holders.ts';
import type { LintCall } from '../lint/lint-call.ts';
import { hereLink } from '../lint/refusal.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { label, slotName, text } from '../lint/text.ts';

export const staleFaultDelivered: Rule = {
  id: 'stale-fault-delivered',
  severity: 'error',
  title: 'A page request of an attachment that has ended is delivered or answered',
  doc: {
    detects: text(
      'A read of a fault queue that returns a record of a device (and PASID) that is not attached to',
      'a page table of that queue any more, and a write whose response is taken although the kernel',
      'must have answered that request itself at the detach.',
    ),
    why: text(
      'A detach or replace answers the requests of the old attachment. One that is still delivered',
      'stands on lists that the core has freed (CVE-2026-74520), or goes to the wrong user; its',
      'answer resumes a transaction that no longer exists.',
    ),
    fix: text(
      'A bug of the kernel: use one with the fixes of CVE-2026-74520 (6.12.114, 7.1.8) and',
      'ba5c0f28a26e (6.12.105). In the program, read the queue empty and answer before a detach or',
      'replace.',
    ),
    falseAlarms: 'None are known: what is attached follows from the calls alone.',
    source: 'fault.c iommufd_auto_response_faults; reference 5, bugs 2, 3 and 14',
  },
  start: (world, report) => ({
    ops: {
      read: (call) => lookAtRead(world, report, call),
      write: (call) => lookAtWrite(world, report, call),
    },
  }),
};

function lookAtRead(world: LintWorld, report: Report, call: LintCall): void {
  const queue = faultQueueOf(world.kernel, call.record);
  if (queue === null) return;
  const { context, id } = queue;
  for (const { device, pasid, cookie } of faultRecords(call.record)) {
    // A PASID that nobody attached is translated as the device itself is.
    const held = world.attachments.find(context, device, pasid) ?? world.attachments.find(context, device, 0);
    const hwpt =
      held === undefined || held.endSeq !== null ? undefined : objectOf(world.kernel, context, held.hwpt);
    const isHere = (hwpt?.type === 'hwpt-paging' || hwpt?.type === 'hwpt-nested') && hwpt.fault === id;
    if (isHere || held === undefined) continue;
    const before = held.before;
    report({
      message: text(
        `${label('fault', id)} delivers a request of device ${device}, ${slotName(pasid)}, which is`,
        'not attached to a page table of this queue any more',
      ),
      chain: [
        ...(before === null ? [] : [attachedLink(before)]),
        attachedLink(held),
        ...detachedLinks(held),
        hereLink(world, 'delivered', `a read returns it as cookie ${cookie}`),
      ],
    });
    return;
  }
}

/** The recorded write took a response that the model, which has dropped the request, refuses. */
function lookAtWrite(world: LintWorld, report: Report, { record }: LintCall): void {
  const queue = faultQueueOf(world.kernel, record);
  const { reply } = world.kernel;
  if (queue === null || record.op !== 'write' || !(record.arg instanceof Uint8Array)) return;
  const done = reply.errno === 0 ? reply.ret : 0;
  if (!record.replied || record.ret <= done || done + 8 > record.arg.length) return;
  const cookie = new DataView(record.arg.buffer, record.arg.byteOffset + done, 4).getUint32(0, true);
  const story = world.faults.findCookie(queue.context, queue.id, cookie);
  if (story === undefined || !story.isDropped) return;
  report({
    message: text(
      `${label('fault', queue.id)} takes the response to cookie ${cookie}, which call ${story.endSeq}`,
      'has made void',
    ),
    chain: [...faultLinks(story), hereLink(world, 'answered', `a write answers cookie ${cookie}`)],
  });
}
