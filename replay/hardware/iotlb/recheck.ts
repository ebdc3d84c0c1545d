import type { NotedMemory } from '../guest-memory.ts';
import type { CachedSlot, Caches } from './caches.ts';
import type { Entry, Span } from './entry.ts';
import type { Executor } from './executor.ts';
import { LAST_PAGE, type Tag } from './invalidation.ts';
import { recheckSlots } from './slot-cache.ts';
import { recheck } from './stale.ts';

/** All that the caches hold, and what of it a change could concern. */

/** What of the projection this needs. */
interface Rechecked {
  readonly caches: ReadonlyMap<string, Caches>;
  readonly executor: Executor;
  readonly noted: NotedMemory;
  readonly step: { readonly becameStale: Entry[]; readonly staleSlots: CachedSlot[] };
}

export function isEmpty({ caches }: Rechecked): boolean {
  for (const { iotlb, walks, deviceTlb, slots } of caches.values())
    if (iotlb.size() + walks.size() + deviceTlb.size() + slots.size > 0) return false;
  return true;
}

function eachStore(running: Rechecked, see: (caches: Caches, store: Caches['iotlb']) => void): void {
  for (const caches of running.caches.values())
    for (const store of [caches.iotlb, caches.walks, caches.deviceTlb]) see(caches, store);
}

function check(running: Rechecked, entry: Entry, seq: number): void {
  const { executor, noted, step } = running;
  if (recheck(executor.state, noted, entry, seq)) step.becameStale.push(entry);
}

/** Entries of a domain whose pages changed, and all that are nested on it. */
export function recheckDomain(running: Rechecked, tag: Tag, spans: readonly Span[], seq: number): void {
  const { state } = running.executor;
  state.changing = 'parent';
  eachStore(running, (caches, store) => {
    for (const { firstPage, lastPage } of spans) {
      for (const key of caches.keys.get(tag) ?? [])
        store.visit(key, firstPage, lastPage, (entry) => check(running, entry, seq));
    }
    store.visit(null, 0, LAST_PAGE, (entry) => {
      const isPerDevice = entry.cache === 'device-tlb' || entry.tag.startsWith('g');
      if (entry.parent === tag || isPerDevice) check(running, entry, seq);
    });
  });
  state.changing = 'nothing';
}

/** A slot changed hands: tags may have no user any more. */
export function recheckAll(running: Rechecked, seq: number): void {
  checkSlots(running, seq);
  eachStore(running, (_caches, store) =>
    store.visit(null, 0, LAST_PAGE, (entry) => check(running, entry, seq)),
  );
}

/** A note told of memory: tables of guests may read otherwise now. */
export function recheckNested(running: Rechecked, seq: number): void {
  checkSlots(running, seq);
  eachStore(running, (_caches, store) =>
    store.visit(null, 0, LAST_PAGE, (entry) => {
      if (entry.parent !== null) check(running, entry, seq);
    }),
  );
}

function checkSlots({ caches, executor, noted, step }: Rechecked, seq: number): void {
  for (const { slots } of caches.values())
    step.staleSlots.push(...recheckSlots(executor.state, noted, slots, seq));
}

export function allSlots({ caches }: Rechecked): CachedSlot[] {
  return [...caches.values()]
    .flatMap(({ slots }) => [...slots.values()])
    .sort((a, b) => a.device - b.device || a.pasid - b.pasid);
}

const CACHE_ORDER = ['iotlb', 'walk', 'device-tlb'];

export function allEntries(running: Rechecked): Entry[] {
  const entries: Entry[] = [];
  eachStore(running, (_caches, store) => store.visit(null, 0, LAST_PAGE, (entry) => entries.push(entry)));
  return entries.sort(
    (a, b) =>
      compareText(a.iommu, b.iommu) ||
      CACHE_ORDER.indexOf(a.cache) - CACHE_ORDER.indexOf(b.cache) ||
      compareText(a.tag, b.tag) ||
      a.pasid - b.pasid ||
      a.firstPage - b.firstPage ||
      b.lastPage - a.lastPage ||
      a.filledAt - b.filledAt,
  );
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
