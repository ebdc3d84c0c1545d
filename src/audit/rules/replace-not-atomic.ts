import { attachedLink, detachedLinks } from '../lint/attachments.ts';
import { hereLink } from '../lint/refusal.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { ioasOfTable, spaceOfTable } from '../lint/tables.ts';
import { count, slotName, text } from '../lint/text.ts';

/** What a detach left behind. */
interface Gap {
  readonly seq: number;
  readonly hwpt: number;
  readonly ioas: number;
  readonly areas: number;
}

export const replaceNotAtomic: Rule = {
  id: 'replace-not-atomic',
  severity: 'note',
  title: 'A device is moved by detach and attach, with nothing in between',
  doc: {
    detects: text(
      'A device, bound all the time, that is detached from an IOAS with areas and attached again',
      'while that IOAS still lives: two calls where a second ATTACH would have replaced the page',
      'table at once.',
    ),
    why: text(
      'Between the two calls DMA of the device is blocked: requests in flight fault, and a device',
      'that does not stand that (most do not) stops. ATTACH of an attached device replaces without',
      'such a gap, and leaves the old table in place when the new one is refused.',
    ),
    fix: 'Call VFIO_DEVICE_ATTACH_IOMMUFD_PT with the new page table on the device while it is attached.',
    falseAlarms: text(
      'A device that is quiet at that moment (reset, or not started) loses nothing; the trace does',
      'not show it.',
    ),
    source: 'iommufd.c of vfio vfio_iommufd_physical_attach_ioas; device.c iommufd_device_replace',
  },
  start(world, report) {
    const gaps = new Map<string, Gap>();
    const { kernel, call } = world;
    return {
      effects: {
        deviceDetached(context, device, hwpt, pasid) {
          const areas = spaceOfTable(kernel, context, hwpt)?.areas.count ?? 0;
          const ioas = ioasOfTable(kernel, context, hwpt)?.id ?? 0;
          if (areas > 0) gaps.set(keyOf(context, device, pasid), { seq: call.seq, hwpt, ioas, areas });
        },
        deviceAttached: (context, device, hwpt, pasid) =>
          tellGap(world, report, gaps, context, device, hwpt, pasid),
        objectDestroyed(context, type, id) {
          if (type !== 'device') return;
          for (const key of [...gaps.keys()]) if (key.startsWith(`${context} ${id} `)) gaps.delete(key);
        },
      },
    };
  },
};

function keyOf(context: number, device: number, pasid: number): string {
  return `${context} ${device} ${pasid}`;
}

function tellGap(
  world: LintWorld,
  report: Report,
  gaps: Map<string, Gap>,
  context: number,
  device: number,
  hwpt: number,
  pasid: number,
): void {
  const { kernel, call, attachments } = world;
  const key = keyOf(context, device, pasid);
  const gap = gaps.get(key);
  if (gap === undefined) return;
  gaps.delete(key);
  const held = attachments.find(context, device, pasid);
  const ioas = kernel.state.contexts[context]?.objects[gap.ioas];
  const before = held?.before;
  if (ioas?.type !== 'ioas' || before == null || gap.seq === call.seq) return;
  // Another member of the group may have kept the table in place.
  report({
    message: text(
      `device ${device}, ${slotName(pasid)}, had no page table from call ${gap.seq} to ${call.seq},`,
      `on its way from HWPT ${gap.hwpt} (${count(gap.areas, 'area')}) to HWPT ${hwpt}`,
    ),
    chain: [
      attachedLink(before),
      ...detachedLinks(before),
      hereLink(world, 'attached again', `puts device ${device} on HWPT ${hwpt}`),
    ],
  });
}
