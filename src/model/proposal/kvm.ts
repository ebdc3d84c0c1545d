import { type GuestPasid, guestPasid, type IoasId } from '../ioasid/index.ts';
import { devicesOn, findAttachment } from './attachments.ts';
import { DONE, guestArg, type ProposalAnswer, type ProposalCall, textArg } from './call.ts';
import { findDevice } from './facts.ts';
import { scopeOfAttachment } from './pasid-changes.ts';
import { ARGUMENT_BAD } from './reasons.ts';
import { KVM_MAPPED, KVM_NO_PASID, KVM_UNMAPPED } from './reasons-memory.ts';
import type { Attachment, ProposalFile, Translation } from './state.ts';

/**
 * The CPU's table of a VM, from the guest's PASID to the one that ENQCMD sends. User space never sees the
 * latter: KVM asks the descriptor for it. Source: proposal of 2021-05-27, sections 3 and 4.
 */

/** The attachment whose PASID a descriptor would tell KVM; undefined when nothing is attached so. */
export function attachmentFor(iommu: ProposalFile, ioas: IoasId, guest: GuestPasid): Attachment | undefined {
  const space = iommu.spaces[ioas];
  if (space === undefined) return undefined;
  return devicesOn(space)
    .map((device) => findAttachment(space, device, guest))
    .find((other) => other !== undefined && other.host !== null);
}

/** KVM_MAP_PASID. */
export function mapPasid(
  call: ProposalCall,
  kvm: ProposalFile,
  iommu: ProposalFile,
  ioas: IoasId,
  guest: GuestPasid,
): ProposalAnswer {
  if (kvm.translations[guest] !== undefined) return KVM_MAPPED;
  // `ioasid_get_global_pasid(ctx, ioasid, alloc = false)`: the attach has allocated it, or there is none.
  const attachment = attachmentFor(iommu, ioas, guest);
  if (attachment === undefined) return KVM_NO_PASID;
  const scope = scopeOfAttachment(attachment);
  kvm.translations[guest] = { iommu: iommu.id, ioas, host: attachment.host!, scope };
  tellOfKvm(call, 'kvm-map', kvm, guest, kvm.translations[guest]);
  return DONE;
}

/** KVM_UNMAP_PASID. */
export function unmapPasid(call: ProposalCall, kvm: ProposalFile, guest: GuestPasid): ProposalAnswer {
  const translation = kvm.translations[guest];
  if (translation === undefined) return KVM_UNMAPPED;
  delete kvm.translations[guest];
  tellOfKvm(call, 'kvm-unmap', kvm, guest, translation);
  return DONE;
}

/**
 * `enqcmd`: a guest submits work to a device. The CPU takes the PASID from the guest's MSR; with
 * KVM_CAP_PASID_TRANSLATION it sends what its table says. The portal of a device whose numbers have to be
 * translated stays blocked until translation is on. Source: proposal of 2021-07-09, 1.4.4.
 */
export function submitWork(call: ProposalCall): ProposalAnswer {
  const [name, guest] = [textArg(call, 'device'), guestArg(call, 'pasid')];
  const device = name === null ? undefined : findDevice(call.kernel.machine, name);
  if (device === undefined || guest === null) return ARGUMENT_BAD;
  const { translates, translations } = call.file!;
  if (!device.isShared) return { ret: 0, out: { portal: 'none' } };
  // May 2021 has no switch: the table is there with its first entry.
  const isOn = translates || (call.generation === 'proposal-2021-05' && device.isMediated);
  if (!isOn) {
    // What a whole function takes is the guest's own number.
    if (!device.isMediated) return { ret: 0, out: { rid: device.functionName, pasid: guest } };
    return { ret: 0, out: { portal: 'blocked' } };
  }
  const found = translations[guest];
  if (found === undefined) return { ret: 0, out: { fault: 'untranslated' } };
  return { ret: 0, out: { rid: device.functionName, pasid: found.host } };
}

/** The virtual machine is gone, and its table with it. */
export function dropTranslations(call: ProposalCall, kvm: ProposalFile): void {
  for (const guest of Object.keys(kvm.translations)) unmapPasid(call, kvm, guestPasid(Number(guest)));
}

function tellOfKvm(
  { kernel }: ProposalCall,
  what: 'kvm-map' | 'kvm-unmap',
  { id }: ProposalFile,
  vpasid: GuestPasid,
  { iommu, host, scope }: Translation,
): void {
  kernel.effects.pasidChanged({ what, scope, pasid: host, vpasid, context: iommu, vm: id });
}
