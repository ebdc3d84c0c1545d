import { type FillTable, fillOf } from './fill-table.ts';
import type { HeldPages, TableStep, UnmapWay } from './fills.ts';
import type { PhysicalPages } from './physical-pages.ts';

/** The steps of one domain: a number each, the row of the area and what was done with it. */
export interface StepList {
  count: number;
  codes: Float64Array;
}

export const STEP = { map: 0, mapSmall: 1, whole: 2, batches: 3, runs: 4 } as const;
export type StepKind = (typeof STEP)[keyof typeof STEP];
const KINDS = 8;

const WAYS: Readonly<Record<number, UnmapWay>> = {
  [STEP.whole]: 'whole',
  [STEP.batches]: 'batches',
  [STEP.runs]: 'runs',
};
const NOBODY: readonly HeldPages[] = [];

export function createStepList(): StepList {
  return { count: 0, codes: new Float64Array(16) };
}

export function addStep(list: StepList, row: number, kind: StepKind): void {
  if (list.count === list.codes.length) {
    const wider = new Float64Array(list.count * 2);
    wider.set(list.codes);
    list.codes = wider;
  }
  list.codes[list.count] = row * KINDS + kind;
  list.count += 1;
}

/** Steps from..until-1 as objects. */
export function stepsBetween(
  { codes, count }: StepList,
  { fills, physical }: { readonly fills: FillTable; readonly physical: PhysicalPages },
  from: number,
  until: number,
): TableStep[] {
  const steps: TableStep[] = [];
  for (let at = from; at < Math.min(until, count); at += 1) {
    const kind = codes[at]! % KINDS;
    const row = (codes[at]! - kind) / KINDS;
    const fill = fillOf(fills, physical, row);
    const way = WAYS[kind];
    if (way === undefined) steps.push({ step: 'map', fill: withSize(fill, kind === STEP.mapSmall) });
    else {
      const held = way === 'batches' ? (fills.held.get(row) ?? NOBODY) : NOBODY;
      steps.push({ step: 'unmap', fill, pageCount: fills.gone[row]!, way, held });
    }
  }
  return steps;
}

/** A domain that joins later may be filled in another way. */
function withSize(fill: TableStep['fill'], small: boolean): TableStep['fill'] {
  return fill.small === small ? fill : { ...fill, small };
}
