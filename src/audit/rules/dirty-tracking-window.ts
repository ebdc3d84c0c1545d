import { callName } from '../../../replay/index.ts';
import { firstArea, type IovaSpace, NO_AREA, nextArea } from '../../model/index.ts';
import {
  CMD,
  IOMMU_HWPT_GET_DIRTY_BITMAP,
  IOMMU_HWPT_SET_DIRTY_TRACKING,
  offsetsOf,
} from '../../uapi/index.ts';
import { mappedLinks } from '../lint/area-book.ts';
import type { ChainLink } from '../lint/finding.ts';
import { objectOf } from '../lint/holders.ts';
import { argU32, argU64, contextOf, type LintCall } from '../lint/lint-call.ts';
import { hereLink } from '../lint/refusal.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { spaceOfTable } from '../lint/tables.ts';
import { address, areaSpan, count, text } from '../lint/text.ts';

const SET = offsetsOf(IOMMU_HWPT_SET_DIRTY_TRACKING);
const GET = offsetsOf(IOMMU_HWPT_GET_DIRTY_BITMAP);

/** A page table that tracks dirty pages, and what of it was read since it does. */
interface Tracking {
  readonly context: number;
  readonly hwpt: number;
  readonly space: IovaSpace;
  readonly sinceSeq: number;
  /** Last address and call of the newest GET_DIRTY_BITMAP by its first address. */
  readonly reads: Map<bigint, { readonly last: bigint; readonly seq: number }>;
}

export const dirtyTrackingWindow: Rule = {
  id: 'dirty-tracking-window',
  severity: 'warning',
  title: 'Dirty pages are lost between the calls of dirty tracking',
  doc: {
    detects: text(
      'While a page table tracks dirty pages: an area of it that is unmapped, and tracking that is',
      'switched off, without any GET_DIRTY_BITMAP of the area since it was mapped or tracking began;',
      'tracking that is switched on again (which clears all bits); a device that is moved to a page',
      'table without tracking. And a GET_DIRTY_BITMAP while nothing is tracked.',
    ),
    why: text(
      'What the device wrote in that time is in no bitmap. A migration sends old memory, and nothing',
      'fails.',
    ),
    fix: text(
      'Order: SET_DIRTY_TRACKING on, GET_DIRTY_BITMAP in rounds; before an unmap, GET_DIRTY_BITMAP of',
      'the range; at the end stop the device, GET_DIRTY_BITMAP of everything, then switch off. Move',
      'devices between page tables that track alike.',
    ),
    falseAlarms: text(
      'A device that was stopped writes nothing; the trace does not show it. A migration that is',
      'cancelled needs no last bitmap.',
    ),
    source: text(
      'hw_pagetable.c iommufd_hwpt_set_dirty_tracking; io_pagetable.c iopt_set_dirty_tracking,',
      'iopt_clear_dirty_data',
    ),
  },
  start(world, report) {
    const live = new Map<string, Tracking>();
    return {
      before: { [CMD.IOMMU_HWPT_SET_DIRTY_TRACKING]: (call) => lookAtSwitch(world, report, live, call) },
      after: {
        [CMD.IOMMU_HWPT_SET_DIRTY_TRACKING]: (call) => noteSwitch(world, live, call),
        [CMD.IOMMU_HWPT_GET_DIRTY_BITMAP]: (call) => noteRead(world, report, live, call),
      },
      effects: {
        rangeUnmapped(_, ioas, space, slot) {
          if (live.size > 0 && ioas !== 0) lookAtUnmap(world, report, live, space, slot);
        },
        deviceReplaced(context, device, from, to) {
          if (live.size > 0) lookAtMove(world, report, live, context, device, from, to);
        },
        objectDestroyed(context, _, id) {
          const tracking = live.get(keyOf(context, id));
          if (tracking === undefined) return;
          live.delete(keyOf(context, id));
          tellNeverRead(world, report, tracking);
        },
      },
      finish() {
        for (const tracking of live.values()) tellNeverRead(world, report, tracking);
      },
    };
  },
};

function keyOf(context: number, hwpt: number): string {
  return `${context} ${hwpt}`;
}

function isOn(call: LintCall): boolean {
  return (argU32(call, SET.flags) & 1) !== 0;
}

/** Before tracking is switched: what is lost by it. */
function lookAtSwitch(
  world: LintWorld,
  report: Report,
  live: ReadonlyMap<string, Tracking>,
  call: LintCall,
): void {
  const tracking = live.get(keyOf(contextOf(world.kernel, call), argU32(call, SET.hwpt_id)));
  if (tracking === undefined) return;
  const { hwpt, sinceSeq, space } = tracking;
  const on: ChainLink = { seq: sinceSeq, role: 'tracking on', says: `HWPT ${hwpt} tracks dirty pages` };
  if (isOn(call)) {
    report({
      message: text(
        `dirty tracking of HWPT ${hwpt} is switched on again, which clears what it has found since`,
        `call ${sinceSeq}`,
      ),
      chain: [on, hereLink(world, 'on again', 'clears all dirty bits')],
    });
    return;
  }
  const unread = unreadAreas(world, tracking);
  if (unread.length === 0) return;
  report({
    message: text(
      `dirty tracking of HWPT ${hwpt} is switched off, and ${count(unread.length, 'area')} of it was`,
      `never read: ${areaSpan(space, unread[0]!)}${unread.length > 1 ? ' …' : ''}`,
    ),
    chain: [
      on,
      ...mappedLinks(world.areas.of(space), unread[0]!),
      hereLink(world, 'tracking off', 'the dirty bits are gone'),
    ],
  });
}

