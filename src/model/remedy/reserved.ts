import { objectIn } from '../check-order/check.ts';
import { rangesAttached } from '../check-order/reserved.ts';
import { attachTarget, ioasAttached } from '../check-order/vfio-conditions.ts';
import { outsideAperture } from '../iova-domains.ts';
import type { IovaRange } from '../iova-space.ts';
import { rangeText } from '../object-facts.ts';
import type { Ioas, PagingDomain } from '../state.ts';
import { boundsOf, type Finding, listed, ofArea, plain, type Remedy, remedy, slotsIn } from './finding.ts';
import { newTable } from './newcomer.ts';
import type { InContext } from './target.ts';

/** EADDRINUSE of attaching and of new page tables: what lies where the newcomer reserves. */

/** A range that is to be reserved, and for whom. */
interface Wanted {
  readonly range: IovaRange;
  readonly whose: string;
}

/** The areas and allowed ranges of an IOAS that collide with what a device or page table reserves. */
export function collisions(refused: InContext): Remedy | null {
  const named = objectIn(refused, 'pt_id') ?? objectIn(refused, 'id');
  const target = attachTarget(refused) ?? named;
  const ioas = ioasAttached(refused) ?? (target?.type === 'ioas' ? target : undefined);
  if (ioas === undefined) return null;
  const wanted: Wanted[] = rangesAttached(refused).map(({ device, range }) => ({
    range,
    whose: `which ${device} reserves (${range.kind})`,
  }));
  const table = target?.type === 'ioas' ? newTable(refused) : null;
  if (table !== null) wanted.push(...outside(table));
  const hits = wanted.flatMap((each) => collidingWith(refused, ioas, each));
  const ways = [
    ...(hits.some(({ origin }) => origin !== null) ? ['unmapped'] : []),
    ...(hits.some(({ origin }) => origin === null) ? ['taken out of the allowed ranges'] : []),
  ];
  return remedy(
    listed(hits, (hit) => hit),
    hits.length === 0 ? null : `after these are ${ways.join(' or ')}`,
  );
}

function outside(table: PagingDomain): Wanted[] {
  const whose = `outside the aperture ${rangeText(table.aperture)} of the page table`;
  return outsideAperture(table, 0).map((range) => ({ range, whose }));
}

function collidingWith({ kernel, context }: InContext, ioas: Ioas, { range, whose }: Wanted): Finding[] {
  const { first, last } = boundsOf(range);
  const how = `overlaps ${rangeText(range)}, ${whose}`;
  const areas = slotsIn(kernel, ioas, first, last).map((slot) => ofArea(kernel, context, ioas, slot, how));
  const allowed = ioas.allowed
    .filter((each) => boundsOf(each).first <= last && first <= boundsOf(each).last)
    .map((each) => plain(`allowed range ${rangeText(each)} ${how}`));
  return [...areas, ...allowed];
}
