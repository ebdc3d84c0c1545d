import { type FaultStory, faultLinks } from '../lint/fault-book.ts';
import type { Report, Rule } from '../lint/rule.ts';
import { hex, label, text } from '../lint/text.ts';

export const faultUnanswered: Rule = {
  id: 'fault-unanswered',
  severity: 'warning',
  title: 'A page request of a device was never answered',
  doc: {
    detects: text(
      'A group of page requests that nobody answered: the kernel answered INVALID in place of the',
      'user, because the device was detached or moved or the queue went; or it still waits when the',
      'trace ends.',
    ),
    why: text(
      'A device waits for each answer. Without one its transaction hangs, and with INVALID it fails;',
      'a guest sees a lost DMA.',
    ),
    fix: text(
      'Read the queue until it is empty and answer every cookie before the device is detached, moved',
      'to another page table or closed; stop the device first.',
    ),
    falseAlarms: 'A trace that ends in the middle of the work.',
    source: 'fault.c iommufd_auto_response_faults, iommufd_fault_destroy',
  },
  start: (world, report) => {
    const look = (): void => {
      for (const story of world.faults.dropped) tellStory(report, story);
    };
    return {
      ops: { ioctl: look, close: look },
      finish() {
        for (const story of world.faults.waiting()) tellStory(report, story);
      },
    };
  },
};

function tellStory(report: Report, story: FaultStory): void {
  const { queue, device, readSeq, endSeq, group, cookie, reportedSeq } = story;
  const fault = group.faults[0];
  const at =
    fault === undefined ? '' : ` for ${hex(BigInt(fault.addrPage) * 4096n + BigInt(fault.addrOffset))}`;
  const pasid = fault !== undefined && fault.pasid !== 0 ? `, PASID ${fault.pasid}` : '';
  const read = readSeq === null ? 'never read' : `read as cookie ${cookie} and never answered`;
  const end = endSeq === null ? 'it still waits at the end' : `call ${endSeq} made the kernel answer INVALID`;
  report({
    seq: endSeq ?? reportedSeq,
    message: text(
      `a page request of device ${device}${pasid}${at} on ${label('fault', queue)} was ${read}:`,
      `${end}`,
    ),
    chain: faultLinks(story),
  });
}
