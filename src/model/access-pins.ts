import { chargePin, unchargePin } from './accounting-ranges.ts';
import { addWide, compareWide, wide } from './address.ts';
import { type AreaTable, firstAreaIn, NONE, PROT_READ, PROT_WRITE, startByte } from './area-table.ts';
import { pageAt } from './held-pages.ts';
import type { IovaRange, IovaSpace } from './iova-space.ts';
import { type Kernel, spaceOf } from './kernel.ts';
import { mustGet } from './objects.ts';
import { exactAccess, isDmabuf } from './pages-table.ts';
import { refusePin } from './pinning.ts';
import { type Refusal, reason } from './reason.ts';
import type { Access, AccessItem, Context, Ioas } from './state.ts';
import type { PageIdentity } from './user-memory.ts';

/** Pinning and copying through access objects, along runs of areas. device.c and pages.c of iommufd. */

export const NOT_ATTACHED = reason(
  'access-not-attached',
  'ENOENT',
  'device.c iommufd_access_replace, _pin_pages, _rw',
  'the access object is attached to no IOAS',
);
const LENGTH_ZERO = reason(
  'access-length-zero',
  'EINVAL',
  'device.c iommufd_access_pin_pages, _rw',
  'the length is zero',
);
const RANGE_WRAPS = reason(
  'access-range-wraps',
  'EOVERFLOW',
  'device.c iommufd_access_pin_pages, _rw',
  'IOVA + length wraps past 2^64',
);
const NOT_PAGE_ALIGNED = reason(
  'pin-not-page-aligned',
  'EINVAL',
  'device.c iopt_area_contig_is_aligned',
  'an area in the range does not begin or end at a page of its user memory, so its pages do not line up',
);
export const ACCESS_DENIED = reason(
  'area-permission-missing',
  'EPERM',
  'device.c check_area_prot; pages.c iopt_area_add_access',
  'an area in the range lacks the permission that the access asks for',
);
const HOLE_IN_RANGE = reason(
  'hole-in-range',
  'ENOENT',
  'device.c iommufd_access_pin_pages, _rw',
  'the range is not covered by areas without a gap',
);

const DMABUF_PIN = reason(
  'access-pins-dmabuf',
  'EINVAL',
  'pages.c iopt_area_add_access',
  'the range maps a dma-buf, which an access object can not pin',
);
const AREA_LOCKED = reason(
  'area-locked',
  'EBUSY',
  'io_pagetable.c iopt_unmap_iova_range',
  'a HW queue holds pages of the area until it is destroyed',
);

const scratch = wide();

/** One step along a contiguous run of areas: `iopt_for_each_contig_area`. */
export interface Run {
  slot: number;
  /** First byte of the run in this area. */
  readonly at: { page: number; offset: number };
  /** Last byte of the run in this area, inclusive. */
  readonly last: { page: number; offset: number };
}

/**
 * Visits the areas of [first, last] from the front; null when all of it was covered, else what stopped it.
 */
function walk(
  areas: AreaTable,
  page: number,
  offset: number,
  lastPage: number,
  lastOffset: number,
  visit: (run: Run) => Refusal,
): Refusal {
  const run: Run = { slot: NONE, at: wide(page, offset), last: wide() };
  for (;;) {
    run.slot = firstAreaIn(areas, run.at.page, run.at.offset, run.at.page, run.at.offset);
    if (run.slot === NONE) return HOLE_IN_RANGE;
    const ends =
      compareWide(areas.lastPage[run.slot]!, areas.lastOffset[run.slot]!, lastPage, lastOffset) < 0;
    run.last.page = ends ? areas.lastPage[run.slot]! : lastPage;
    run.last.offset = ends ? areas.lastOffset[run.slot]! : lastOffset;
    const refusal = visit(run);
    if (refusal !== null || !ends) return refusal;
    addWide(run.at, run.last.page, run.last.offset, 0, 1);
  }
}

