import { callName } from '../../../replay/index.ts';
import type { IovaSpace } from '../../model/index.ts';
import { spaceOf } from '../../model/index.ts';
import { CMD } from '../../uapi/index.ts';
import { attachedLink } from '../lint/attachments.ts';
import type { ChainLink } from '../lint/finding.ts';
import { contextOf, type LintCall } from '../lint/lint-call.ts';
import { hereLink } from '../lint/refusal.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { address, areaSpan, label, listed, span, text } from '../lint/text.ts';

/** A range that a device reserved, of which the kernel has forgotten. */
interface LostRange {
  readonly device: number;
  readonly first: bigint;
  readonly last: bigint;
  readonly chain: readonly ChainLink[];
}

interface Held {
  readonly ioas: number;
  readonly ranges: readonly { readonly owner: string; readonly first: bigint; readonly last: bigint }[];
}

export const reservedRangesLost: Rule = {
  id: 'reserved-ranges-lost',
  severity: 'error',
  title: 'A failed attach made the kernel forget the reserved ranges of a device',
  doc: {
    detects: text(
      'A VFIO_DEVICE_ATTACH_IOMMUFD_PT of an attached device that is refused after the kernel has',
      'looked at its reserved ranges, where old and new page table share an IOAS: the ranges of the',
      'whole group are gone from that IOAS, though the device is still attached. A later map over',
      'such a range, which now succeeds, is reported too.',
    ),
    why: text(
      'It is a bug of Linux, found while this project was written and reproduced on 6.12.117 and',
      '7.3-rc7: the error path of iommufd_device_do_replace takes away ranges that it has not added.',
      'IOMMU_IOAS_IOVA_RANGES then offers the MSI window, a map over it succeeds, the device\u2019s',
      'DMA there raises interrupts instead, and the next attach of the device is refused with',
      'EADDRINUSE.',
    ),
    fix: text(
      'After a failed replace, do not trust IOMMU_IOAS_IOVA_RANGES and do not map what it did not',
      'offer before; detach the device and attach it again, which adds the ranges anew. Check what',
      'the driver would refuse (page requests, PASID compatibility, a vDEVICE for SMMUv3) before the',
      'attach.',
    ),
    falseAlarms: text(
      'None are known: that the ranges are gone is what every kernel up to 7.3-rc7 does; a kernel',
      'with a fix needs a profile of its own.',
    ),
    source: text(
      'device.c iommufd_device_do_replace (err_unresv), iommufd_group_do_replace_reserved_iova;',
      'reference 3.5, bug A',
    ),
  },
  start(world, report) {
    const lost = new Map<IovaSpace, LostRange[]>();
    let held: readonly Held[] = [];
    return {
      before: {
        [CMD.VFIO_DEVICE_ATTACH_IOMMUFD_PT]: (call) => {
          held = heldBy(world, call);
        },
      },
      after: {
        [CMD.VFIO_DEVICE_ATTACH_IOMMUFD_PT]: (call) => {
          if (call.errno !== 0) tellLost(world, report, held, lost);
          held = [];
        },
      },
      effects: {
        rangeMapped(_, ioas, space, slot) {
          if (lost.size > 0) tellMapped(world, report, lost.get(space) ?? [], ioas, space, slot);
        },
        deviceAttached(context, device, hwpt, pasid) {
          if (lost.size > 0 && pasid === 0) restore(world, lost, context, device, hwpt);
        },
      },
    };
  },
};

/** The ranges of devices, by IOAS, before an attach. */
function heldBy({ kernel }: LintWorld, call: LintCall): Held[] {
  const context = kernel.state.contexts[contextOf(kernel, call)];
  return Object.values(context?.objects ?? {}).flatMap((object) => {
    if (object.type !== 'ioas') return [];
    const ranges = object.reserved
      .filter(({ owner }) => owner.startsWith('device:'))
      .map(({ owner, startPage, startOffset, lastPage, lastOffset }) => {
        return { owner, first: address(startPage, startOffset), last: address(lastPage, lastOffset) };
      });
    return ranges.length === 0 ? [] : [{ ioas: object.id, ranges }];
  });
}

function tellLost(
  world: LintWorld,
  report: Report,
  held: readonly Held[],
  lost: Map<IovaSpace, LostRange[]>,
): void {
  const { kernel, call, attachments } = world;
  const context = kernel.state.contexts[contextOf(kernel, call)];
  if (context === undefined) return;
  for (const { ioas: id, ranges } of held) {
    const ioas = context.objects[id];
    if (ioas?.type !== 'ioas') continue;
    const left = new Set(ioas.reserved.map(({ owner }) => owner));
    const gone = ranges.filter(({ owner }) => !left.has(owner));
    const attached = gone.filter(({ owner }) => attachments.of(context.id, idOf(owner)).length > 0);
    if (attached.length === 0) continue;
    const name = callName(call.record);
    const links = attached.flatMap(({ owner }) => attachments.of(context.id, idOf(owner)).map(attachedLink));
    const chain = [...links, hereLink(world, 'refused', `${name} fails, and takes the ranges away`)];
    const texts = attached.map(({ owner, first, last }) => `${span(first, last)} of device ${idOf(owner)}`);
    report({
      message: text(
        `the failed ${name} deleted reserved ranges from ${label('ioas', id)}, a bug of the kernel:`,
        `${listed(texts)}`,
      ),
      chain,
    });
    const space = spaceOf(kernel, ioas);
    const more = attached.map(({ owner, first, last }) => ({ device: idOf(owner), first, last, chain }));
    lost.set(space, [...(lost.get(space) ?? []), ...more]);
  }
}

function idOf(owner: string): number {
  return Number(owner.slice('device:'.length));
}

function tellMapped(
  world: LintWorld,
  report: Report,
  lost: readonly LostRange[],
  ioas: number,
  space: IovaSpace,
  slot: number,
): void {
  const { areas } = space;
  const first = address(areas.startPage[slot]!, areas.startOffset[slot]!);
  const last = address(areas.lastPage[slot]!, areas.lastOffset[slot]!);
  const hit = lost.find((range) => range.first <= last && first <= range.last);
  if (hit === undefined) return;
  const range = areaSpan(space, slot);
  report({
    message: text(
      `${range} of ${label('ioas', ioas)} is mapped over ${span(hit.first, hit.last)}, which device`,
      `${hit.device} reserves and the kernel has forgotten`,
    ),
    chain: [...hit.chain, hereLink(world, 'mapped', `maps ${range}, which should be refused`)],
  });
}

/** An attach adds the ranges anew. */
function restore(
  { kernel }: LintWorld,
  lost: Map<IovaSpace, LostRange[]>,
  context: number,
  device: number,
  hwpt: number,
): void {
  const objects = kernel.state.contexts[context]?.objects ?? {};
  const table = objects[hwpt];
  const paging = table?.type === 'hwpt-nested' ? objects[table.parent] : table;
  const ioas = paging?.type === 'hwpt-paging' ? objects[paging.ioas] : undefined;
  if (ioas?.type !== 'ioas') return;
  const space = spaceOf(kernel, ioas);
  const left = (lost.get(space) ?? []).filter((range) => range.device !== device);
  if (left.length === 0) lost.delete(space);
  else lost.set(space, left);
}
