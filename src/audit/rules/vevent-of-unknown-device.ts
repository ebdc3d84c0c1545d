import type { LintCall } from '../lint/lint-call.ts';
import { bornLink } from '../lint/object-lives.ts';
import { hereLink } from '../lint/refusal.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { hex, label, text } from '../lint/text.ts';
import { readVevents } from '../lint/vevents.ts';

export const veventOfUnknownDevice: Rule = {
  id: 'vevent-of-unknown-device',
  severity: 'error',
  title: 'An event names a virtual device that does not exist',
  doc: {
    detects: text(
      'An event read from a vEVENTQ whose virtual id belongs to no vDEVICE of the vIOMMU: none was',
      'made with it, or IOMMU_VDEVICE_ALLOC has not returned yet.',
    ),
    why: text(
      'The kernel found a vDEVICE that was still being made (before 9be311cfbe61), or that was gone:',
      'the guest is told of a fault of a device that it does not have.',
    ),
    fix: text(
      'A bug of the kernel: use one with the fix. In the program, drop events of ids that it does not',
      'know.',
    ),
    falseAlarms: 'An event that was raised before its vDEVICE was destroyed and read after it.',
    source: 'eventq.c iommufd_viommu_report_event, viommu.c iommufd_vdevice_alloc_ioctl; reference 5, bug 21',
  },
  start: (world, report) => ({ ops: { read: (call) => lookAt(world, report, call) } }),
};

function lookAt(world: LintWorld, report: Report, { record }: LintCall): void {
  if (record.op !== 'read' || record.kind !== 'veventq' || !(record.out instanceof Uint8Array)) return;
  const { kernel, lives } = world;
  const file = kernel.state.files[kernel.state.processes[record.pid]?.descriptors[record.fd] ?? 0];
  const context = kernel.state.contexts[file?.context ?? 0];
  const queue = context?.objects[file?.object ?? 0];
  if (context === undefined || queue?.type !== 'veventq') return;
  const viommu = context.objects[queue.viommu];
  if (viommu?.type !== 'viommu') return;
  const known = new Set(
    Object.values(viommu.vdevices).flatMap((id) => {
      const vdevice = context.objects[id];
      return vdevice?.type === 'vdevice' ? [vdevice.virtPage * 4096 + vdevice.virtOffset] : [];
    }),
  );
  const stray = readVevents(record.out, queue.eventType)?.ids.find((id) => !known.has(id));
  if (stray === undefined) return;
  const life = lives.find(context.id, viommu.id);
  report({
    message: text(
      `an event of ${label('veventq', queue.id)} names virtual device ${hex(stray)}, which`,
      `${label('viommu', viommu.id)} does not have`,
    ),
    chain: [
      ...(life === undefined ? [] : [bornLink(life)]),
      hereLink(world, 'read', `an event of ${hex(stray)}`),
    ],
  });
}
