import type { Entry } from './entry.ts';
import type { Geometry } from './geometry.ts';

/** Entries of one cache, found by key (tag and PASID) and page. */
export interface EntryStore {
  /** Entries that translate a page, the one used last first. Counts as a use of them. */
  find(key: string, page: number): readonly Entry[];
  /** Adds an entry; a bounded store throws out the one of its set that was not used for longest. */
  fill(key: string, entry: Entry): void;
  /** Drops what lies in pages first..last (inclusive) and `isMeant`; a null key means all keys. */
  drop(key: string | null, firstPage: number, lastPage: number, isMeant?: (entry: Entry) => boolean): number;
  /** All entries, in the order they came. */
  entries(): Entry[];
}

export function createEntryStore(geometry: Geometry | null): EntryStore {
  return geometry === null ? unboundedStore() : boundedStore(geometry);
}

/** By size of the entries in pages, then by first page. */
type BySize = Map<number, Map<number, Entry[]>>;

const pagesOf = ({ firstPage, lastPage }: Entry): number => lastPage - firstPage + 1;
const NONE: readonly Entry[] = [];

function overlaps({ firstPage, lastPage }: Entry, first: number, last: number): boolean {
  return firstPage <= last && first <= lastPage;
}

/**
 * Whatever hardware may hold: nothing is ever thrown out, and a page may have several entries, because the
 * hardware may have forgotten one and walked anew.
 */
function unboundedStore(): EntryStore {
  const keys = new Map<string, BySize>();
  return {
    find(key, page) {
      const sizes = keys.get(key);
      if (sizes === undefined) return NONE;
      const found: Entry[] = [];
      for (const [size, places] of sizes) {
        const entries = places.get(page - (page % size));
        if (entries !== undefined) found.push(...entries);
      }
      return found.length > 1 ? found.sort((a, b) => b.filledAt - a.filledAt) : found;
    },
    fill(key, entry) {
      const sizes = getOrMake(keys, key, () => new Map<number, Map<number, Entry[]>>());
      const places = getOrMake(sizes, pagesOf(entry), () => new Map<number, Entry[]>());
      getOrMake(places, entry.firstPage, () => [] as Entry[]).push(entry);
    },
    drop(key, first, last, isMeant) {
      let dropped = 0;
      const all = key === null ? [...keys.values()] : [keys.get(key)];
      for (const sizes of all) {
        for (const [size, places] of sizes ?? []) dropped += dropPlaces(places, size, first, last, isMeant);
      }
      return dropped;
    },
    entries: () =>
      [...keys.values()]
        .flatMap((sizes) => [...sizes.values()].flatMap((places) => [...places.values()].flat()))
        .sort((a, b) => a.filledAt - b.filledAt),
  };
}

function dropPlaces(
  places: Map<number, Entry[]>,
  size: number,
  first: number,
  last: number,
  isMeant: ((entry: Entry) => boolean) | undefined,
): number {
  const from = first - (first % size);
  let dropped = 0;
  const dropAt = (page: number, entries: readonly Entry[]): void => {
    const kept = isMeant === undefined ? NONE : entries.filter((entry) => !isMeant(entry));
    dropped += entries.length - kept.length;
    if (kept.length === 0) places.delete(page);
    else places.set(page, [...kept]);
  };
  if ((last - from) / size > places.size) {
    for (const [page, entries] of places) if (page >= from && page <= last) dropAt(page, entries);
    return dropped;
  }
  for (let page = from; page <= last; page += size) {
    const entries = places.get(page);
    if (entries !== undefined) dropAt(page, entries);
  }
  return dropped;
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

/** Sets by the low bits of the page (of the entry's own size), ways thrown out least recently used first. */
function boundedStore({ sets, ways }: Geometry): EntryStore {
  /** Of each set, the one used last at the end. */
  const held: Held[][] = Array.from({ length: sets }, () => []);
  const sizes = new Set<number>();
  const setOf = (page: number, size: number): Held[] => held[Math.floor(page / size) % sets]!;
  return {
    find(key, page) {
      for (const size of sizes) {
        const set = setOf(page, size);
        const at = set.findIndex(
          (each) => each.key === key && pagesOf(each.entry) === size && overlaps(each.entry, page, page),
        );
        if (at < 0) continue;
        const [used] = set.splice(at, 1);
        set.push(used!);
        return [used!.entry];
      }
      return NONE;
    },
    fill(key, entry) {
      const size = pagesOf(entry);
      sizes.add(size);
      const set = setOf(entry.firstPage, size);
      if (set.length === ways) set.shift();
      set.push({ key, entry });
    },
    drop(key, first, last, isMeant) {
      let dropped = 0;
      held.forEach((set, place) => {
        const kept = set.filter(
          (each) =>
            (key !== null && each.key !== key) ||
            !overlaps(each.entry, first, last) ||
            isMeant?.(each.entry) === false,
        );
        dropped += set.length - kept.length;
        if (kept.length !== set.length) held[place] = kept;
      });
      return dropped;
    },
    entries: () =>
      held
        .flat()
        .map(({ entry }) => entry)
        .sort((a, b) => a.filledAt - b.filledAt),
  };
}
