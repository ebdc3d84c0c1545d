/** Effects as a summary counts them, one and many; an effect that is not here shows its own name. */
const NAMES: Readonly<Record<string, readonly [string, string]>> = {
  contextOpened: ['context opened', 'contexts opened'],
  contextReleased: ['context released', 'contexts released'],
  objectCreated: ['object created', 'objects created'],
  objectDestroyed: ['object destroyed', 'objects destroyed'],
  rangeMapped: ['range mapped', 'ranges mapped'],
  rangeUnmapped: ['range unmapped', 'ranges unmapped'],
  deviceAttached: ['device attached', 'devices attached'],
  deviceReplaced: ['device moved to another page table', 'devices moved to another page table'],
  deviceDetached: ['device detached', 'devices detached'],
  faultReported: ['page fault reported', 'page faults reported'],
  pasidChanged: ['step of a PASID', 'steps of PASIDs'],
};

/** `12 ranges mapped, 1 device attached`; what never happened is left out. */
export function describeEffects(effects: Readonly<Record<string, number>>): string {
  const parts = Object.entries(effects)
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${count} ${NAMES[name]?.[count === 1 ? 0 : 1] ?? name}`);
  return parts.length === 0 ? 'nothing' : parts.join(', ');
}
