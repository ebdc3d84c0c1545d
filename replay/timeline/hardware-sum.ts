import { type Kernel, renderHardware } from '../../src/model/index.ts';
import { hardwareSlots } from './hardware-slots.ts';
import { addNumber, addText, type Sum, sum } from './hash.ts';

/**
 * A sum over what the IOMMUs hold, kept while calls go by: entry for entry and area for area, whatever the
 * order in which they came. Two runs hold the same when their sums are equal.
 */
export interface HardwareSum {
  /** The sum after the last call. */
  readonly now: Sum;
  /** What the entries add beside their translations. */
  readonly fixed: Sum;
  /** By IOVA space: what one area of it counts for, over all the entries that lead to it. */
  readonly weights: Map<number, Sum>;
}

export function createHardwareSum(): HardwareSum {
  return { now: sum(), fixed: sum(), weights: new Map() };
}

/** Looks at the entries again. */
export function followEntries(hardware: HardwareSum, kernel: Kernel): void {
  const { fixed, weights } = hardware;
  fixed.high = 0;
  fixed.low = 0;
  weights.clear();
  for (const { device, pasid, kind, space, facts } of hardwareSlots(kernel)) {
    const entry = sum();
    addText(entry, `${device} ${kind} ${facts}`);
    addNumber(entry, pasid);
    addTo(fixed, entry);
    if (space === null) continue;
    let weight = weights.get(space);
    if (weight === undefined) {
      weight = sum();
      weights.set(space, weight);
    }
    // Odd: no area is lost by the multiplication.
    addTo(weight, { high: entry.high << 1, low: entry.low << 1 });
  }
  for (const weight of weights.values()) {
    weight.high |= 1;
    weight.low |= 1;
  }
  if (!kernel.isProposal) return;
  const text = sum();
  addText(text, renderHardware(kernel));
  addTo(fixed, text);
}

/** Adds everything up. */
export function addUp({ now, fixed, weights }: HardwareSum, contents: (space: number) => Sum | null): void {
  let { high, low } = fixed;
  for (const [space, weight] of weights) {
    const content = contents(space);
    if (content === null) continue;
    high = (high + Math.imul(weight.high, content.high)) | 0;
    low = (low + Math.imul(weight.low, content.low)) | 0;
  }
  now.high = high;
  now.low = low;
}

function addTo(into: Sum, { high, low }: Sum): void {
  into.high = (into.high + high) | 0;
  into.low = (into.low + low) | 0;
}
