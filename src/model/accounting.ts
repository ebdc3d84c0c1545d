import type { LockedMemory, Payer } from './accounting-state.ts';
import type { Kernel } from './kernel.ts';
import { putPages } from './pages-table.ts';
import { limitsOfProcess } from './process-limits.ts';
import { type Reason, type Refusal, reason } from './reason.ts';
import type { Context } from './state.ts';

/**
 * RLIMIT_MEMLOCK: who is charged for pinned pages and when it is too much. pages.c do_update_pinned. The way
 * of counting is chosen once, when the pages are mapped; pages that nobody is charged for (CAP_IPC_LOCK) cost
 * one comparison from then on.
 */

export const USER_LIMIT = reason(
  'locked-memory-of-user',
  'ENOMEM',
  'pages.c incr_user_locked_vm',
  'with these pages, the processes of this user would have pinned more than RLIMIT_MEMLOCK of the one that mapped them',
);
export const PROCESS_LIMIT = reason(
  'locked-memory-of-process',
  'ENOMEM',
  'pages.c update_mm_locked_vm; util.c __account_locked_vm',
  'with these pages, the process that mapped them would have locked more than its RLIMIT_MEMLOCK',
);

/** `PagesTable.payer` of pages that nobody is charged for: IOPT_PAGES_ACCOUNT_NONE. */
export const NOBODY = 0;

/** Who is charged for what the caller maps now: `iopt_alloc_pages`, `iopt_map_common`. */
export function payerOf(kernel: Kernel, context: Context): number {
  const process = kernel.state.processes[kernel.call.pid];
  if (process?.limits === undefined || process.limits.ipcLock) return NOBODY;
  return callerAs(kernel, context.accountMode);
}

/** The caller as a payer, in a given mode. */
export function callerAs(kernel: Kernel, mode: Payer['mode']): number {
  const { payers } = kernel.state.locked;
  const { mm, pid } = kernel.call;
  const { uid, memlockPages } = limitsOfProcess(kernel.state.processes[pid]!);
  const known = payers.findIndex((payer) => payer.mode === mode && payer.uid === uid && payer.mm === mm);
  if (known >= 0) return known + 1;
  return payers.push({ mode, uid, mm, limitPages: memlockPages, pageSets: 0 });
}

/** Must be asked for a payer only, not for nobody. */
export function payerAt({ locked }: Kernel['state'], payer: number): Payer {
  return locked.payers[payer - 1]!;
}

/** New pages are charged to a payer, or to another one than before. */
export function assignPayer(kernel: Kernel, pages: number, payer: number): void {
  const { pages: table, state } = kernel;
  const old = table.payer[pages]!;
  if (old === payer) return;
  if (payer !== NOBODY) payerAt(state, payer).pageSets += 1;
  table.payer[pages] = payer;
  table.payerCount += (payer === NOBODY ? 0 : 1) - (old === NOBODY ? 0 : 1);
  if (old !== NOBODY) leavePayer(kernel, payerAt(state, old));
}

/** `iopt_put_pages`. */
export function releasePages(kernel: Kernel, pages: number): void {
  const { pages: table } = kernel;
  if (table.payer[pages] !== NOBODY && table.refs[pages] === 1) assignPayer(kernel, pages, NOBODY);
  putPages(table, pages);
}

function leavePayer(kernel: Kernel, payer: Payer): void {
  payer.pageSets -= 1;
  if (payer.pageSets === 0) dropDeadSpace(kernel, payer.mm);
}

/** `mmdrop`: the count of a process that is gone ends with its last pages. */
export function dropDeadSpace({ state, memory }: Kernel, mm: number): void {
  const { payers, spaces } = state.locked;
  if (memory.spaces[mm]!.alive || spaces[mm] === undefined) return;
  if (payers.some((payer) => payer.mm === mm && payer.pageSets > 0)) return;
  delete spaces[mm];
}

/** How many pages the payer has been charged, over all contexts. */
function countOf(locked: LockedMemory, { mode, uid, mm }: Payer): number {
  return (mode === 'user' ? locked.users[uid] : locked.spaces[mm]) ?? 0;
}

/** Charges a payer, or gives back when negative. */
export function addLocked(kernel: Kernel, payer: Payer, pages: number): void {
  const { users, spaces } = kernel.state.locked;
  if (payer.mode === 'user') addTo(users, payer.uid, pages);
  else addTo(spaces, payer.mm, pages);
}

export function addTo(counts: Record<number, number>, key: number, pages: number): void {
  const sum = (counts[key] ?? 0) + pages;
  if (sum === 0) delete counts[key];
  else counts[key] = sum;
}

/** Whether a payer may be charged for so many pages more. */
export function refuseLocked({ state }: Kernel, payer: Payer, pages: number): Refusal {
  if (payer.limitPages === null || countOf(state.locked, payer) + pages <= payer.limitPages) return null;
  return limitOf(payer);
}

function limitOf({ mode }: Payer): Reason {
  return mode === 'user' ? USER_LIMIT : PROCESS_LIMIT;
}

/** `pfn_reader_user_update_pinned`: whether so many pages of an iopt_pages may be pinned in addition. */
export function refuseCharge(kernel: Kernel, pages: number, added: number): Refusal {
  const { payer, pinned, charged } = kernel.pages;
  const more = pinned[pages]! + added - charged[pages]!;
  return more <= 0 ? null : refuseLocked(kernel, payerAt(kernel.state, payer[pages]!), more);
}

/**
 * So many pages were pinned, or unpinned when negative. A process that is gone is given nothing back: its
 * address space can not be taken hold of any more (`mmget_not_zero`), and the pages stay charged.
 */
export function charge(kernel: Kernel, pages: number, added: number): void {
  const { payer: payers, pinned, charged } = kernel.pages;
  const payer = payerAt(kernel.state, payers[pages]!);
  pinned[pages]! += added;
  const more = pinned[pages]! - charged[pages]!;
  if (more === 0 || (more < 0 && !canGiveBack(kernel, payer))) return;
  addLocked(kernel, payer, more);
  charged[pages] = pinned[pages]!;
}

/** `update_mm_locked_vm`: the address space must be alive; a user always is. */
export function canGiveBack({ memory }: Kernel, { mode, mm }: Payer): boolean {
  return mode === 'user' || memory.spaces[mm]!.alive;
}
