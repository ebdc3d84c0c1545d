import type { NO_EFFECTS } from '../../src/model/index.ts';
import { hardwareSlots, type Stepper, sumText, type Timeline } from '../timeline/index.ts';

/** What one call of a trace did: why it matters that another trace has none, or another one. */
export interface CallEffect {
  readonly seq: number;
  /** One sentence for each thing that happened; the first ones of many. */
  readonly happened: readonly string[];
  /** The hardware held something else afterwards. */
  readonly changedHardware: boolean;
  /** Devices, with their PASIDs, whose DMA goes through the address spaces that it changed. */
  readonly reached: readonly string[];
}

const SENTENCES = 8;

/** Replays a trace up to a call, and tells what that one did. */
export function effectOf(timeline: Timeline, seq: number): CallEffect {
  const stepper = timeline.stepperAt(seq - 1);
  const { kernel, tracker } = stepper;
  const happened: string[] = [];
  const spaces = new Set<number>();
  let count = 0;
  const say = (text: string): void => {
    count += 1;
    if (happened.length < SENTENCES) happened.push(text);
  };
  const range = (verb: string): typeof NO_EFFECTS.rangeMapped => {
    return (_context, ioas, space, slot) => {
      const key = [...kernel.spaces].find(([, each]) => each === space)?.[0];
      if (key !== undefined) spaces.add(key);
      const { startPage, lastPage } = space.areas;
      const text = `${address(startPage[slot]!)}-${address(lastPage[slot]! + 1, -1n)}`;
      say(`${verb} ${text}${ioas === 0 ? '' : ` in IOAS ${ioas}`}`);
    };
  };
  const { effects } = tracker;
  kernel.effects = {
    ...effects,
    contextOpened: (...facts) => {
      effects.contextOpened(...facts);
      say(`opened context ${facts[0]}`);
    },
    contextReleased: (...facts) => {
      effects.contextReleased(...facts);
      say(`released context ${facts[0]}`);
    },
    objectCreated: (...facts) => {
      effects.objectCreated(...facts);
      say(`made ${facts[1]} ${facts[2]}`);
    },
    objectDestroyed: (...facts) => {
      effects.objectDestroyed(...facts);
      say(`destroyed ${facts[1]} ${facts[2]}`);
    },
    deviceAttached: (...facts) => {
      effects.deviceAttached(...facts);
      say(`attached device ${facts[1]} to HWPT ${facts[2]}${pasidText(facts[3])}`);
    },
    deviceReplaced: (...facts) => {
      effects.deviceReplaced(...facts);
      say(`moved device ${facts[1]} from HWPT ${facts[2]} to ${facts[3]}${pasidText(facts[4])}`);
    },
    deviceDetached: (...facts) => {
      effects.deviceDetached(...facts);
      say(`detached device ${facts[1]} from HWPT ${facts[2]}${pasidText(facts[3])}`);
    },
    rangeMapped: (...facts) => {
      effects.rangeMapped(...facts);
      range('mapped')(...facts);
    },
    rangeUnmapped: (...facts) => {
      range('unmapped')(...facts);
      effects.rangeUnmapped(...facts);
    },
  };
  const before = sumText(tracker.hardware.now);
  stepper.advance(seq);
  if (count > happened.length) happened.push(`and ${count - happened.length} things more`);
  return {
    seq,
    happened,
    changedHardware: sumText(tracker.hardware.now) !== before,
    reached: reachedBy(stepper, spaces),
  };
}

function reachedBy({ kernel }: Stepper, spaces: ReadonlySet<number>): string[] {
  return hardwareSlots(kernel)
    .filter(({ space }) => space !== null && spaces.has(space))
    .map(({ device, pasid }) => `${device}${pasidText(pasid)}`);
}

function pasidText(pasid: number): string {
  return pasid === 0 ? '' : `, PASID ${pasid}`;
}

function address(page: number, add = 0n): string {
  return `0x${(BigInt(page) * 4096n + add).toString(16)}`;
}
