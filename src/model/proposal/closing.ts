import { findIoasid, flushNumber, numbersOfSet, SYSTEM, unbindMm } from '../ioasid/index.ts';
import { detachAll } from './attach.ts';
import { unbindDevice } from './binding.ts';
import { coreOf, type ProposalCall } from './call.ts';
import { dropSet } from './dev-ioasid.ts';
import { dropTranslations } from './kvm.ts';
import { releaseRegistrations } from './locked-memory.ts';
import { tellOfCore } from './pasid-changes.ts';
import { dropUnheld } from './spaces.ts';
import type { ProposalFile, ProposalState } from './state.ts';
import { tornDown } from './teardown.ts';
import { dropContainer } from './vfio-sva.ts';

/** What goes with the last descriptor of a file, and with a process. */

/** Closing a device detaches and unbinds it; closing a descriptor of the IOMMU waits for its devices. */
export function closeFile(call: ProposalCall, gone: ProposalFile): void {
  const { state, generation } = call;
  if (gone.kind === 'device') {
    for (const { iommu } of [...gone.bindings]) {
      const file = state.files[iommu]!;
      detachAll(call, gone, file);
      unbindDevice(call, gone, file);
      forget(call, file);
    }
  }
  if (gone.kind === 'kvm') dropTranslations(call, gone);
  if (gone.kind === 'container') dropContainer(call, gone);
  if (gone.kind === 'iommu') {
    if (generation === 'ioasid-v4') dropSet(call, gone);
    dropUnheld(call, gone);
  }
  forget(call, gone);
}

/** A file goes with its last descriptor, and one of the IOMMU once no device is bound to it either. */
function forget(call: ProposalCall, file: ProposalFile): void {
  if (file.refs > 0 || isBoundTo(call.state, file)) return;
  releaseRegistrations(call, file);
  delete call.state.files[file.id];
}

function isBoundTo({ files }: ProposalState, { id }: ProposalFile): boolean {
  return Object.values(files).some(({ bindings }) => bindings.some(({ iommu }) => iommu === id));
}

/**
 * The release hook of an address space (`mmu_notifier`): the bonds of the process end with it. The IOMMU
 * driver clears the entries and invalidates before the number goes back.
 */
export function endBonds(call: ProposalCall): void {
  const core = coreOf(call);
  const bound = core.core.bound[call.pid];
  if (bound === undefined) return;
  const { pasid, refs } = bound;
  if (findIoasid(core.core, pasid, SYSTEM)?.isCached === true) flushNumber(core, pasid);
  tornDown(call, pasid);
  for (let bond = 0; bond < refs; bond += 1) unbindMm(core, call.pid);
}

/** Numbers in the set of a process that is gone: only whoever made the set for it could give them back. */
export function tellOrphans(call: ProposalCall): void {
  const core = coreOf(call);
  for (const set of Object.values(core.core.sets)) {
    if (set.type !== 'mm' || set.token !== call.pid) continue;
    for (const ioasid of numbersOfSet(core, set.id)) tellOfCore(call, 0, 'orphan', ioasid);
  }
}
