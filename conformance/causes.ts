import type { Difference } from './difference.ts';

/** Why the model's answer is not the recorded one. A mistake of the model is repaired, and is no cause. */
export interface Cause {
  /** Stable for ever. */
  readonly id: string;
  /** What happens in the kernel or in the capture. */
  readonly what: string;
  /** Where the kernel decides it, `file function`; null when it is the capture that lacks something. */
  readonly source: string | null;
  /** Why the model does not predict it. */
  readonly why: string;
  readonly explains: (difference: Difference) => boolean;
}

/** Captures of processes whose RLIMIT_MEMLOCK and user changed on the way; only text notes say so. */
const LIMITED = /^linux-6\.12-vtd\/.*rlimit$/;

/** In the order in which they are asked: the first that explains a difference is its cause. */
export const CAUSES: readonly Cause[] = [
  {
    id: 'kvm',
    what: 'The descriptor belongs to KVM.',
    source: 'virt/kvm/vfio.c',
    why: 'KVM is not modelled: its VFIO device only notes which files belong to a guest.',
    explains: ({ outcome, call }) => outcome === 'not-modelled' && /^kvm(-vfio)? /.test(call),
  },
  {
    id: 'hardware-events',
    what: 'The call waits for, or reads, events that the IOMMU reported.',
    source: 'eventq.c iommufd_veventq_fops_read; arm-smmu-v3.c arm_smmu_evtq_thread',
    why: 'No record tells when the hardware reported what.',
    explains: ({ outcome, call }) => outcome === 'not-modelled' && /^(veventq|fault) (read|poll)$/.test(call),
  },
  {
    id: 'hardware-fact',
    what: 'The result depends on the PCI device: whether it resets, has interrupts or regions, or is awake.',
    source: 'vfio_pci_core.c, vfio_pci_intrs.c, vfio_pci_rdwr.c',
    why: 'The topology does not say it and no earlier reply has told it; this reply does.',
    explains: ({ outcome, call }) => outcome === 'not-modelled' && call.startsWith('device '),
  },
  {
    id: 'not-modelled',
    what: 'The call is stored and shown, and the model has no handler for it.',
    source: null,
    why: 'Not done yet.',
    explains: ({ outcome }) => outcome === 'not-modelled',
  },
  {
    id: 'no-reply',
    what: 'The capture ends inside the call, or its reply is not in it.',
    source: null,
    why: 'There is nothing to compare with.',
    explains: ({ outcome }) => outcome === 'unanswered',
  },
  {
    id: 'memory-limit',
    what: 'RLIMIT_MEMLOCK of the process, its user and its capabilities decide.',
    source: 'pages.c update_unpinned, do_update_pinned; ioas.c iommufd_option_rlimit_mode',
    why: 'Notes for people only tell of setrlimit and setuid here: the limit is learned from the refusals.',
    explains: ({ outcome, fixture }) => outcome === 'partial' && LIMITED.test(fixture),
  },
  {
    id: 'unrecorded-bytes',
    what: 'The call copies user memory or fills a field whose content no record tells.',
    source: null,
    why: 'Return value, errno and all other bytes are predicted; these bytes are taken as recorded.',
    explains: ({ outcome }) => outcome === 'partial',
  },
];

/** Stands where no cause explains a difference: a mistake of the model, until the opposite is shown. */
export const UNEXPLAINED = 'unexplained';

export function causeOf(difference: Difference): string {
  return CAUSES.find(({ explains }) => explains(difference))?.id ?? UNEXPLAINED;
}
