import { LOW_PAGES_END, layoutOf, type UserLayout } from './user-layout.ts';

/**
 * What a trace tells about the memory of its processes: which addresses are mapped, which pages are the same
 * page, and what some of the bytes are. The kernel asks it three things: can this range be pinned, is this
 * the same page, what would a copy read.
 *
 * A recorder sees mmap and munmap of a program's own making; stack, heap and the loader's mappings it does
 * not see. So an address that no record mentions counts as mapped, unless it was unmapped by a record, is no
 * user address at all, or lies (in a trace that does record mappings) where only a program's own mmap could
 * have put something.
 */
export interface UserMemory {
  readonly layout: UserLayout;
  /** Address spaces by id; index 0 is unused. */
  readonly spaces: AddressSpace[];
  /** Known bytes by object, then by page of that object. */
  readonly contents: Map<number, Map<number, PageContent>>;
  /** Pages whose bytes a rule tells until somebody writes them; of two rules the later counts. */
  readonly ruled: RuledPages[];
  /** Memory files by open file (`file:ID`) or, of one never opened in the trace, by `mm:fd`. */
  readonly files: Map<string, FileMemory>;
  nextObject: number;
}

/** Pages of an object, both inclusive, and the rule of their bytes: an expression in `i` (memory-rule.ts). */
export interface RuledPages {
  readonly object: number;
  readonly firstPage: number;
  readonly lastPage: number;
  readonly rule: string;
}

/** A memory file: two mappings of it share their pages. */
export interface FileMemory {
  readonly object: number;
  /** The address space that stands for the file itself: page n of it is page n of the file. */
  readonly mm: number;
  /** On hugetlbfs. */
  readonly huge: boolean;
}

export interface AddressSpace {
  /** Stands for a memory file: one range from page 0 on, and nothing else is there. */
  readonly isFile: boolean;
  /**
   * False once the process is known to be gone: nothing of it can be pinned any more (`mmget_not_zero`
   * fails).
   */
  alive: boolean;
  /** Object that stands for all memory no record mentions. */
  readonly anonymous: number;
  /** Recorded mappings and holes, ascending, disjoint. */
  ranges: MappedRange[];
}

export interface MappedRange {
  /** Pages of 4096 bytes, both inclusive. */
  readonly firstPage: number;
  readonly lastPage: number;
  /** What backs it; null after munmap. */
  readonly backing: Backing | null;
}

export interface Backing {
  readonly object: number;
  /** Page of the object at `firstPage`. */
  readonly objectPage: number;
  readonly readable: boolean;
  readonly writable: boolean;
  readonly shared: boolean;
  /** MAP_HUGETLB: compound pages, whose reference counts the selftest does not check. */
  readonly huge: boolean;
  /** A device's BAR (VM_IO | VM_PFNMAP): can not be pinned. */
  readonly device: boolean;
}

export interface PageContent {
  readonly bytes: Uint8Array;
  /** 1 where the byte is known. */
  readonly known: Uint8Array;
}

/**
 * Most pages, 8 MiB, that lie in one piece behind a recorded mapping without a record of their own: what a
 * program has there besides its own mappings are libraries.
 */
const MOST_UNRECORDED_PAGES = 2048;
/** Pages below this are never mapped (`vm.mmap_min_addr`, 64 KiB). */
const LOWEST_USER_PAGE = 16;
export function createUserMemory(layout: UserLayout = layoutOf(null)): UserMemory {
  return {
    layout,
    spaces: [{ isFile: false, alive: false, anonymous: 0, ranges: [] }],
    contents: new Map(),
    ruled: [],
    files: new Map(),
    nextObject: 1,
  };
}

export function createSpace(memory: UserMemory, isFile = false): number {
  memory.spaces.push({ isFile, alive: true, anonymous: memory.nextObject, ranges: [] });
  memory.nextObject += 1;
  return memory.spaces.length - 1;
}

/** A child's copy: shared mappings are the same pages, private ones are its own from the first write on. */
export function forkSpace(memory: UserMemory, parent: number): number {
  const child = createSpace(memory);
  memory.spaces[child]!.ranges = memory.spaces[parent]!.ranges.map((range) => {
    if (range.backing === null || range.backing.shared) return range;
    const object = memory.nextObject;
    memory.nextObject += 1;
    return { ...range, backing: { ...range.backing, object } };
  });
  return child;
}

/** Records a mapping (or, with a null backing, a hole) over whatever was there. */
export function setRange(memory: UserMemory, mm: number, range: MappedRange): void {
  const space = memory.spaces[mm]!;
  const kept: MappedRange[] = [];
  for (const old of space.ranges) {
    if (old.lastPage < range.firstPage || old.firstPage > range.lastPage) {
      kept.push(old);
      continue;
    }
    if (old.firstPage < range.firstPage) kept.push(cut(old, old.firstPage, range.firstPage - 1));
    if (old.lastPage > range.lastPage) kept.push(cut(old, range.lastPage + 1, old.lastPage));
  }
  kept.push(range);
  kept.sort((a, b) => a.firstPage - b.firstPage);
  space.ranges = kept;
}

function cut(range: MappedRange, firstPage: number, lastPage: number): MappedRange {
  const { backing } = range;
  if (backing === null) return { firstPage, lastPage, backing };
  const objectPage = backing.objectPage + (firstPage - range.firstPage);
  return { firstPage, lastPage, backing: { ...backing, objectPage } };
}

