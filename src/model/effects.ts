import type { IovaSpace } from './iova-space.ts';
import type { PasidChange } from './pasid-change.ts';

/**
 * Past-tense facts that calls cause, told as they happen. Projections (hardware, audit, counts) listen.
 * Arguments are plain numbers, so that telling allocates nothing; a slot is valid only during the call.
 */
export interface EffectSink {
  contextOpened(context: number): void;
  contextReleased(context: number): void;
  objectCreated(context: number, type: string, id: number): void;
  objectDestroyed(context: number, type: string, id: number): void;
  /** Area `slot` of the space appeared. */
  rangeMapped(context: number, ioas: number, space: IovaSpace, slot: number): void;
  /** Area `slot` of the space is about to go. */
  rangeUnmapped(context: number, ioas: number, space: IovaSpace, slot: number): void;
  /** A device took a slot: its RID (PASID 0) or a PASID. */
  deviceAttached(context: number, device: number, hwpt: number, pasid: number): void;
  deviceReplaced(context: number, device: number, from: number, to: number, pasid: number): void;
  deviceDetached(context: number, device: number, hwpt: number, pasid: number): void;
  faultReported(context: number, queue: number, device: number): void;
  /** A PASID of one of the generations of 2020 and 2021: the only effect that comes as an object. */
  pasidChanged(change: PasidChange): void;
}

const nothing = (): void => {};

/** Listens to nothing. */
export const NO_EFFECTS: EffectSink = {
  contextOpened: nothing,
  contextReleased: nothing,
  objectCreated: nothing,
  objectDestroyed: nothing,
  rangeMapped: nothing,
  rangeUnmapped: nothing,
  deviceAttached: nothing,
  deviceReplaced: nothing,
  deviceDetached: nothing,
  faultReported: nothing,
  pasidChanged: nothing,
};

/** How often each effect happened: the summary of a replay. */
export interface EffectCounts {
  readonly sink: EffectSink;
  readonly counts: Readonly<Record<keyof EffectSink, number>>;
}

export function countEffects(): EffectCounts {
  const counts: Record<keyof EffectSink, number> = {
    contextOpened: 0,
    contextReleased: 0,
    objectCreated: 0,
    objectDestroyed: 0,
    rangeMapped: 0,
    rangeUnmapped: 0,
    deviceAttached: 0,
    deviceReplaced: 0,
    deviceDetached: 0,
    faultReported: 0,
    pasidChanged: 0,
  };
  const counter = (name: keyof EffectSink) => (): void => {
    counts[name] += 1;
  };
  const names = Object.keys(counts) as (keyof EffectSink)[];
  const sink = Object.fromEntries(names.map((name) => [name, counter(name)])) as unknown as EffectSink;
  return { sink, counts };
}