function noteSwitch({ kernel }: LintWorld, live: Map<string, Tracking>, call: LintCall): void {
  if (call.errno !== 0) return;
  const [context, hwpt] = [contextOf(kernel, call), argU32(call, SET.hwpt_id)];
  const space = spaceOfTable(kernel, context, hwpt);
  if (!isOn(call)) live.delete(keyOf(context, hwpt));
  else if (space !== undefined)
    live.set(keyOf(context, hwpt), { context, hwpt, space, sinceSeq: call.seq, reads: new Map() });
}

function noteRead(world: LintWorld, report: Report, live: Map<string, Tracking>, call: LintCall): void {
  const [context, hwpt] = [contextOf(world.kernel, call), argU32(call, GET.hwpt_id)];
  const [first, length] = [argU64(call, GET.iova), argU64(call, GET.length)];
  if (call.errno !== 0 || length === 0n) return;
  const tracking = live.get(keyOf(context, hwpt));
  if (tracking !== undefined) {
    tracking.reads.set(first, { last: first + length - 1n, seq: call.seq });
    return;
  }
  if (objectOf(world.kernel, context, hwpt)?.type !== 'hwpt-paging') return;
  report({
    message: text(
      `${callName(call.record)} of HWPT ${hwpt}, which tracks nothing: the bitmap says nothing about`,
      'what devices wrote',
    ),
    chain: [hereLink(world, 'read', 'reads dirty bits')],
  });
}

/** Tracking that was on and asked for nothing, until its page table went or the trace ended. */
function tellNeverRead(world: LintWorld, report: Report, { hwpt, space, sinceSeq, reads }: Tracking): void {
  const slot = firstArea(space.areas);
  if (reads.size > 0 || slot === NO_AREA) return;
  report({
    seq: sinceSeq,
    message: text(
      `HWPT ${hwpt} tracks dirty pages of ${count(space.areas.count, 'area')} since call ${sinceSeq},`,
      'and nobody ever reads them',
    ),
    chain: [
      { seq: sinceSeq, role: 'tracking on', says: `HWPT ${hwpt} tracks dirty pages` },
      ...mappedLinks(world.areas.of(space), slot),
    ],
  });
}

/** Slots of areas that no GET_DIRTY_BITMAP has covered since they were mapped and tracked. */
function unreadAreas(world: LintWorld, tracking: Tracking): number[] {
  const { areas } = tracking.space;
  const unread: number[] = [];
  for (let slot = firstArea(areas); slot !== NO_AREA; slot = nextArea(areas, slot))
    if (!isRead(world, tracking, slot)) unread.push(slot);
  return unread;
}

function isRead({ areas: book }: LintWorld, { space, reads }: Tracking, slot: number): boolean {
  const { areas } = space;
  const first = address(areas.startPage[slot]!, areas.startOffset[slot]!);
  const last = address(areas.lastPage[slot]!, areas.lastOffset[slot]!);
  const mappedSeq = book.of(space)?.seq[slot] ?? -1;
  // A bitmap may be read in pieces; any piece shows that the area is known to who reads.
  for (const [from, { last: to, seq }] of reads)
    if (seq > mappedSeq && from <= last && to >= first) return true;
  return false;
}

function lookAtUnmap(
  world: LintWorld,
  report: Report,
  live: ReadonlyMap<string, Tracking>,
  space: IovaSpace,
  slot: number,
): void {
  for (const tracking of live.values()) {
    if (tracking.space !== space || isRead(world, tracking, slot)) continue;
    const { hwpt, sinceSeq } = tracking;
    const range = areaSpan(space, slot);
    report({
      message: `${range} is unmapped while HWPT ${hwpt} tracks dirty pages, and its bits were never read`,
      chain: [
        { seq: sinceSeq, role: 'tracking on', says: `HWPT ${hwpt} tracks dirty pages` },
        ...mappedLinks(world.areas.of(space), slot),
        hereLink(world, 'unmapped', `takes ${range} away with its dirty bits`),
      ],
    });
  }
}

function lookAtMove(
  world: LintWorld,
  report: Report,
  live: ReadonlyMap<string, Tracking>,
  context: number,
  device: number,
  from: number,
  to: number,
): void {
  const tracking = live.get(keyOf(context, from));
  if (tracking === undefined || live.has(keyOf(context, to))) return;
  report({
    message: text(
      `device ${device} is moved from HWPT ${from}, which tracks dirty pages, to HWPT ${to}, which`,
      'does not',
    ),
    chain: [
      { seq: tracking.sinceSeq, role: 'tracking on', says: `HWPT ${from} tracks dirty pages` },
      hereLink(world, 'moved', `what device ${device} writes from now on is not tracked`),
    ],
  });
}
