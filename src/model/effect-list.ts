import { toBigInt } from './address.ts';
import type { EffectSink } from './effects.ts';
import type { IovaSpace } from './iova-space.ts';
import type { PasidChange } from './pasid-change.ts';

/** One effect with its facts. Last addresses are inclusive. */
export type Effect =
  | { readonly effect: 'contextOpened' | 'contextReleased'; readonly context: number }
  | {
      readonly effect: 'objectCreated' | 'objectDestroyed';
      readonly context: number;
      readonly type: string;
      readonly id: number;
    }
  | {
      readonly effect: 'rangeMapped' | 'rangeUnmapped';
      readonly context: number;
      readonly ioas: number;
      readonly iova: bigint;
      readonly iovaLast: bigint;
      readonly lengthBytes: bigint;
    }
  | {
      readonly effect: 'deviceAttached' | 'deviceDetached';
      readonly context: number;
      readonly device: number;
      readonly hwpt: number;
      readonly pasid: number;
    }
  | {
      readonly effect: 'deviceReplaced';
      readonly context: number;
      readonly device: number;
      readonly from: number;
      readonly to: number;
      readonly pasid: number;
    }
  | {
      readonly effect: 'faultReported';
      readonly context: number;
      readonly queue: number;
      readonly device: number;
    }
  | {
      readonly effect: 'pasidChanged';
      readonly context: number;
      readonly change: PasidChange;
    };

/** The effects told so far, oldest first. */
export interface EffectList {
  readonly sink: EffectSink;
  /** At most as many as asked for. */
  readonly effects: readonly Effect[];
  /** All that were told. */
  count(): number;
}

/** Keeps the first `max` effects; for a call that is explained, never for a whole replay. */
export function listEffects(max: number): EffectList {
  const effects: Effect[] = [];
  let count = 0;
  const keep = (effect: Effect): void => {
    count += 1;
    if (effects.length < max) effects.push(effect);
  };
  const sink: EffectSink = {
    contextOpened: (context) => keep({ effect: 'contextOpened', context }),
    contextReleased: (context) => keep({ effect: 'contextReleased', context }),
    objectCreated: (context, type, id) => keep({ effect: 'objectCreated', context, type, id }),
    objectDestroyed: (context, type, id) => keep({ effect: 'objectDestroyed', context, type, id }),
    rangeMapped: (context, ioas, space, slot) =>
      keep({ effect: 'rangeMapped', context, ioas, ...rangeOf(space, slot) }),
    rangeUnmapped: (context, ioas, space, slot) =>
      keep({ effect: 'rangeUnmapped', context, ioas, ...rangeOf(space, slot) }),
    deviceAttached: (context, device, hwpt, pasid) =>
      keep({ effect: 'deviceAttached', context, device, hwpt, pasid }),
    deviceReplaced: (context, device, from, to, pasid) =>
      keep({ effect: 'deviceReplaced', context, device, from, to, pasid }),
    deviceDetached: (context, device, hwpt, pasid) =>
      keep({ effect: 'deviceDetached', context, device, hwpt, pasid }),
    faultReported: (context, queue, device) => keep({ effect: 'faultReported', context, queue, device }),
    pasidChanged: (change) => keep({ effect: 'pasidChanged', context: change.context, change }),
  };
  return { sink, effects, count: () => count };
}

function rangeOf({ areas }: IovaSpace, slot: number) {
  const iova = toBigInt(areas.startPage[slot]!, areas.startOffset[slot]!);
  const iovaLast = toBigInt(areas.lastPage[slot]!, areas.lastOffset[slot]!);
  return { iova, iovaLast, lengthBytes: iovaLast - iova + 1n };
}
