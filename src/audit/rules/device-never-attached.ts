import { bornLink } from '../lint/object-lives.ts';
import { hereLink } from '../lint/refusal.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { label, text } from '../lint/text.ts';

export const deviceNeverAttached: Rule = {
  id: 'device-never-attached',
  severity: 'warning',
  title: 'A device is bound and never attached, though memory is mapped in its context',
  doc: {
    detects: text(
      'A device object that goes (close of the device, end of the context) without having been attached',
      'to anything, neither by its requester id nor by a PASID, while its context mapped memory since',
      'the device was bound.',
    ),
    why: text(
      'A bound device that is attached to nothing is blocked: every DMA faults. The maps were made for',
      'somebody who never sees them.',
    ),
    fix: 'Attach the device to the IOAS or page table that the memory is mapped in, before it is started.',
    falseAlarms: text(
      'A program that binds a device for its registers only, in a context that serves other devices.',
    ),
    source: 'device.c iommufd_device_bind (iommu_device_claim_dma_owner blocks DMA); reference 1.4',
  },
  start(world, report) {
    return {
      effects: {
        objectDestroyed(context, type, id) {
          if (type === 'device') lookAt(world, report, context, id);
        },
      },
      finish() {
        for (const { context, type, id } of world.lives.all())
          if (type === 'device') lookAt(world, report, context, id);
      },
    };
  },
};

function lookAt(world: LintWorld, report: Report, context: number, id: number): void {
  const { attachments, areas, lives } = world;
  const mappedSeq = areas.lastMapped(context);
  const life = lives.find(context, id);
  if (life === undefined || mappedSeq < life.bornSeq || attachments.wasAttached(context, id)) return;
  const name = label('device', id);
  report({
    seq: life.bornSeq,
    message: text(
      `${name} was bound, and went without having been attached to anything: its DMA was blocked all the`,
      `time, while memory was mapped (last in call ${mappedSeq})`,
    ),
    chain: [
      bornLink(life),
      { seq: mappedSeq, role: 'mapped', says: 'maps memory in the same context' },
      hereLink(world, 'closed', `${name} goes, and never was attached`),
    ],
  });
}