/** Checks that pinning and copying share, then visits the areas of iova .. iova + length - 1. */
export function walkAccess(
  kernel: Kernel,
  context: Context,
  access: Access,
  page: number,
  offset: number,
  length: number,
  visit: (space: IovaSpace, run: Run) => Refusal,
): Refusal {
  if (length === 0) return LENGTH_ZERO;
  const last = wide();
  if (addWide(last, page, offset, Math.floor((length - 1) / 4096), (length - 1) % 4096)) return RANGE_WRAPS;
  if (access.ioas === 0) return NOT_ATTACHED;
  const space = spaceOf(kernel, mustGet(context, access.ioas, 'ioas'));
  return walk(space.areas, page, offset, last.page, last.offset, (run) => visit(space, run));
}

export function refuseProt(areas: AreaTable, slot: number, write: boolean): Refusal {
  return (areas.prot[slot]! & (write ? PROT_WRITE : PROT_READ)) === 0 ? ACCESS_DENIED : null;
}

/** Pages first..last (indexes, inclusive) of an iopt_pages that one area contributes to a pin. */
interface PinnedPart {
  readonly slot: number;
  readonly first: number;
  readonly last: number;
}

/** `iommufd_access_pin_pages`: all or nothing. The pages pinned are appended to `heldPages` in order. */
export function pinPages(
  kernel: Kernel,
  context: Context,
  access: Access,
  page: number,
  offset: number,
  length: number,
  write: boolean,
  heldPages: PageIdentity[],
): Refusal {
  const parts: PinnedPart[] = [];
  let areas: AreaTable | undefined;
  const refusal = walkAccess(kernel, context, access, page, offset, length, (space, run) => {
    areas = space.areas;
    return pinPart(kernel, space, run, page, offset, length, write, parts, heldPages);
  });
  if (areas === undefined) return refusal;
  if (refusal !== null) for (const part of parts) unpinPart(kernel, areas, part);
  return refusal;
}

function pinPart(
  kernel: Kernel,
  { areas }: IovaSpace,
  run: Run,
  page: number,
  offset: number,
  length: number,
  write: boolean,
  parts: PinnedPart[],
  heldPages: PageIdentity[],
): Refusal {
  const { slot, at, last } = run;
  const start = wide();
  startByte(start, areas, slot, at.page, at.offset);
  const end = wide();
  startByte(end, areas, slot, last.page, last.offset);
  addWide(scratch, page, offset, Math.floor((length - 1) / 4096), (length - 1) % 4096);
  const isLastArea = compareWide(last.page, last.offset, scratch.page, scratch.offset) === 0;
  const endsAtPage =
    ((areas.lastOffset[slot]! - areas.startOffset[slot]! + areas.pageOffset[slot]!) & 0xfff) === 0xfff;
  // The kernel looks at the end of the area unless the range ends within it.
  if (areas.preventAccess[slot] === 1 || start.offset !== 0 || (!isLastArea && !endsAtPage))
    return NOT_PAGE_ALIGNED;
  const denied = refuseProt(areas, slot, write);
  if (denied !== null) return denied;
  const pages = areas.pages[slot]!;
  if (write && kernel.pages.writable[pages] === 0) return ACCESS_DENIED;
  if (isDmabuf(kernel.pages, pages)) return DMABUF_PIN;
  const node = exactAccess(kernel.pages, pages, start.page, end.page);
  if (node !== undefined) node.users += 1;
  else {
    const refusal =
      refusePin(kernel, pages, start.page, end.page) ?? chargePin(kernel, pages, start.page, end.page);
    if (refusal !== null) return refusal;
    const nodes = kernel.pages.accessNodes.get(pages) ?? [];
    nodes.push({ first: start.page, last: end.page, users: 1 });
    kernel.pages.accessNodes.set(pages, nodes);
  }
  areas.accesses[slot]! += 1;
  parts.push({ slot, first: start.page, last: end.page });
  for (let index = start.page; index <= end.page; index += 1) {
    heldPages.push(pageAt(kernel, pages, index));
  }
  return null;
}

