import { type HardwareSlot, hardwareSlots, type Stepper } from '../timeline/index.ts';
import { type AreaDifference, compareAreas } from './compare-areas.ts';

/** What differs of an entry of the hardware: that of a device, or of one of its PASIDs. */
export interface HardwareDifference {
  readonly device: string;
  readonly pasid: number;
  /** What the entry says; null when there is none. */
  readonly a: string | null;
  readonly b: string | null;
  /** What it translates differently; null where both translate alike, or one not at all. */
  readonly areas: AreaDifference | null;
}

/** Compares device entries, PASID entries and what they translate. Devices are told by address. */
export function compareHardware(a: Stepper, b: Stepper): HardwareDifference[] {
  const [one, other] = [slotsOf(a), slotsOf(b)];
  const names = [...new Set([...one.keys(), ...other.keys()])];
  return names.flatMap((name): HardwareDifference[] => {
    const [slotA, slotB] = [one.get(name), other.get(name)];
    const { device, pasid } = (slotA ?? slotB)!;
    const areas = slotA === undefined || slotB === undefined ? null : translations(a, slotA, b, slotB);
    const [textA, textB] = [entryText(slotA), entryText(slotB)];
    return textA === textB && areas === null ? [] : [{ device, pasid, a: textA, b: textB, areas }];
  });
}

function slotsOf({ kernel }: Stepper): Map<string, HardwareSlot> {
  return new Map(hardwareSlots(kernel).map((slot) => [`${slot.device} ${slot.pasid}`, slot]));
}

function entryText(slot: HardwareSlot | undefined): string | null {
  return slot === undefined ? null : `${slot.kind}${slot.facts === '' ? '' : ` (${slot.facts})`}`;
}

function translations(
  a: Stepper,
  slotA: HardwareSlot,
  b: Stepper,
  slotB: HardwareSlot,
): AreaDifference | null {
  const spaceA = slotA.space === null ? undefined : a.kernel.spaces.get(slotA.space);
  const spaceB = slotB.space === null ? undefined : b.kernel.spaces.get(slotB.space);
  if (spaceA === undefined || spaceB === undefined) return null;
  return compareAreas({ ...a, space: spaceA }, { ...b, space: spaceB });
}
