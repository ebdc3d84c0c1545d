import type { GuestPasid, IoasId } from '../ioasid/index.ts';
import type { ProposalAnswer } from './call.ts';
import { DONE } from './call.ts';
import { KVM_MAPPED, KVM_NO_PASID, KVM_UNMAPPED } from './reasons-memory.ts';
import type { Attachment, ProposalFile } from './state.ts';

/**
 * The CPU's table of a VM, from the guest's PASID to the one that ENQCMD sends. User space never sees the
 * latter: KVM asks the descriptor for it. Source: proposal of 2021-05-27, sections 3 and 4.
 */

/** The attachment whose PASID a descriptor would tell KVM; undefined when nothing is attached so. */
export function attachmentFor(iommu: ProposalFile, ioas: IoasId, guest: GuestPasid): Attachment | undefined {
  return iommu.spaces[ioas]?.attachments.find((other) => other.guest === guest && other.host !== null);
}

/** KVM_MAP_PASID. */
export function mapPasid(
  kvm: ProposalFile,
  iommu: ProposalFile,
  ioas: IoasId,
  guest: GuestPasid,
): ProposalAnswer {
  if (kvm.translations[guest] !== undefined) return KVM_MAPPED;
  // `ioasid_get_global_pasid(ctx, ioasid, alloc = false)`: the attach has allocated it, or there is none.
  const attachment = attachmentFor(iommu, ioas, guest);
  if (attachment === undefined) return KVM_NO_PASID;
  kvm.translations[guest] = { iommu: iommu.id, ioas, host: attachment.host! };
  return DONE;
}

/** KVM_UNMAP_PASID. */
export function unmapPasid(kvm: ProposalFile, guest: GuestPasid): ProposalAnswer {
  if (kvm.translations[guest] === undefined) return KVM_UNMAPPED;
  delete kvm.translations[guest];
  return DONE;
}
