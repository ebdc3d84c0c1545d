import { type IovaSpace, type Kernel, listAreas, someArea } from '../../src/model/index.ts';
import { roleOfPage, roleText, type Tracker } from '../timeline/index.ts';
import { LISTED, type ListDifference } from './list-difference.ts';

/** Areas that only one of two address spaces has; an area is told by its IOVA, its access and its memory. */
export type AreaDifference = ListDifference;

export interface SpaceOfSide {
  readonly kernel: Kernel;
  readonly tracker: Tracker;
  readonly space: IovaSpace;
}

/** Null when both map the same. */
export function compareAreas(a: SpaceOfSide, b: SpaceOfSide): AreaDifference | null {
  const [one, other] = [sumsOf(a), sumsOf(b)];
  const onlyA = slotsWithout(one, other);
  const onlyB = slotsWithout(other, one);
  if (onlyA.length + onlyB.length === 0) return null;
  return {
    onlyA: onlyA.slice(0, LISTED).map((slot) => areaText(a, slot)),
    onlyB: onlyB.slice(0, LISTED).map((slot) => areaText(b, slot)),
    countA: onlyA.length,
    countB: onlyB.length,
  };
}

/** Slots by the sums of their areas, in the order of IOVAs. */
function sumsOf({ kernel, tracker, space }: SpaceOfSide): Map<string, number[]> {
  const sums = new Map<string, number[]>();
  const key = [...kernel.spaces].find(([, each]) => each === space)?.[0] ?? -1;
  const columns = tracker.columns.get(key);
  if (columns === undefined) return sums;
  someArea(space.areas, (slot) => {
    const name = `${columns.high[slot]} ${columns.low[slot]}`;
    const slots = sums.get(name);
    if (slots === undefined) sums.set(name, [slot]);
    else slots.push(slot);
    return false;
  });
  return sums;
}

function slotsWithout(of: ReadonlyMap<string, number[]>, without: ReadonlyMap<string, number[]>): number[] {
  return [...of].flatMap(([name, slots]) => slots.slice(without.get(name)?.length ?? 0));
}

function areaText({ kernel, tracker, space }: SpaceOfSide, slot: number): string {
  const area = listAreas(kernel, space, Number.POSITIVE_INFINITY).find((each) => each.slot === slot)!;
  const { areas } = space;
  const role = roleOfPage(tracker.roles, kernel, areas.pages[slot]!, areas.firstIndex[slot]!);
  const range = `0x${area.iova.toString(16)}-0x${area.iovaLast.toString(16)}`;
  return `${range} ${area.access} to ${roleText(role)}`;
}
