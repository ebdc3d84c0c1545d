import type { Entry } from './entry.ts';
import type { Geometry } from './geometry.ts';

/** Entries of one cache, found by key (tag and PASID) and page. */
export interface EntryStore {
  /** Entries that translate a page, newest first. Counts as a use of them. */
  find(key: string, page: number): readonly Entry[];
  /** Adds an entry; a bounded store throws out the one of its set that was not used for longest. */
  fill(key: string, entry: Entry): void;
  /** Drops what lies in pages first..last (inclusive) and `isMeant`; a null key means all keys. */
  drop(key: string | null, firstPage: number, lastPage: number, isMeant?: (entry: Entry) => boolean): number;
  /** Shows what lies in pages first..last; a null key means all keys. Counts as no use. */
  visit(key: string | null, firstPage: number, lastPage: number, see: (entry: Entry) => void): void;
  /** How many entries there are. */
  size(): number;
}

export function createEntryStore(geometry: Geometry | null): EntryStore {
  return geometry === null ? unboundedStore() : boundedStore(geometry);
}

const pagesOf = ({ firstPage, lastPage }: Entry): number => lastPage - firstPage + 1;
const NONE: readonly Entry[] = [];

function overlaps({ firstPage, lastPage }: Entry, first: number, last: number): boolean {
  return firstPage <= last && first <= lastPage;
}

/** By size of the entries in pages, then by first page. */
type BySize = Map<number, Map<number, Entry[]>>;

/**
 * Whatever hardware may hold: nothing is ever thrown out, and a page may have several entries, because the
 * hardware may have forgotten one and walked anew.
 */
function unboundedStore(): EntryStore {
  const keys = new Map<string, BySize>();
  let size = 0;
  const sizesOf = (key: string | null): Iterable<BySize> => {
    if (key === null) return keys.values();
    const found = keys.get(key);
    return found === undefined ? [] : [found];
  };
  return {
    find(key, page) {
      const found: Entry[] = [];
      for (const [pages, places] of keys.get(key) ?? []) {
        const entries = places.get(page - (page % pages));
        if (entries !== undefined) found.push(...entries);
      }
      return found.length > 1 ? found.sort((a, b) => b.filledAt - a.filledAt) : found;
    },
    fill(key, entry) {
      const sizes = getOrMake(keys, key, () => new Map<number, Map<number, Entry[]>>());
      const places = getOrMake(sizes, pagesOf(entry), () => new Map<number, Entry[]>());
      getOrMake(places, entry.firstPage, () => [] as Entry[]).push(entry);
      size += 1;
    },
    drop(key, first, last, isMeant) {
      let dropped = 0;
      for (const sizes of sizesOf(key)) {
        for (const [pages, places] of sizes) {
          eachPlace(places, pages, first, last, (page, entries) => {
            const kept = isMeant === undefined ? [] : entries.filter((entry) => !isMeant(entry));
            dropped += entries.length - kept.length;
            if (kept.length === 0) places.delete(page);
            else places.set(page, kept);
          });
        }
      }
      size -= dropped;
      return dropped;
    },
    visit(key, first, last, see) {
      for (const sizes of sizesOf(key)) {
        for (const [pages, places] of sizes)
          eachPlace(places, pages, first, last, (_page, entries) => entries.forEach(see));
      }
    },
    size: () => size,
  };
}

/** Places of entries of so many pages that lie in a range: by the range or by what there is, what is less. */
function eachPlace(
  places: ReadonlyMap<number, Entry[]>,
  pages: number,
  first: number,
  last: number,
  see: (page: number, entries: Entry[]) => void,
): void {
  const from = first - (first % pages);
  if ((last - from) / pages > places.size) {
    for (const [page, entries] of places) if (page >= from && page <= last) see(page, entries);
    return;
  }
  for (let page = from; page <= last; page += pages) {
    const entries = places.get(page);
    if (entries !== undefined) see(page, entries);
  }
}

function getOrMake<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}

interface Held {
  readonly key: string;
  readonly entry: Entry;
}

/** Sets by the low bits of the page (in units of the entry), ways thrown out least recently used first. */
function boundedStore({ sets, ways }: Geometry): EntryStore {
  /** Of each set, the one used last at the end. */
  const held: Held[][] = Array.from({ length: sets }, () => []);
  const sizes = new Set<number>();
  const setOf = (page: number, pages: number): Held[] => held[Math.floor(page / pages) % sets]!;
  const isIn = (each: Held, key: string | null, first: number, last: number): boolean =>
    (key === null || each.key === key) && overlaps(each.entry, first, last);
  return {
    find(key, page) {
      for (const pages of sizes) {
        const set = setOf(page, pages);
        const at = set.findIndex((each) => pagesOf(each.entry) === pages && isIn(each, key, page, page));
        if (at < 0) continue;
        const [used] = set.splice(at, 1);
        set.push(used!);
        return [used!.entry];
      }
      return NONE;
    },
    fill(key, entry) {
      const pages = pagesOf(entry);
      sizes.add(pages);
      const set = setOf(entry.firstPage, pages);
      if (set.length === ways) set.shift();
      set.push({ key, entry });
    },
    drop(key, first, last, isMeant) {
      let dropped = 0;
      held.forEach((set, place) => {
        const kept = set.filter((each) => !isIn(each, key, first, last) || isMeant?.(each.entry) === false);
        dropped += set.length - kept.length;
        if (kept.length !== set.length) held[place] = kept;
      });
      return dropped;
    },
    visit(key, first, last, see) {
      for (const set of held) for (const each of set) if (isIn(each, key, first, last)) see(each.entry);
    },
    size: () => held.reduce((sum, set) => sum + set.length, 0),
  };
}
