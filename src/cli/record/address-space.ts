/** Memory that a process has mapped with one call. Addresses are below 2^53; `end` is exclusive. */
export interface Area {
  readonly start: number;
  readonly end: number;
  readonly prot: number;
  readonly flags: number;
  /** The capture says that it is there. */
  told: boolean;
}

const MAP_SHARED = 0x01;
const MAP_PRIVATE = 0x02;
const PROT_READ = 1;
const PROT_WRITE = 2;
const PROT_EXEC = 4;

const NONE: readonly Area[] = [];

/**
 * What a process has mapped. Most of it has nothing to do with an IOMMU: the capture tells of an area when a
 * call maps it for devices, and from then on of all that happens to it.
 */
export interface AddressSpace {
  /** Puts an area in place of what was there. */
  add(area: Area): void;
  /** Takes a range away. */
  remove(start: number, end: number): void;
  /** Gives a range another protection; answers the parts of it that were told. */
  protect(start: number, end: number, prot: number): readonly Area[];
  /** Marks what a range touches as told, and answers those parts that were not. */
  tell(start: number, end: number): readonly Area[];
  /** The same for the area of an address, when it cannot be written to. */
  tellReadOnly(address: number): readonly Area[];
  isTold(start: number, end: number): boolean;
  /** All that was told. */
  told(): readonly Area[];
  copy(): AddressSpace;
}

/** A space with these areas, in ascending order and apart from each other. */
export function createAddressSpace(initial: readonly Area[] = []): AddressSpace {
  const areas = [...initial];

  /** Index of the first area that ends behind an address. */
  const indexOf = (address: number): number => {
    let low = 0;
    let high = areas.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (areas[middle]!.end <= address) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  const touching = (start: number, end: number): Area[] => {
    const found: Area[] = [];
    for (let at = indexOf(start); at < areas.length && areas[at]!.start < end; at += 1)
      found.push(areas[at]!);
    return found;
  };
  const replace = (start: number, end: number, by: readonly Area[]): void => {
    const found = touching(start, end);
    const first = indexOf(start);
    const head = found[0];
    const tail = found.at(-1);
    const kept = [...by];
    if (head !== undefined && head.start < start) kept.unshift({ ...head, end: start });
    if (tail !== undefined && tail.end > end) kept.push({ ...tail, start: end });
    areas.splice(first, found.length, ...kept);
  };

  return {
    add: (area) => replace(area.start, area.end, [area]),
    remove: (start, end) => replace(start, end, []),
    protect(start, end, prot) {
      const changed = touching(start, end).map((area) => ({
        ...area,
        start: Math.max(area.start, start),
        end: Math.min(area.end, end),
        prot,
      }));
      replace(start, end, changed);
      return changed.filter(({ told }) => told);
    },
    tell(start, end) {
      const found = touching(start, end).filter(({ told }) => !told);
      for (const area of found) area.told = true;
      return found;
    },
    tellReadOnly(address) {
      const area = areas[indexOf(address)];
      if (area === undefined || area.told || area.start > address || (area.prot & PROT_WRITE) !== 0)
        return NONE;
      area.told = true;
      return [area];
    },
    isTold: (start, end) => touching(start, end).some(({ told }) => told),
    told: () => areas.filter(({ told }) => told),
    copy: () => createAddressSpace(areas.map((area) => ({ ...area }))),
  };
}

/** Lines of /proc/PID/maps as areas. What the kernel puts there for itself is none of them. */
export function areasOfMaps(text: string): readonly Area[] {
  const areas: Area[] = [];
  for (const line of text.split('\n')) {
    const found = /^([0-9a-f]+)-([0-9a-f]+) ([r-])([w-])([x-])([sp]) \S+ \S+ \S+ *(.*)$/.exec(line);
    if (found === null) continue;
    const [, start, end, r, w, x, shared, name] = found;
    if (name === '[vsyscall]' || name === '[vvar]' || name === '[vvar_vclock]') continue;
    areas.push({
      start: Number.parseInt(start!, 16),
      end: Number.parseInt(end!, 16),
      prot: (r === 'r' ? PROT_READ : 0) | (w === 'w' ? PROT_WRITE : 0) | (x === 'x' ? PROT_EXEC : 0),
      flags: shared === 's' ? MAP_SHARED : MAP_PRIVATE,
      told: false,
    });
  }
  return areas;
}
