import type { LintCall } from '../lint/lint-call.ts';
import { bornLink } from '../lint/object-lives.ts';
import { hereLink } from '../lint/refusal.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { hex, label, text } from '../lint/text.ts';

const HEADER_BYTES = 8;
const LOST = 1;
/** Events by type of the vEVENTQ: SMMUv3 (StreamID in the upper half of the first word), selftest. */
const EVENTS: Readonly<Record<number, { readonly bytes: number; readonly idAt: number }>> = {
  1: { bytes: 32, idAt: 4 },
  3203383023: { bytes: 4, idAt: 0 },
};

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
  const shape = EVENTS[queue.eventType];
  if (viommu?.type !== 'viommu' || shape === undefined) return;
  const known = new Set(
    Object.values(viommu.vdevices).flatMap((id) => {
      const vdevice = context.objects[id];
      return vdevice?.type === 'vdevice' ? [vdevice.virtPage * 4096 + vdevice.virtOffset] : [];
    }),
  );
  const stray = virtualIds(record.out, shape).find((id) => !known.has(id));
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

function virtualIds(bytes: Uint8Array, shape: { readonly bytes: number; readonly idAt: number }): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const ids: number[] = [];
  for (let at = 0; at + HEADER_BYTES + shape.bytes <= bytes.length; at += HEADER_BYTES + shape.bytes) {
    if ((view.getUint32(at, true) & LOST) !== 0) break;
    ids.push(view.getUint32(at + HEADER_BYTES + shape.idAt, true));
  }
  return ids;
}
