import type { Profile, Release } from '../profile.ts';

/** How vfio-pci differs between kernels, by name. */
export interface PciFeatures {
  /** The error interrupt exists on conventional PCI too, not only on PCI Express. */
  readonly errorIrqEverywhere: boolean;
  /** DEVICE_FEATURE knows MIG_PRECOPY_INFOv2, and refuses it before asking whether the driver migrates. */
  readonly precopyInfo2: boolean;
  /** DEVICE_FEATURE can export a BAR as dma-buf. */
  readonly exportsDmabuf: boolean;
  /** An ioeventfd of eight bytes is refused; before, only on architectures of 32 bits. */
  readonly refusesWideIoeventfd: boolean;
}

const FEATURES: Record<Release, PciFeatures> = {
  '6.12': {
    errorIrqEverywhere: false,
    precopyInfo2: false,
    exportsDmabuf: false,
    refusesWideIoeventfd: false,
  },
  '7.3': {
    errorIrqEverywhere: true,
    precopyInfo2: true,
    exportsDmabuf: true,
    refusesWideIoeventfd: true,
  },
};

export function pciFeatures({ release }: Profile): PciFeatures {
  return FEATURES[release];
}
