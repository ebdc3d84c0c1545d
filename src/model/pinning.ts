import { TOP_PAGE } from './address.ts';
import { PROT_READ, PROT_WRITE } from './area-table.ts';
import { forgetReplaced, holdsPage } from './held-pages.ts';
import { eachFilledArea, heldRanges, without } from './held-ranges.ts';
import type { Kernel } from './kernel.ts';
import { FROM_FILE } from './pages-table.ts';
import { type Refusal, reason } from './reason.ts';
import type { Context, Ioas, PagingDomain } from './state.ts';
import { isAccessible, locatePage } from './user-memory.ts';

/**
 * Whether the pages of a slice can be pinned: pages.c. A page that a domain or an access object already holds
 * is not asked of the process again, so it stays usable when its address space is gone.
 */

const CANNOT_PIN = reason(
  'user-memory-not-pinnable',
  'EFAULT',
  'pages.c pfn_reader_user_pin',
  'a page behind the user address can not be pinned: not mapped, no such access, device memory, or its process is gone',
);

const CANNOT_PIN_FILE = reason(
  'file-not-pinnable',
  'EINVAL',
  'memfd.c memfd_pin_folios',
  'the file is no memory file, or the range reaches past its end',
);
const NO_PERMISSION = reason(
  'map-without-permission',
  'EINVAL',
  'iommu_pt.h map_pages of the generic page table',
  'the mapping allows neither reading nor writing, which this page table can not hold',
);
const READ_ONLY_PARENT = reason(
  'nest-parent-read-only',
  'EINVAL',
  'iommu_pt.h map_pages of the VT-d second stage; intel/iommu.c __domain_mapping',
  'a nest parent of VT-d maps nothing read-only, because of erratum 772415',
);
const BOTH = PROT_READ | PROT_WRITE;
const PAGE_RANGE_WRAPS = reason(
  'page-range-wraps',
  'EOVERFLOW',
  'gup.c gup_fast_fallback',
  'the last page to be pinned is the top one of the address space, so that its end wraps to zero',
);
export const USER_PAGE_FAULT = reason(
  'check-user-page-fault',
  'EFAULT',
  'selftest.c iommufd_test_md_check_pa, _md_check_refs, _check_pages',
  'a user page of the check is not mapped',
);
/** Page pointers that fit the default temporary memory of 64 KiB: how many pages are asked for at once. */
const PAGES_AT_ONCE = 8192;

/** `get_user_pages_fast` of one page of the caller, for reading: why it can not be had. */
export function refuseUserPage(kernel: Kernel, page: number): Refusal {
  if (page === TOP_PAGE) return PAGE_RANGE_WRAPS;
  return isAccessible(kernel.memory, kernel.call.mm, page, page, false, true) ? null : USER_PAGE_FAULT;
}

/** Whether a page table takes a mapping with these permissions; only MAP_DMA of VFIO may ask for none. */
export function refuseProtection({ needsProt }: PagingDomain, prot: number): Refusal {
  if (needsProt === 0 || (prot & needsProt) !== 0) return null;
  return prot === 0 ? NO_PERMISSION : READ_ONLY_PARENT;
}

/** Whether every page table of an IOAS takes a mapping with these permissions. */
export function refuseProtections(context: Context, ioas: Ioas, prot: number): Refusal {
  // What allows both satisfies every page table there is.
  if (prot === BOTH) return null;
  for (const id of ioas.domains) {
    const hwpt = context.objects[id];
    const refusal = hwpt?.type === 'hwpt-paging' ? refuseProtection(hwpt.domain, prot) : null;
    if (refusal !== null) return refusal;
  }
  return null;
}

/** Page indexes first..last (inclusive) of an iopt_pages. */
export function refusePin(kernel: Kernel, pages: number, first: number, last: number): Refusal {
  const { pages: table, memory } = kernel;
  const mm = table.mm[pages]!;
  const base = table.basePage[pages]!;
  const write = table.writable[pages] === 1;
  if (table.replaced.has(pages)) {
    for (const [low, high] of uncovered(kernel, pages, first, last)) forgetReplaced(kernel, pages, low, high);
  }
  if (isAccessible(memory, mm, base + first, base + last, write, true)) return null;
  const isFile = table.source[pages] === FROM_FILE;
  // Some page is not to be had from the process: is every such page held already?
  for (const [low, high] of uncovered(kernel, pages, first, last)) {
    if (isAccessible(memory, mm, base + low, base + high, write, true)) continue;
    if (isFile) return CANNOT_PIN_FILE;
    const isFast = mm === kernel.call.mm && high - low < PAGES_AT_ONCE;
    return isFast && base + high === TOP_PAGE ? PAGE_RANGE_WRAPS : CANNOT_PIN;
  }
  return null;
}

/** The parts of first..last that neither a domain nor an access object holds. */
function uncovered(kernel: Kernel, pages: number, first: number, last: number): [number, number][] {
  let left: [number, number][] = [[first, last]];
  for (const [low, high] of heldRanges(kernel).get(pages) ?? []) {
    left = left.flatMap(([a, b]) => without(a, b, low, high));
  }
  return left;
}

/**
 * How many pins hold one user page, over all contexts: each iopt_pages pins a page once, however many domains
 * and access objects use it. Looks at every iopt_pages, for the selftest's MD_CHECK_REFS only.
 */
export function countPins(kernel: Kernel, mm: number, userPage: number): number {
  const target = locatePage(kernel.memory, mm, userPage);
  const holders = new Set<number>();
  const consider = (pages: number, first: number, last: number): void => {
    if (holders.has(pages)) return;
    if (holdsPage(kernel, pages, first, last, target)) holders.add(pages);
  };
  eachFilledArea(kernel, consider);
  for (const [pages, nodes] of kernel.pages.accessNodes) {
    for (const node of nodes) consider(pages, node.first, node.last);
  }
  return holders.size;
}
