import type { Entry } from './entry.ts';
import { createEntryStore, type EntryStore } from './entry-store.ts';
import type { Geometry } from './geometry.ts';
import { type Invalidation, LAST_PAGE, type Tag } from './invalidation.ts';

/** The caches of one IOMMU, and the IOTLBs of the devices behind it. */

/** What the unit keeps of a device's or PASID's entry. */
export interface CachedSlot {
  readonly device: number;
  /** 0 is the RID. */
  readonly pasid: number;
  /** Tag that the entry names; null while it blocks. */
  readonly tag: Tag | null;
  /** ASID of a guest's context descriptor (SMMUv3); null where there is none, or nothing tells it. */
  readonly asid: number | null;
  /** The page that was asked for: a guest's entries are read on the way to it. */
  readonly page: number;
  readonly filledAt: number;
  /** Set once the entry in memory says something else and nothing has invalidated this one. */
  stale: SlotStaleness | null;
}

export interface SlotStaleness {
  /** Record that changed the entry. */
  readonly seq: number;
  /** Tag that it names now; `another context descriptor` of a guest. */
  readonly now: string;
  /** Who has to invalidate. */
  readonly who: 'kernel' | 'user';
}

export interface Caches {
  readonly iommu: string;
  readonly iotlb: EntryStore;
  /** Paging-structure caches: entries that span what a table's entry spans. */
  readonly walks: EntryStore;
  /** IOTLBs of devices that translate by themselves (ATS). */
  readonly deviceTlb: EntryStore;
  /** Context and PASID caches by `slotKey`. */
  readonly slots: Map<string, CachedSlot>;
  /** Keys of translations by tag: one for all PASIDs, or one for each. */
  readonly keys: Map<Tag, Set<string>>;
}

/** `geometry` bounds the IOTLB and the device TLBs; null for caches that never throw anything out. */
export function createCaches(iommu: string, geometry: Geometry | null): Caches {
  return {
    iommu,
    iotlb: createEntryStore(geometry),
    walks: createEntryStore(null),
    deviceTlb: createEntryStore(geometry),
    slots: new Map(),
    keys: new Map(),
  };
}

export function slotKey(device: number, pasid: number): string {
  return `${device}/${pasid}`;
}

/**
 * Key of translations in the IOTLB: a second stage is cached for all PASIDs alike, a first stage (and what is
 * nested on one) for each.
 */
export function translationKey(tag: Tag, pasid: number, perPasid: boolean): string {
  return perPasid ? `${tag}#${pasid}` : tag;
}

export function deviceKey(device: number, pasid: number): string {
  return `${device}#${pasid}`;
}

/** Puts a translation into the IOTLB (and `walks`, `deviceTlb`) it belongs to. */
export function fillCache(caches: Caches, entry: Entry, perPasid: boolean): void {
  if (entry.cache === 'device-tlb') {
    caches.deviceTlb.fill(deviceKey(entry.device, entry.pasid), entry);
    return;
  }
  const key = translationKey(entry.tag, entry.pasid, perPasid);
  let keys = caches.keys.get(entry.tag);
  if (keys === undefined) {
    keys = new Set();
    caches.keys.set(entry.tag, keys);
  }
  keys.add(key);
  (entry.cache === 'walk' ? caches.walks : caches.iotlb).fill(key, entry);
}

/**
 * Forgets what an invalidation tells to forget. One that is only possible forgets nothing: what hardware may
 * hold is what there is then.
 * @param stale Gets the stale entries that go.
 * @returns how many entries went.
 */
export function applyInvalidation(caches: Caches, invalidation: Invalidation, stale: Entry[] = []): number {
  if (invalidation.certainty === 'possible' || invalidation.iommu !== caches.iommu) return 0;
  switch (invalidation.cache) {
    case 'iotlb':
      return forgetTranslations(caches, invalidation, stale);
    case 'device-tlb':
      return forgetDevice(caches, invalidation, stale);
    case 'context':
    case 'pasid':
      return forgetSlots(caches, invalidation);
  }
}

function forgetTranslations(caches: Caches, invalidation: Invalidation, stale: Entry[]): number {
  const { tag, granularity, pasid, ofParent, leafOnly } = invalidation;
  const [first, last] = ofParent ? [0, LAST_PAGE] : [invalidation.firstPage, invalidation.lastPage];
  // What is cached of a guest's tables rests on leaves of the second stage.
  const stores = leafOnly === false || ofParent ? [caches.iotlb, caches.walks] : [caches.iotlb];
  let dropped = 0;
  const drop = (key: string | null): void => {
    for (const store of stores)
      dropped += store.drop(key, first, last, collecting(stale, filterOf(invalidation)));
  };
  if (tag === null || granularity === 'global') drop(null);
  else {
    const wanted = pasid === null ? null : translationKey(tag, pasid, true);
    for (const key of caches.keys.get(tag) ?? []) if (wanted === null || key === wanted) drop(key);
  }
  return dropped;
}

/** Which of the translations with a tag are meant; undefined for all. */
function filterOf({ reaches, asid }: Invalidation): ((entry: Entry) => boolean) | undefined {
  if (reaches === 'all') return undefined;
  return (entry) =>
    (entry.parent !== null) === (reaches === 'nested') &&
    (asid === null || entry.asid === null || entry.asid === asid);
}

type Filter = ((entry: Entry) => boolean) | undefined;

/** Notes the stale ones among the entries that are meant. */
function collecting(stale: Entry[], isMeant: Filter): (entry: Entry) => boolean {
  return (entry) => {
    if (isMeant?.(entry) === false) return false;
    if (entry.stale !== null) stale.push(entry);
    return true;
  };
}

function forgetDevice(
  { deviceTlb }: Caches,
  { device, pasid, ...range }: Invalidation,
  stale: Entry[],
): number {
  const [first, last] = range.ofParent ? [0, LAST_PAGE] : [range.firstPage, range.lastPage];
  const key = device === null || pasid === null ? null : deviceKey(device, pasid);
  const isMeant: Filter = device === null ? undefined : (entry) => entry.device === device;
  return deviceTlb.drop(key, first, last, collecting(stale, isMeant));
}

function forgetSlots({ slots }: Caches, { cache, granularity, device, pasid, tag }: Invalidation): number {
  let dropped = 0;
  for (const [key, slot] of slots) {
    if (cache === 'pasid' && pasid !== null && slot.pasid !== pasid) continue;
    if (granularity === 'device' && device !== null && slot.device !== device) continue;
    // A PASID-cache invalidation names a domain, a context-cache invalidation of a device need not.
    if (cache === 'pasid' && tag !== null && slot.tag !== tag) continue;
    slots.delete(key);
    dropped += 1;
  }
  return dropped;
}
