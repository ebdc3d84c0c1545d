import { callName } from '../../../replay/index.ts';
import { boundLinks, functionName, openDescriptors, physicalOf } from '../lint/bound.ts';
import type { ChainLink } from '../lint/finding.ts';
import { argU32 } from '../lint/lint-call.ts';
import { hereLink } from '../lint/refusal.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { listed, text } from '../lint/text.ts';

/** Offset of the descriptor in struct vfio_device_bind_iommufd. */
const IOMMUFD = 8;

export const bindTwiceTwoContexts: Rule = {
  id: 'bind-twice-two-contexts',
  severity: 'error',
  title: 'A device, or another of its group, is bound to a second context',
  doc: {
    detects: text(
      'VFIO_DEVICE_BIND_IOMMUFD that is refused because the device is bound through another',
      'descriptor to another context (EINVAL), because another context or a container owns the DMA of',
      'its group (EPERM), or because its group is open (EBUSY); and the like for groups.',
    ),
    why: 'The DMA of an IOMMU group has one owner. Two contexts would give one group two address spaces.',
    fix: text(
      'Bind all devices of a group to one iommufd. Close the descriptor of the old owner (the device,',
      'not only /dev/iommu) before the new one binds.',
    ),
    falseAlarms: 'A management program that tries whether a device is free.',
    source: 'vfio_main.c vfio_df_open; iommu.c iommu_device_claim_dma_owner; group.c vfio_device_block_group',
  },
  start: (world, report) => ({
    refused: {
      'device-open-elsewhere': () => tellOpen(world, report),
      'group-owned-elsewhere': () => tellOwned(world, report),
      'bind-while-group-open': () => tellOwned(world, report),
      'group-open-elsewhere': () => tellOwned(world, report),
    },
  }),
};

/** Context of the iommufd that a BIND names. */
export function bindTarget({ kernel, call }: LintWorld): number {
  const fd = argU32(call, IOMMUFD) | 0;
  const file = kernel.state.files[kernel.state.processes[call.pid]?.descriptors[fd] ?? 0];
  return file?.context ?? 0;
}

function tellOpen(world: LintWorld, report: Report): void {
  const physical = physicalOf(world);
  const bound = world.kernel.state.vfio.devices[physical];
  if (bound === undefined || bound.context === bindTarget(world)) return;
  const name = functionName(world, physical);
  const open = listed(openDescriptors(world, physical));
  report({
    message: `${name} is bound to a second context while descriptor ${open} has it in the first`,
    chain: [
      ...boundLinks(world, bound.context, bound.object),
      hereLink(world, 'bound again', `${callName(world.call.record)} of ${name} is refused`),
    ],
  });
}

function tellOwned(world: LintWorld, report: Report): void {
  const { kernel, call } = world;
  const physical = physicalOf(world);
  const group = kernel.machine.devices[physical]?.group ?? -1;
  const name = physical < 0 ? 'the group' : `${functionName(world, physical)} (group ${group})`;
  const owner = kernel.state.vfio.owners[group];
  report({
    message: `${callName(call.record)} of ${name} is refused: ${call.reason?.says ?? 'another owner has it'}`,
    chain: [
      ...(owner === undefined ? [] : membersBound(world, owner.context, group)),
      hereLink(world, 'claimed again', `${callName(call.record)} is refused`),
    ],
  });
}

/** The binds that made a context the owner of a group. */
function membersBound(world: LintWorld, context: number, group: number): ChainLink[] {
  return Object.values(world.kernel.state.contexts[context]?.objects ?? {}).flatMap((object) =>
    object.type === 'device' && object.group === group ? boundLinks(world, context, object.id) : [],
  );
}
