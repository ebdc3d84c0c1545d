import { faultLinks } from '../lint/fault-book.ts';
import { faultQueueOf } from '../lint/fault-records.ts';
import type { LintCall } from '../lint/lint-call.ts';
import { hereLink } from '../lint/refusal.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { count, label, text } from '../lint/text.ts';

const RESPONSE_BYTES = 8;

export const faultAnswerLost: Rule = {
  id: 'fault-answer-lost',
  severity: 'error',
  title: 'A write of responses reports an error, though some were taken',
  doc: {
    detects: text(
      'A write of several responses to a fault queue that returned an error, although the first of',
      'them were taken: a later one was bad.',
    ),
    why: text(
      'The program takes all of them for not answered and answers again. By then the cookies may',
      'belong to other requests.',
    ),
    fix: text(
      'Write one response at a time, or use a kernel from 6.12.91 on, which returns the bytes that',
      'were taken.',
    ),
    falseAlarms: 'None are known.',
    source: 'fault.c iommufd_fault_fops_write; reference 5, bug 8',
  },
  start: (world, report) => ({ ops: { write: (call) => lookAt(world, report, call) } }),
};

function lookAt(world: LintWorld, report: Report, { record }: LintCall): void {
  const { reply } = world.kernel;
  const queue = faultQueueOf(world.kernel, record);
  if (queue === null || record.op !== 'write' || !record.replied || record.errno === 0) return;
  if (!reply.modelled || reply.errno !== 0 || reply.ret < RESPONSE_BYTES) return;
  const taken = Math.floor(reply.ret / RESPONSE_BYTES);
  const { arg } = record;
  const cookie = arg instanceof Uint8Array ? new DataView(arg.buffer, arg.byteOffset).getUint32(0, true) : 0;
  const story = world.faults.findCookie(queue.context, queue.id, cookie);
  report({
    message: text(
      `the write to ${label('fault', queue.id)} failed, and ${count(taken, 'response')} of it (cookie`,
      `${cookie} first) had been taken`,
    ),
    chain: [
      ...(story === undefined ? [] : faultLinks(story)),
      hereLink(world, 'written', 'answers, and returns an error'),
    ],
  });
}
