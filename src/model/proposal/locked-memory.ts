import { addTo } from '../accounting.ts';
import { limitsOfProcess } from '../process-limits.ts';
import type { Refusal } from '../reason.ts';
import { devicesOn } from './attachments.ts';
import { deviceOf } from './binding.ts';
import type { ProposalCall } from './call.ts';
import type { DeviceFacts } from './facts.ts';
import { ATTACH_LOCKED, MAPPER_GONE } from './reasons-memory.ts';
import type { Ioas, Mapping, ProposalFile } from './state.ts';

/**
 * RLIMIT_MEMLOCK, counted as type1 does: each mapping anew, in `locked_vm` of the process that mapped, also
 * with CAP_IPC_LOCK, which only lifts the limit. Only a root is charged: what is nested on it reaches the
 * same pages. Sources: proposal of 2021-05-27, sections 3 and 5.3; of 2021-07-09, section 3;
 * vfio_iommu_type1.c vfio_pin_pages_remote, vfio_lock_acct. Choices: docs/proposal-choices.md, "Locked
 * memory".
 */

/** Whether a process would have locked too much with so many pages of 4096 bytes more. */
export function exceedsLimit(
  { kernel: { state } }: Pick<ProposalCall, 'kernel'>,
  pid: number,
  pages: number,
): boolean {
  const process = state.processes[pid];
  if (process === undefined) return false;
  const { ipcLock, memlockPages } = limitsOfProcess(process);
  if (ipcLock || memlockPages === null) return false;
  return (state.locked.spaces[process.mm] ?? 0) + pages > memlockPages;
}

/** Charges a process, or gives back when negative; one that is gone took its count along. */
export function chargePages(
  { kernel: { state } }: Pick<ProposalCall, 'kernel'>,
  pid: number,
  pages: number,
): void {
  const process = state.processes[pid];
  if (process !== undefined && pages !== 0) addTo(state.locked.spaces, process.mm, pages);
}

/** Whether an IOMMU reaches what an address space maps: a device mediated by software pins by itself. */
export function isPinned(call: ProposalCall, ioas: Ioas): boolean {
  return ioas.parent === null && devicesOn(ioas).some((device) => !deviceOf(call, device).isSoftware);
}

/** Whether memory behind a mapping was registered, and is pinned and counted by that. */
export function isRegistered(
  { registered }: ProposalFile,
  { targetPage, pages }: Pick<Mapping, 'targetPage' | 'pages'>,
): boolean {
  return registered.some(
    (range) => range.page <= targetPage && targetPage + pages <= range.page + range.pages,
  );
}

/** The first device that an IOMMU sees is about to be attached: what was mapped before is pinned now. */
export function pinMaps(call: ProposalCall, iommu: ProposalFile, ioas: Ioas, device: DeviceFacts): Refusal {
  if (ioas.parent !== null || ioas.maps.length === 0 || device.isSoftware || isPinned(call, ioas))
    return null;
  const waiting = ioas.maps.filter((map) => !isRegistered(iommu, map));
  const pagesOf = new Map<number, number>();
  for (const { owner, pages } of waiting) {
    if (call.kernel.state.processes[owner] === undefined) return MAPPER_GONE;
    pagesOf.set(owner, (pagesOf.get(owner) ?? 0) + pages);
  }
  for (const [owner, pages] of pagesOf) if (exceedsLimit(call, owner, pages)) return ATTACH_LOCKED;
  for (const map of waiting) {
    map.lockedPages = map.pages;
    chargePages(call, map.owner, map.pages);
  }
  return null;
}

/** A device was detached: with the last one that an IOMMU sees, what is mapped is not pinned any more. */
export function unpinMaps(call: ProposalCall, ioas: Ioas): void {
  if (ioas.parent !== null || ioas.maps.length === 0 || isPinned(call, ioas)) return;
  for (const map of ioas.maps) {
    chargePages(call, map.owner, -map.lockedPages);
    map.lockedPages = 0;
  }
}

/** The descriptor is gone: nothing holds what it had registered. */
export function releaseRegistrations(call: Pick<ProposalCall, 'kernel'>, iommu: ProposalFile): void {
  for (const { owner, pages } of iommu.registered) chargePages(call, owner, -pages);
  iommu.registered = [];
}
