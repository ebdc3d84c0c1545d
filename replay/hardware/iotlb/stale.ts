import type { NotedMemory } from '../smmu-guest-memory.ts';
import { READ } from '../table-format.ts';
import { type Entry, isSamePage, type Staleness } from './entry.ts';
import { type Invalidation, type Tag, WHOLE } from './invalidation.ts';
import { type LiveState, type SlotNow, slotNow } from './live-state.ts';
import { slotTag, walkSlot } from './live-walk.ts';

/** Entries against the walk that made them: what is held and no longer true. */

/**
 * Compares an entry with what a walk gives now, and notes in it since when it is stale. One that is true
 * again is no longer stale.
 * @returns whether it became stale just now.
 */
export function recheck(state: LiveState, noted: NotedMemory, entry: Entry, seq: number): boolean {
  const now = differenceOf(state, noted, entry);
  if (now === null) {
    entry.stale = null;
    return false;
  }
  if (entry.stale !== null) return false;
  entry.stale = { seq, now, needed: neededFor(state, entry, seq, now) };
  return true;
}

/** Null while nothing speaks against it. */
function differenceOf(state: LiveState, noted: NotedMemory, entry: Entry): Staleness['now'] | null {
  const user = userOf(state, entry);
  // Without a user the tag waits for the next one; that of a nest parent belongs to its guests.
  if (user === null) return entry.parent !== null && isLive(state, entry.parent) ? null : 'nothing';
  const access = (entry.prot & READ) !== 0 ? 'r' : 'w';
  const walk = walkSlot(state, noted, user.device, user.now, entry.firstPage, access);
  // Another address space of the guest: the entry waits until its own comes back.
  if (entry.asid !== null && walk.asid !== null && entry.asid !== walk.asid) return null;
  if (entry.cache === 'walk') {
    if (walk.outcome === 'unknown') return null;
    return hasTable(state, user.now, entry, walk.tables) ? null : 'another entry';
  }
  if (walk.outcome === 'unknown') return null;
  if (walk.outcome === 'fault') return 'nothing';
  if (entry.to !== null && walk.here !== null && isSamePage(entry.to, walk.here) === false)
    return 'another page';
  return (entry.prot & ~walk.prot) === 0 ? null : 'other permissions';
}

function isLive({ domains }: LiveState, tag: Tag): boolean {
  return domains.has(Number(tag.slice(1)));
}

interface User {
  readonly device: number;
  readonly now: SlotNow;
}

/**
 * Who translates with the entry's tag: the device that filled it, or another. A second stage that is cached
 * by itself serves the slots nested on it as well.
 */
function userOf(state: LiveState, entry: Entry): User | null {
  const own = userAt(state, entry, entry.device, slotNow(state, entry.device, entry.pasid));
  if (own !== null || entry.cache === 'device-tlb') return own;
  for (const [key, now] of state.slots) {
    const user = userAt(state, entry, Number(key.slice(0, key.indexOf('/'))), now);
    if (user !== null) return user;
  }
  return null;
}

function userAt(state: LiveState, entry: Entry, device: number, now: SlotNow): User | null {
  const { tag, parent } = slotTag(state, device, now);
  if (tag === entry.tag && parent === entry.parent) return { device, now };
  const isBelow = entry.parent === null && now.kind === 'nested' && tag === entry.tag;
  return isBelow ? { device, now: { kind: 'paging', tag: entry.tag, domain: now.domain } } : null;
}

/** A table still hangs where the paging-structure caches have one. */
function hasTable(
  state: LiveState,
  now: SlotNow,
  entry: Entry,
  tables: readonly { readonly firstPage: number; readonly lastPage: number }[],
): boolean {
  const isOnTheWay = tables.some(
    ({ firstPage, lastPage }) => firstPage === entry.firstPage && lastPage === entry.lastPage,
  );
  if (isOnTheWay || now.kind !== 'paging') return isOnTheWay;
  const table = state.domains.get(now.domain)?.table;
  if (table === undefined) return false;
  const pages = entry.lastPage - entry.firstPage + 1;
  for (let level = 2; level <= table.levels(); level += 1) {
    if (2 ** (table.format.itemShift(level) - 12) === pages)
      return table.nextTable(level - 1, entry.firstPage) === entry.firstPage;
  }
  return false;
}

/** The least that would have made the caches forget it. */
function neededFor(state: LiveState, entry: Entry, seq: number, now: Staleness['now']): Invalidation {
  const { iommu, tag, pasid, device, parent, firstPage, lastPage } = entry;
  const isDevice = entry.cache === 'device-tlb';
  return {
    ...WHOLE,
    seq,
    // The kernel sees changes of its own tables; a guest's first stage only user space knows of.
    who: parent !== null && isGuestsChange(state, entry, now) ? 'user' : 'kernel',
    cause: parent === null ? 'unmap' : 'guest',
    iommu,
    cache: isDevice ? 'device-tlb' : 'iotlb',
    granularity: 'pages',
    tag,
    pasid,
    device: isDevice ? device : null,
    firstPage,
    lastPage,
    changedFirst: firstPage,
    changedLast: lastPage,
    leafOnly: entry.cache !== 'walk',
    asid: entry.asid,
  };
}

/** The slot is still nested as it was, so it was the guest's table (or its memory) that changed. */
function isGuestsChange(state: LiveState, entry: Entry, now: Staleness['now']): boolean {
  if (now === 'nothing' && userOf(state, entry) === null) return false;
  return state.changing !== 'parent';
}
