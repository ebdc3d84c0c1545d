import { offsetOf, pageOf, toBigInt } from '../address.ts';
import { firstArea, firstAreaIn, NONE, nextArea } from '../area-table.ts';
import type { CallFacts } from '../check-order/check.ts';
import type { IovaRange } from '../iova-space.ts';
import { type Kernel, spaceOf } from '../kernel.ts';
import { objectLabel, rangeText } from '../object-facts.ts';
import type { Context, Ioas, KernelObject } from '../state.ts';

/** Something that a call made, which a reader may want to look up. */
export type Origin =
  | { readonly kind: 'object'; readonly context: number; readonly id: number }
  | {
      readonly kind: 'area';
      readonly context: number;
      readonly ioas: number;
      readonly iova: bigint;
      readonly iovaLast: bigint;
    };

/** One thing in the state that bears on a refusal: `what` (made by call n) `how`. */
export interface Finding {
  readonly what: string;
  readonly origin: Origin | null;
  readonly how: string;
}

/** What the state says about a refusal. */
export interface Remedy {
  readonly findings: readonly Finding[];
  /**
   * When this check lets the call pass, to follow "the check passes"; null where only the usual cure is
   * known.
   */
  readonly passes: string | null;
}

/** A refused call: the facts from before it, and which of several like checks refused. */
export interface Refused extends CallFacts {
  /** Name in the order of checks. */
  readonly command: string;
  readonly at: string | null;
}

/** Says what the state tells about one refusal; null when it does not apply after all. */
export type Explain = (refused: Refused & { readonly context: Context }) => Remedy | null;

/** Findings of one kind that are listed; the rest is counted. */
const LISTED = 6;

export function remedy(findings: readonly Finding[], passes: string | null = null): Remedy {
  return { findings, passes };
}

/** A plain statement. */
export function plain(text: string): Finding {
  return { what: text, origin: null, how: '' };
}

/** A statement about an object. */
export function ofObject(context: Context, object: KernelObject, how: string): Finding {
  return { what: objectLabel(object), origin: { kind: 'object', context: context.id, id: object.id }, how };
}

/** A statement about an area. */
export function ofArea(kernel: Kernel, context: Context, ioas: Ioas, slot: number, how: string): Finding {
  const range = rangeOfArea(kernel, ioas, slot);
  const iova = toBigInt(range.startPage, range.startOffset);
  const iovaLast = toBigInt(range.lastPage, range.lastOffset);
  const origin = { kind: 'area', context: context.id, ioas: ioas.id, iova, iovaLast } as const;
  return { what: `area ${rangeText(range)} of ${objectLabel(ioas)}`, origin, how };
}

export function rangeOfArea(kernel: Kernel, ioas: Ioas, slot: number): IovaRange {
  const { areas } = spaceOf(kernel, ioas);
  return {
    startPage: areas.startPage[slot]!,
    startOffset: areas.startOffset[slot]!,
    lastPage: areas.lastPage[slot]!,
    lastOffset: areas.lastOffset[slot]!,
  };
}

/** The first findings of many. */
export function listed<T>(items: readonly T[], find: (item: T) => Finding): Finding[] {
  const hidden = items.length - LISTED;
  const shown = items.slice(0, LISTED).map(find);
  return hidden > 0 ? [...shown, plain(`and ${hidden} more`)] : shown;
}

/** The objects of a context that match, by id. */
export function objectsOf(context: Context, matches: (object: KernelObject) => boolean): KernelObject[] {
  return Object.values(context.objects).filter(matches);
}

/** `IOAS 1, HWPT 4`, or `none`; the first of many. */
export function labels(objects: readonly KernelObject[]): string {
  const hidden = objects.length - LISTED;
  const shown = objects.slice(0, LISTED).map(objectLabel).join(', ');
  return hidden > 0 ? `${shown} and ${hidden} more` : shown || 'none';
}

/** Slots of all areas, by address. */
export function slotsOf(kernel: Kernel, ioas: Ioas): number[] {
  const { areas } = spaceOf(kernel, ioas);
  const slots: number[] = [];
  for (let slot = firstArea(areas); slot !== NONE; slot = nextArea(areas, slot)) slots.push(slot);
  return slots;
}

/** Slots of the areas that have a byte in the range, by address; the last address is inclusive. */
export function slotsIn(kernel: Kernel, ioas: Ioas, first: bigint, last: bigint): number[] {
  const { areas } = spaceOf(kernel, ioas);
  const slots: number[] = [];
  let slot = firstAreaIn(areas, pageOf(first), offsetOf(first), pageOf(last), offsetOf(last));
  while (slot !== NONE && toBigInt(areas.startPage[slot]!, areas.startOffset[slot]!) <= last) {
    slots.push(slot);
    slot = nextArea(areas, slot);
  }
  return slots;
}

/** First and last address of an area or range. */
export function boundsOf(range: IovaRange): { readonly first: bigint; readonly last: bigint } {
  return {
    first: toBigInt(range.startPage, range.startOffset),
    last: toBigInt(range.lastPage, range.lastOffset),
  };
}

export function hex(value: bigint | number): string {
  return `0x${value.toString(16)}`;
}

/** `0x1000-0x1fff`; the last address is inclusive. */
export function span(first: bigint, last: bigint): string {
  return `${hex(first)}-${hex(last)}`;
}

export function count(number: number | bigint, noun: string): string {
  return `${number} ${noun}${Number(number) === 1 ? '' : 's'}`;
}
