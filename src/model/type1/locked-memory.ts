import { addTo } from '../accounting.ts';
import type { Kernel } from '../kernel.ts';
import { limitsOfProcess } from '../process-limits.ts';
import { type Refusal, reason } from '../reason.ts';
import { isAccessible, type UserMemory } from '../user-memory.ts';

/**
 * RLIMIT_MEMLOCK as the classic container counts: every mapping anew, in `locked_vm` of the process, also
 * with CAP_IPC_LOCK, which only lifts the limit. vfio_iommu_type1.c vfio_pin_pages_remote, vfio_lock_acct.
 */

export const TYPE1_LIMIT = reason(
  'type1-locked-memory',
  'ENOMEM',
  'vfio_iommu_type1.c vfio_pin_pages_remote, vfio_change_dma_owner',
  'with these pages, the process would have locked more memory than RLIMIT_MEMLOCK, and it lacks CAP_IPC_LOCK',
);
const CANNOT_PIN = reason(
  'type1-memory-not-pinnable',
  'EFAULT',
  'vfio_iommu_type1.c vaddr_get_pfns',
  'a page behind the user address can not be pinned: not mapped, or no such access',
);

/** Pages that the caller may still lock; null: any number. */
function pagesLeft(kernel: Kernel): number | null {
  const { call, state } = kernel;
  const { ipcLock, memlockPages } = limitsOfProcess(state.processes[call.pid]!);
  if (ipcLock || memlockPages === null) return null;
  return Math.max(0, memlockPages - (state.locked.spaces[call.mm] ?? 0));
}

/**
 * Pages first..last of the caller are pinned from the front on, so that what comes first decides: a page that
 * can not be had, or one too many. Device memory is taken too (follow_fault_pfn), and not counted.
 */
export function refusePinning(kernel: Kernel, first: number, last: number, isWritten: boolean): Refusal {
  const { memory, call } = kernel;
  const left = pagesLeft(kernel);
  const tooMuch = left === null ? last + 1 : countedPage(memory, call.mm, first, last, left);
  const isLimited = tooMuch <= last;
  if (!isAccessible(memory, call.mm, first, isLimited ? tooMuch : last, isWritten, false)) return CANNOT_PIN;
  return isLimited ? TYPE1_LIMIT : null;
}

/** The page of first..last that `before` counted ones precede, or one behind `last`. */
function countedPage(memory: UserMemory, mm: number, first: number, last: number, before: number): number {
  let page = first + before;
  for (const [low, high] of devicePages(memory, mm, first, last)) {
    if (low > page) break;
    page += high - low + 1;
  }
  return Math.min(page, last + 1);
}

/** Parts of first..last that are memory of a device, ascending. */
function devicePages({ spaces }: UserMemory, mm: number, first: number, last: number): [number, number][] {
  return spaces[mm]!.ranges.filter(
    ({ backing, firstPage, lastPage }) => backing?.device && firstPage <= last && first <= lastPage,
  ).map(({ firstPage, lastPage }) => [Math.max(first, firstPage), Math.min(last, lastPage)]);
}

/** The caller has locked first..last for a mapping: how many of them count is kept with its pages. */
export function lockPages(kernel: Kernel, pages: number, first: number, last: number): void {
  const { memory, state, call } = kernel;
  let count = last - first + 1;
  for (const [low, high] of devicePages(memory, call.mm, first, last)) count -= high - low + 1;
  if (count === 0) return;
  kernel.pages.charged[pages] = count;
  addTo(state.locked.spaces, call.mm, count);
}

/** A mapping is gone; a process that is gone is given nothing back (`mmget_not_zero`). */
export function unlockPages(kernel: Kernel, pages: number): void {
  const { mm, charged } = kernel.pages;
  const owner = mm[pages]!;
  if (charged[pages] === 0 || !kernel.memory.spaces[owner]!.alive) return;
  addTo(kernel.state.locked.spaces, owner, -charged[pages]!);
}

/** `vfio_change_dma_owner`: the caller takes over what a mapping has locked. */
export function refuseNewOwner(kernel: Kernel, pages: number): Refusal {
  const left = pagesLeft(kernel);
  if (kernel.pages.mm[pages] === kernel.call.mm || left === null) return null;
  return kernel.pages.charged[pages]! > left ? TYPE1_LIMIT : null;
}

/** After `refuseNewOwner` let it pass. */
export function changeOwner(kernel: Kernel, pages: number): void {
  const { mm, charged } = kernel.pages;
  const { call, state } = kernel;
  if (mm[pages] === call.mm) return;
  unlockPages(kernel, pages);
  mm[pages] = call.mm;
  if (charged[pages]! > 0) addTo(state.locked.spaces, call.mm, charged[pages]!);
}
