import { addLocked, charge, NOBODY, payerAt, refuseCharge } from './accounting.ts';
import { someArea } from './area-table.ts';
import { heldRanges, lastIndex, without } from './held-ranges.ts';
import type { IovaSpace } from './iova-space.ts';
import type { Kernel } from './kernel.ts';
import type { Refusal } from './reason.ts';

/**
 * How many pages a domain or an access object pins that nobody has pinned before, and how many it was the
 * last to hold: pages of an iopt_pages are charged once, however many hold them. Only asked for pages that
 * somebody is charged for.
 */

type Held = readonly (readonly [number, number])[];

/**
 * What the domains and access objects hold of an iopt_pages. The usual one belongs to one area, the one that
 * is filled or emptied now: `ownRefs` 1, and nobody else is asked. A COPY has no reference of its own yet.
 */
function heldOf(
  { pages: table }: Kernel,
  held: () => Map<number, [number, number][]>,
  pages: number,
  ownRefs: number,
): Held {
  const isAlone = table.refs[pages] === ownRefs && !table.accessNodes.has(pages);
  return isAlone ? [] : (held().get(pages) ?? []);
}

/** Pages of first..last (indexes, inclusive) that are in no held range. */
function countUncovered(kernel: Kernel, pages: number, first: number, last: number, held: Held): number {
  const units = kernel.profile.pageBytes / 4096;
  const base = kernel.pages.basePage[pages]!;
  // The kernel counts its own pages: whoever holds a part of one holds it whole.
  const down = (index: number): number => Math.floor((base + index) / units) * units;
  const up = (index: number): number => down(index) + units - 1;
  let left: [number, number][] = [[down(first), up(last)]];
  for (const [low, high] of held) left = left.flatMap(([a, b]) => without(a, b, down(low), up(high)));
  return left.reduce((sum, [a, b]) => sum + b - a + 1, 0);
}

/** The domains of an IOAS take a new area: what that adds to the pages that are pinned. */
export function refuseAreaCharge(kernel: Kernel, pages: number, first: number, last: number): Refusal {
  return refuseCharge(kernel, pages, countArea(kernel, pages, first, last));
}

export function chargeArea(kernel: Kernel, pages: number, first: number, last: number): void {
  charge(kernel, pages, countArea(kernel, pages, first, last));
}

/** The domains of an IOAS let go of an area that is not in it any more. */
export function unchargeArea(kernel: Kernel, pages: number, first: number, last: number): void {
  charge(kernel, pages, -countArea(kernel, pages, first, last));
}

function countArea(kernel: Kernel, pages: number, first: number, last: number): number {
  return countUncovered(
    kernel,
    pages,
    first,
    last,
    heldOf(kernel, () => heldRanges(kernel), pages, 1),
  );
}

/** The last step of `iopt_pages_fill_xarray`: an access object pins pages, if that is not too much. */
export function chargePin(kernel: Kernel, pages: number, first: number, last: number): Refusal {
  if (kernel.pages.payer[pages] === NOBODY) return null;
  const added = countForAccess(kernel, pages, first, last);
  const refusal = refuseCharge(kernel, pages, added);
  if (refusal === null) charge(kernel, pages, added);
  return refusal;
}

/** `iopt_pages_unfill_xarray`: an access object has let go of pages. */
export function unchargePin(kernel: Kernel, pages: number, first: number, last: number): void {
  if (kernel.pages.payer[pages] === NOBODY) return;
  charge(kernel, pages, -countForAccess(kernel, pages, first, last));
}

function countForAccess(kernel: Kernel, pages: number, first: number, last: number): number {
  return countUncovered(kernel, pages, first, last, heldRanges(kernel).get(pages) ?? []);
}

/** What was charged while areas were filled one after the other, so that it can be taken back. */
export interface Filling {
  readonly held: () => Map<number, [number, number][]>;
  /** References to an iopt_pages that the area in question has: 0 before a COPY has made its areas. */
  readonly ownRefs: number;
  readonly done: { readonly pages: number; readonly pinned: number; readonly charged: number }[];
}

/** Begins filling areas; what an earlier one of them holds costs the later ones nothing. */
export function startFilling(kernel: Kernel, ownRefs = 1): Filling {
  let ranges: Map<number, [number, number][]> | undefined;
  const held = (): Map<number, [number, number][]> => {
    ranges ??= heldRanges(kernel);
    return ranges;
  };
  return { held, ownRefs, done: [] };
}

/** Fills one area: charges what it adds, unless that is too much. */
export function fillArea(
  kernel: Kernel,
  filling: Filling,
  pages: number,
  first: number,
  last: number,
): Refusal {
  const { payer, pinned, charged } = kernel.pages;
  if (payer[pages] === NOBODY) return null;
  const added = countStep(kernel, filling, pages, first, last);
  const refusal = refuseCharge(kernel, pages, added);
  if (refusal !== null) return refusal;
  filling.done.push({ pages, pinned: pinned[pages]!, charged: charged[pages]! });
  charge(kernel, pages, added);
  return null;
}

function countStep(kernel: Kernel, filling: Filling, pages: number, first: number, last: number): number {
  const { held, ownRefs } = filling;
  const count = countUncovered(kernel, pages, first, last, heldOf(kernel, held, pages, ownRefs));
  if (kernel.pages.refs[pages]! > ownRefs) {
    const ranges = held().get(pages);
    if (ranges === undefined) held().set(pages, [[first, last]]);
    else ranges.push([first, last]);
  }
  return count;
}

/** Takes back all that was charged. */
export function undoFilling(kernel: Kernel, { done }: Filling): void {
  const { payer, pinned, charged } = kernel.pages;
  for (const { pages, ...before } of [...done].reverse()) {
    addLocked(kernel, payerAt(kernel.state, payer[pages]!), before.charged - charged[pages]!);
    pinned[pages] = before.pinned;
    charged[pages] = before.charged;
  }
}

/** The first domain of an IOAS takes all its areas, or (`sign` -1) the last one lets go of them. */
export function chargeAreas(kernel: Kernel, space: IovaSpace, sign: 1 | -1): void {
  const { areas } = space;
  const filling = startFilling(kernel);
  someArea(areas, (slot) => {
    const pages = areas.pages[slot]!;
    if (kernel.pages.payer[pages] === NOBODY) return false;
    const count = countStep(kernel, filling, pages, areas.firstIndex[slot]!, lastIndex(space, slot));
    charge(kernel, pages, sign * count);
    return false;
  });
}
