import { callName } from '../../../replay/index.ts';
import { attachedLink } from '../lint/attachments.ts';
import { boundLinks, functionName, openDescriptors, physicalOf } from '../lint/bound.ts';
import { hereLink } from '../lint/refusal.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { listed, text } from '../lint/text.ts';
import { bindTarget } from './bind-twice-two-contexts.ts';

export const deviceKeptBound: Rule = {
  id: 'device-kept-bound',
  severity: 'error',
  title: 'A device is bound again while its old descriptor is still open',
  doc: {
    detects: text(
      'VFIO_DEVICE_BIND_IOMMUFD that is refused with EINVAL because the same context has the device',
      'bound through an older descriptor, or through this one.',
    ),
    why: text(
      'The program gave the device up in its own books and kept its descriptor: the device is still',
      'attached and can still do DMA, and can never be added again. QEMU 10.0.13 does this: a device',
      'that is unplugged after `info mtree -f` was asked for keeps a reference, stays alive, and',
      'adding it again fails.',
    ),
    fix: text(
      'Close the old descriptor when the device is given up: closing it detaches and unbinds. Look',
      'for what holds a reference to the object that owns it.',
    ),
    falseAlarms: text(
      'Adding a device twice, by mistake of an operator: the calls are the same, and whether the old',
      'descriptor was meant to be there only its owner knows.',
    ),
    source: 'vfio_main.c vfio_df_open; device_cdev.c vfio_df_ioctl_bind_iommufd',
  },
  start: (world, report) => ({
    refused: {
      'device-open-elsewhere': () => tellKept(world, report),
      'device-bound-twice': () => tellKept(world, report),
    },
  }),
};

function tellKept(world: LintWorld, report: Report): void {
  const { kernel, call, attachments } = world;
  const physical = physicalOf(world);
  const bound = kernel.state.vfio.devices[physical];
  const isOwn = call.reason?.id === 'device-bound-twice';
  if (bound === undefined || (!isOwn && bound.context !== bindTarget(world))) return;
  const name = functionName(world, physical);
  const open = listed(openDescriptors(world, physical));
  const attached = attachments.of(bound.context, bound.object);
  const dma = attached.length === 0 ? 'not attached' : 'still attached, so it can still do DMA';
  report({
    message: `${name} is bound again, but descriptor ${open} still has it as device ${bound.object}, ${dma}`,
    chain: [
      ...boundLinks(world, bound.context, bound.object),
      ...attached.map(attachedLink),
      hereLink(world, 'bound again', `${callName(call.record)} of ${name} is refused`),
    ],
  });
}