/** Index of the last range that starts at or below the page, or -1. */
function rangeAt(space: AddressSpace, page: number): number {
  let low = 0;
  let high = space.ranges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (space.ranges[middle]!.firstPage <= page) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Last page up to which the recorded mapping of a page, or the gap between mappings, goes on. */
export function endOfMapping(memory: UserMemory, mm: number, page: number): number {
  const space = memory.spaces[mm]!;
  const at = rangeAt(space, page);
  const range = space.ranges[at];
  if (range !== undefined && page <= range.lastPage) return range.lastPage;
  const next = space.ranges[at + 1];
  return next === undefined ? Number.POSITIVE_INFINITY : next.firstPage - 1;
}

/**
 * Whether every page of firstPage..lastPage can be pinned or copied; `pin` refuses device memory
 * (pin_user_pages), which the CPU itself may touch. Costs the number of recorded mappings it crosses, not the
 * number of pages.
 */
export function isAccessible(
  memory: UserMemory,
  mm: number,
  firstPage: number,
  lastPage: number,
  write: boolean,
  pin: boolean,
): boolean {
  const space = memory.spaces[mm]!;
  if (space.isFile) return lastPage <= (space.ranges[0]?.lastPage ?? -1);
  if (!space.alive || firstPage < LOWEST_USER_PAGE || lastPage >= memory.layout.endPage) return false;
  let page = firstPage;
  let at = rangeAt(space, page);
  while (page <= lastPage) {
    const range = at >= 0 ? space.ranges[at]! : undefined;
    if (range !== undefined && page <= range.lastPage) {
      if (!allows(range.backing, write, pin)) return false;
      page = range.lastPage + 1;
      if (space.ranges[at + 1]?.firstPage === page) at += 1;
      continue;
    }
    // No record speaks of this page. The kernel puts mappings right below older ones, so what is behind a
    // recorded one is most likely mapped too.
    const next = space.ranges[at + 1];
    const isLast = next === undefined || next.firstPage > lastPage;
    if (space.ranges.length > 0 && !isUsualPlace(memory, page, isLast ? lastPage : next.firstPage - 1))
      return false;
    if (isBehindHeap(range, page)) return false;
    const end = isLast ? lastPage + 1 : next.firstPage;
    if (range !== undefined && end - page > MOST_UNRECORDED_PAGES) return false;
    if (isLast) return true;
    page = next.firstPage;
    at += 1;
  }
  return true;
}

/** Where an image that is not relocatable begins: 0x400000. */
const FIXED_IMAGE_PAGE = 0x400;

function isUsualPlace({ layout }: UserMemory, firstPage: number, lastPage: number): boolean {
  return layout.usualPlaces.some(([first, last]) => firstPage >= first && lastPage <= last);
}

/** Whether a record says of the page that it can be read and not written. */
export function isReadOnly(memory: UserMemory, mm: number, page: number): boolean {
  const space = memory.spaces[mm]!;
  if (space.ranges.length === 0) return false;
  const range = space.ranges[rangeAt(space, page)];
  if (range === undefined || range.lastPage < page || range.backing === null) return false;
  return range.backing.readable && !range.backing.writable;
}

/**
 * A low page with a mapping of the program's own between it and the image: the heap grows upwards from the
 * image and can not have passed that mapping.
 */
function isBehindHeap(below: MappedRange | undefined, page: number): boolean {
  return page <= LOW_PAGES_END && below !== undefined && below.firstPage > FIXED_IMAGE_PAGE;
}

function allows(backing: Backing | null, write: boolean, pin: boolean): boolean {
  if (backing === null) return false;
  if (pin && backing.device) return false;
  return write ? backing.writable : backing.readable;
}

/** A page by what backs it: two user pages are one physical page when object and page are equal. */
export interface PageIdentity {
  readonly object: number;
  readonly page: number;
  readonly huge: boolean;
}

/** Which page is behind a user page. */
export type Locate = (memory: UserMemory, mm: number, page: number) => PageIdentity;

/** What is behind a user page. */
export function locatePage(memory: UserMemory, mm: number, page: number): PageIdentity {
  const space = memory.spaces[mm]!;
  const range = space.ranges[rangeAt(space, page)];
  if (range === undefined || range.lastPage < page || range.backing === null) {
    return { object: space.anonymous, page, huge: false };
  }
  const { backing } = range;
  return { object: backing.object, page: backing.objectPage + (page - range.firstPage), huge: backing.huge };
}

/** Whether one of the user pages firstPage..lastPage of an address space is the page `target`. */
export function spansPage(
  memory: UserMemory,
  mm: number,
  firstPage: number,
  lastPage: number,
  target: PageIdentity,
): boolean {
  const space = memory.spaces[mm]!;
  const isTarget = (page: number): boolean => {
    if (page < firstPage || page > lastPage) return false;
    const at = locatePage(memory, mm, page);
    return at.object === target.object && at.page === target.page;
  };
  if (target.object === space.anonymous) return isTarget(target.page);
  return space.ranges.some(({ backing, firstPage: first }) => {
    return backing?.object === target.object && isTarget(first + target.page - backing.objectPage);
  });
}
