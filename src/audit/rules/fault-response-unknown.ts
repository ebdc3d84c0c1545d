import { faultLinks } from '../lint/fault-book.ts';
import type { LintCall } from '../lint/lint-call.ts';
import { hereLink } from '../lint/refusal.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { label, text } from '../lint/text.ts';

/** struct iommu_hwpt_page_response: cookie, code. */
const RESPONSE_BYTES = 8;

export const faultResponseUnknown: Rule = {
  id: 'fault-response-unknown',
  severity: 'error',
  title: 'An answer goes to a page request that does not wait for one',
  doc: {
    detects: text(
      'A write to a fault queue of which a response is refused: no delivered request waits under its',
      'cookie, or its code is neither SUCCESS nor INVALID. The chain has the last request with that',
      'cookie, and how it ended.',
    ),
    why: text(
      'Cookies are the lowest free numbers and are used again at once. A second answer hits nothing,',
      'or it answers the request of somebody else. A detach answers for the user, and makes',
      'outstanding cookies void.',
    ),
    fix: text(
      'Answer each cookie once. After a detach or replace, forget the cookies of that device. Take a',
      'short count of write() for responses that were not taken.',
    ),
    falseAlarms: text(
      'A response that crosses with a detach in another thread; it is lost, and nothing else happens.',
    ),
    source: 'fault.c iommufd_fault_fops_write; reference 2.15, surprise 24',
  },
  start: (world, report) => ({
    ops: { write: (call) => lookAt(world, report, call), pwrite: (call) => lookAt(world, report, call) },
  }),
};

function lookAt(world: LintWorld, report: Report, { record, errno }: LintCall): void {
  const { kernel, faults } = world;
  if ((record.op !== 'write' && record.op !== 'pwrite') || !(record.arg instanceof Uint8Array)) return;
  const file = kernel.state.files[kernel.state.processes[record.pid]?.descriptors[record.fd] ?? 0];
  if (file?.kind !== 'fault') return;
  const done = errno === 0 && kernel.reply.modelled ? kernel.reply.ret : 0;
  if (record.arg.length < RESPONSE_BYTES || done + RESPONSE_BYTES > record.arg.length) return;
  const view = new DataView(record.arg.buffer, record.arg.byteOffset, record.arg.length);
  const [cookie, code] = [view.getUint32(done, true), view.getUint32(done + 4, true)];
  const where = label('fault', file.object);
  const last = faults.findCookie(file.context, file.object, cookie);
  if (code > 1) {
    report({
      message: `the response to cookie ${cookie} of ${where} has code ${code}, which is none`,
      chain: [...(last === undefined ? [] : faultLinks(last)), hereLink(world, 'answered', `code ${code}`)],
    });
    return;
  }
  const why =
    last === undefined
      ? 'no request was ever read under it'
      : last.isDropped
        ? `call ${last.endSeq} made the kernel answer it`
        : `call ${last.endSeq ?? last.readSeq} answered it already`;
  report({
    message: `the response to cookie ${cookie} of ${where} answers nothing: ${why}`,
    chain: [
      ...(last === undefined ? [] : faultLinks(last)),
      hereLink(world, 'answered again', `answers cookie ${cookie}`),
    ],
  });
}
