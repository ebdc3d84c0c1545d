import { attachedLink } from '../lint/attachments.ts';
import { boundLinks } from '../lint/bound.ts';
import { hereLink } from '../lint/refusal.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { listed, text } from '../lint/text.ts';

/** A bound device that was not attached while another of its group was. */
interface Partial {
  readonly context: number;
  readonly device: number;
  readonly group: number;
  /** The member that moved the group. */
  sibling: number;
  sinceSeq: number | null;
  wasAttached: boolean;
}

export const groupPartialAttach: Rule = {
  id: 'group-partial-attach',
  severity: 'warning',
  title: 'A device of a group is bound and never attached, while the rest of its group is',
  doc: {
    detects: text(
      'A bound device that is never attached from its bind to its unbind (or the end of the trace),',
      'though another device of its IOMMU group was attached in that time.',
    ),
    why: text(
      'The first attach moves the whole group: the device does DMA through the page table of the',
      'other one from then on, whatever its own state says. Its reserved ranges are not kept free,',
      'because only its own attach adds them.',
    ),
    fix: text(
      'Attach every device of the group that is bound, to the same IOAS or page table; do not bind',
      'what is not used.',
    ),
    falseAlarms: 'A device that is bound only so that its group is complete and that never does DMA.',
    source: 'device.c iommufd_hw_pagetable_attach (first device attaches the group); reference 3.5',
  },
  start(world, report) {
    const bound = new Map<string, Partial>();
    const { kernel, call } = world;
    return {
      effects: {
        objectCreated(context, type, id) {
          if (type !== 'device') return;
          const object = kernel.state.contexts[context]?.objects[id];
          if (object?.type !== 'device' || object.physical < 0) return;
          const sibling = kernel.state.contexts[context]?.groups[object.group]?.slots[0]?.devices[0];
          bound.set(`${context} ${id}`, {
            context,
            device: id,
            group: object.group,
            sibling: sibling ?? 0,
            sinceSeq: sibling === undefined ? null : call.seq,
            wasAttached: false,
          });
        },
        deviceAttached(context, device, _, pasid) {
          const own = bound.get(`${context} ${device}`);
          if (own === undefined || pasid !== 0) return;
          own.wasAttached = true;
          for (const other of bound.values()) {
            if (other.context !== context || other.group !== own.group || other.sinceSeq !== null) continue;
            other.sibling = device;
            other.sinceSeq = call.seq;
          }
        },
        objectDestroyed(context, type, id) {
          const key = `${context} ${id}`;
          const own = type === 'device' ? bound.get(key) : undefined;
          if (own === undefined) return;
          bound.delete(key);
          tellPartial(world, report, own, true);
        },
      },
      finish() {
        for (const own of bound.values()) tellPartial(world, report, own, false);
      },
    };
  },
};

function tellPartial(world: LintWorld, report: Report, own: Partial, isUnbound: boolean): void {
  const { device, context, group, sibling, sinceSeq, wasAttached } = own;
  if (wasAttached || sinceSeq === null) return;
  const attachment = world.attachments.find(context, sibling, 0);
  const until = isUnbound ? `until call ${world.call.seq} unbound it` : 'to the end of the trace';
  report({
    seq: sinceSeq,
    message: text(
      `device ${device} of group ${group} was never attached ${until}, while`,
      `${listed([`device ${sibling}`])} attached the whole group`,
    ),
    chain: [
      ...boundLinks(world, context, device),
      ...boundLinks(world, context, sibling),
      ...(attachment === undefined ? [] : [attachedLink(attachment)]),
      ...(isUnbound ? [hereLink(world, 'unbound', `unbinds device ${device}`)] : []),
    ],
  });
}
