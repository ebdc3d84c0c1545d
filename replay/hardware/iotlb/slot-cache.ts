import type { NotedMemory } from '../guest-memory.ts';
import { type CachedSlot, type Caches, slotKey } from './caches.ts';
import { deviceOf, type LiveState, slotNow } from './live-state.ts';
import { walkSlot } from './live-walk.ts';

/** Context and PASID caches: the entries of devices and PASIDs that a unit has read. */

/** An access read the entry. A stale one that is held is what the unit goes on with, until it is told. */
export function fillSlot({ slots }: Caches, slot: CachedSlot): void {
  const key = slotKey(slot.device, slot.pasid);
  const held = slots.get(key);
  if (held?.stale == null) slots.set(key, slot);
}

/** Compares what is held with what the entries say now; those that just became stale. */
export function recheckSlots(
  state: LiveState,
  noted: NotedMemory,
  slots: ReadonlyMap<string, CachedSlot>,
  seq: number,
): CachedSlot[] {
  const found: CachedSlot[] = [];
  for (const slot of slots.values()) {
    const { device, pasid, page, tag, asid } = slot;
    // An entry that blocks is not kept: it translates nothing (VT-d 6.2.2, entries that are not present).
    if (tag === null) continue;
    const now = slotNow(state, device, pasid);
    const isGuests = now.kind === 'nested' && deviceOf(state, device).iommu.driver === 'smmuv3';
    const walk = walkSlot(state, noted, device, now, page, 'r');
    const isOther = walk.tag !== tag;
    const isOtherDescriptor = isGuests && asid !== null && walk.asid !== null && walk.asid !== asid;
    if (!isOther && !isOtherDescriptor) {
      slot.stale = null;
      continue;
    }
    if (slot.stale !== null) continue;
    slot.stale = isOther
      ? { seq, now: walk.tag ?? 'nothing', who: 'kernel' }
      : { seq, now: 'another context descriptor', who: 'user' };
    found.push(slot);
  }
  return found;
}
