import { findMm, hostPasid, SYSTEM } from '../ioasid/index.ts';
import { isAccessible } from '../user-memory.ts';
import { coreOf, type ProposalCall } from './call.ts';
import { tellOfCore } from './pasid-changes.ts';
import type { PageRequest } from './state.ts';

/**
 * Page requests of a PASID that is bound to a process: the kernel answers them itself, from the mappings of
 * the process. Source: "iommu: Add a page fault handler", V12 of 2021-01-27, iopf_handle_single and
 * iopf_handle_group.
 */

/** `IOMMU_FAULT_PERM_WRITE`. */
const PERM_WRITE = 2;
const PAGE = 4096n;

/** Whether the kernel could handle a whole group; null for a PASID that is bound to no process. */
export function handleGroup(
  call: ProposalCall,
  pasid: number,
  requests: readonly PageRequest[],
): { readonly isHandled: boolean } | null {
  const { state } = call;
  const mm = findMm(coreOf(call), hostPasid(pasid));
  if (mm === null) return null;
  // The first that fails makes the whole group invalid, and later ones are not looked at.
  const isHandled = requests.every((request) => canHandle(call, mm, request));
  const ioasid = state.core.spaces[SYSTEM]!.ids[pasid]!;
  tellOfCore(call, 0, 'fault', ioasid, { process: mm });
  tellOfCore(call, 0, 'fault-answer', ioasid, { process: mm, reason: isHandled ? 'success' : 'invalid' });
  return { isHandled };
}

/** There has to be a mapping that allows the access. Of a process without records all memory is there. */
function canHandle({ kernel }: ProposalCall, mm: number, { pasid, address, perm }: PageRequest): boolean {
  if (pasid === null) return false;
  const process = kernel.state.processes[mm];
  if (process === undefined) return true;
  const page = Number(BigInt(address) / PAGE);
  return isAccessible(kernel.memory, process.mm, page, page, (perm & PERM_WRITE) !== 0, false);
}
