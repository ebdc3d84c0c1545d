import { toBigInt } from '../address.ts';
import { spaceOf } from '../kernel.ts';
import { objectLabel } from '../object-facts.ts';
import {
  boundsOf,
  type Explain,
  hex,
  listed,
  ofArea,
  plain,
  rangeOfArea,
  remedy,
  slotsIn,
  slotsOf,
  span,
} from './finding.ts';

import { about, targetOf } from './target.ts';

/** Refusals of unmapping: which area stands in the way. */

const sticksOut = about(targetOf, ({ ioas, first, last }, { kernel, context }) => {
  const slot = slotsIn(kernel, ioas, first, last).find((each) => {
    const bounds = boundsOf(rangeOfArea(kernel, ioas, each));
    return bounds.first < first || bounds.last > last;
  });
  if (slot === undefined) return null;
  const bounds = boundsOf(rangeOfArea(kernel, ioas, slot));
  return remedy(
    [ofArea(kernel, context, ioas, slot, `reaches out of ${span(first, last)}`)],
    `with all of it: iova ${hex(bounds.first)}, length ${hex(bounds.last - bounds.first + 1n)}`,
  );
});

const locked = about(targetOf, ({ ioas, first, last }, { kernel, context }) => {
  const queues = Object.values(context.objects).filter((object) => {
    if (object.type !== 'hw-queue') return false;
    const access = context.objects[object.access];
    if (access?.type !== 'access' || access.ioas !== ioas.id) return false;
    return access.items.some(({ iovaPage, iovaOffset, length }) => {
      const start = toBigInt(iovaPage, iovaOffset);
      return start <= last && first <= start + BigInt(length) - 1n;
    });
  });
  const slots = slotsIn(kernel, ioas, first, last).filter(
    (slot) => spaceOf(kernel, ioas).areas.accesses[slot]! > 0,
  );
  return remedy(
    listed(slots, (slot) => ofArea(kernel, context, ioas, slot, 'is held')),
    `after ${queues.map(objectLabel).join(', ') || 'its HW queue'} is destroyed`,
  );
});

const nothingThere = about(targetOf, ({ ioas, first, last }, { kernel, context }) => {
  const slots = slotsOf(kernel, ioas);
  const bounds = (slot: number) => boundsOf(rangeOfArea(kernel, ioas, slot));
  const below = slots.filter((slot) => bounds(slot).last < first).at(-1);
  const above = slots.find((slot) => bounds(slot).first > last);
  const near = [below, above].filter((slot) => slot !== undefined);
  if (near.length === 0) return remedy([plain(`${objectLabel(ioas)} has no areas`)]);
  return remedy(near.map((slot) => ofArea(kernel, context, ioas, slot, `is next to ${span(first, last)}`)));
});

/** The area that an unmap of type1 version 1 would cut. */
const cut = about(targetOf, ({ ioas, first, last }, refused) => {
  const { kernel, context } = refused;
  const slots = slotsIn(kernel, ioas, first, last).filter((slot) => {
    const bounds = boundsOf(rangeOfArea(kernel, ioas, slot));
    return bounds.first < first || bounds.last > last;
  });
  return remedy(
    listed(slots, (slot) => ofArea(kernel, context, ioas, slot, `would be cut by ${span(first, last)}`)),
    'with whole areas',
  );
});

export const UNMAP_REMEDIES: Readonly<Record<string, Explain>> = {
  'area-not-contained': sticksOut,
  'area-locked': locked,
  'nothing-mapped': nothingThere,
  'split-misaligned': cut,
  'split-area-pinned': cut,
  'split-dmabuf': cut,
  'split-large-pages': cut,
};
