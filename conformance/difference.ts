import type { Divergence, Outcome } from '../replay/index.ts';

/** A call whose whole reply the model did not predict. */
export interface Difference {
  /** `folder/name` of the capture. */
  readonly fixture: string;
  /** Kernel profile that it was replayed with. */
  readonly profile: string;
  readonly seq: number;
  /** Kind of the descriptor and name of the call: `device VFIO_DEVICE_BIND_IOMMUFD`. */
  readonly call: string;
  /** Anything but `matched`. */
  readonly outcome: Outcome;
  /** What differs; null unless the outcome is `diverged`. */
  readonly divergence: Divergence | null;
}
