import type { Refusal } from '../reason.ts';
import { attachmentsOf, devicesOn } from './attachments.ts';
import { deviceOf } from './binding.ts';
import { hexText, type ProposalCall, textArg, wideArg } from './call.ts';
import { policyOf } from './facts.ts';
import { tellOfFault } from './faults.ts';
import { tellOfAttachment } from './pasid-changes.ts';
import { ARGUMENT_BAD } from './reasons.ts';
import {
  NO_HARDWARE_NESTING,
  NO_PASID_TABLE,
  TABLE_AFTER_MAP,
  TABLE_BOUND,
  TABLE_NEEDS_CHILD,
  TABLE_UNBOUND,
} from './reasons-memory.ts';
import { IOAS_EVENT, moveIoas } from './spaces.ts';
import type { Ioas, ProposalFile } from './state.ts';

/**
 * Tables of the user: a page table, or a PASID table where the platform keeps it in guest memory. The parent
 * is how the kernel keeps isolation, so that only a nested space can have one. Source: proposal of
 * 2021-05-27, sections 1 and 3.
 */

export type TableKind = 'user-table' | 'pasid-table';

/** Whether the devices of a space, and the platform, can have a table of the user. */
export function checkTable(call: ProposalCall, ioas: Ioas, kind: TableKind): Refusal {
  const isGuestOwned = ['smmuv3', 'amd'].includes(policyOf(call.kernel.machine).platform);
  if (kind === 'pasid-table' && !isGuestOwned) return NO_PASID_TABLE;
  const devices = devicesOn(ioas).map((device) => deviceOf(call, device));
  return devices.every(({ hasHardwareNesting }) => hasHardwareNesting) ? null : NO_HARDWARE_NESTING;
}

/** IOASID_BIND_PGTABLE and IOASID_BIND_PASID_TABLE. */
export function bindTable(call: ProposalCall, ioas: Ioas, kind: TableKind): Refusal {
  if (ioas.parent === null) return TABLE_NEEDS_CHILD;
  const address = wideArg(call, 'addr');
  const format = textArg(call, 'format');
  if (address === null || format === null) return ARGUMENT_BAD;
  if (ioas.table !== null) return TABLE_BOUND;
  if (ioas.maps.length > 0) return TABLE_AFTER_MAP;
  const refusal = checkTable(call, ioas, kind);
  if (refusal !== null) return refusal;
  ioas.table = { address: hexText(address), format };
  ioas.kind = kind;
  moveIoas(ioas, IOAS_EVENT.BIND_TABLE);
  for (const attachment of attachmentsOf(ioas)) tellOfAttachment(call, 'bind', call.file!, ioas, attachment);
  return null;
}

/**
 * IOASID_UNBIND_PGTABLE and IOASID_UNBIND_PASID_TABLE. Page requests that wait are answered INVALID: see
 * docs/proposal-choices.md. Answers how many those were.
 */
export function unbindTable(
  call: ProposalCall,
  iommu: ProposalFile,
  ioas: Ioas,
  kind: TableKind,
): { readonly answered: number } | NonNullable<Refusal> {
  if (ioas.table === null || ioas.kind !== kind) return TABLE_UNBOUND;
  ioas.table = null;
  ioas.kind = 'open';
  moveIoas(ioas, IOAS_EVENT.UNBIND_TABLE);
  for (const attachment of attachmentsOf(ioas)) tellOfAttachment(call, 'unbind', iommu, ioas, attachment);
  const kept = iommu.faults.filter((fault) => fault.ioas !== ioas.id);
  const answered = iommu.faults.length - kept.length;
  for (const fault of iommu.faults)
    if (fault.ioas === ioas.id) tellOfFault(call, 'fault-answer', iommu, fault, 'invalid');
  iommu.faults = kept;
  return { answered };
}