/** `iopt_area_remove_access`. */
function unpinPart(kernel: Kernel, areas: AreaTable, { slot, first, last }: PinnedPart): void {
  const pages = areas.pages[slot]!;
  const node = exactAccess(kernel.pages, pages, first, last);
  if (node === undefined) throw new Error('an access unpins what it did not pin');
  areas.accesses[slot]! -= 1;
  node.users -= 1;
  if (node.users > 0) return;
  const left = kernel.pages.accessNodes.get(pages)!.filter((other) => other !== node);
  if (left.length > 0) kernel.pages.accessNodes.set(pages, left);
  else kernel.pages.accessNodes.delete(pages);
  unchargePin(kernel, pages, first, last);
}

/** `iommufd_access_unpin_pages` of one item. */
function unpinItem(kernel: Kernel, space: IovaSpace, item: AccessItem): void {
  const last = wide();
  addWide(
    last,
    item.iovaPage,
    item.iovaOffset,
    Math.floor((item.length - 1) / 4096),
    (item.length - 1) % 4096,
  );
  walk(
    space.areas,
    item.iovaPage,
    item.iovaOffset,
    last.page,
    last.offset,
    ({ slot, at, last: partLast }) => {
      const start = wide();
      startByte(start, space.areas, slot, at.page, at.offset);
      const end = wide();
      startByte(end, space.areas, slot, partLast.page, partLast.offset);
      unpinPart(kernel, space.areas, { slot, first: start.page, last: end.page });
      return null;
    },
  );
}

/** Unpins and forgets the items that `chosen` picks. */
export function dropItems(
  kernel: Kernel,
  access: Access,
  space: IovaSpace,
  chosen: (item: AccessItem) => boolean,
): void {
  for (const item of access.items) if (chosen(item)) unpinItem(kernel, space, item);
  access.items = access.items.filter((item) => !chosen(item));
}

/**
 * `iommufd_access_notify_unmap` as the selftest's driver answers it: every access of the IOAS drops the pins
 * that touch the area.
 */
export function unpinArea(
  kernel: Kernel,
  context: Context,
  ioas: Ioas,
  space: IovaSpace,
  slot: number,
): void {
  const { areas } = space;
  const range = rangeOf(areas, slot);
  for (const id of Object.values(ioas.accesses)) {
    const access = mustGet(context, id, 'access');
    if (!access.internal) dropItems(kernel, access, space, (item) => touches(item, range));
  }
}

function rangeOf(areas: AreaTable, slot: number): IovaRange {
  return {
    startPage: areas.startPage[slot]!,
    startOffset: areas.startOffset[slot]!,
    lastPage: areas.lastPage[slot]!,
    lastOffset: areas.lastOffset[slot]!,
  };
}

function touches({ iovaPage, iovaOffset, length }: AccessItem, range: IovaRange): boolean {
  const end = wide();
  addWide(end, iovaPage, iovaOffset, Math.floor((length - 1) / 4096), (length - 1) % 4096);
  return (
    compareWide(iovaPage, iovaOffset, range.lastPage, range.lastOffset) <= 0 &&
    compareWide(range.startPage, range.startOffset, end.page, end.offset) <= 0
  );
}

/**
 * Whether a HW queue holds the area (`num_locks`). Asked only for an area that is pinned by an access object.
 */
export function refuseLocked(context: Context, ioas: Ioas, { areas }: IovaSpace, slot: number): Refusal {
  const range = rangeOf(areas, slot);
  for (const id of Object.values(ioas.accesses)) {
    const { internal, items } = mustGet(context, id, 'access');
    if (internal && items.some((item) => touches(item, range))) return AREA_LOCKED;
  }
  return null;
}
