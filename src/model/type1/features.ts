import { levelOf, type Profile, type Release } from '../profile.ts';

/** How releases of vfio_iommu_type1 differ. */
export interface Type1Features {
  /** VFIO_TYPE1_NESTING_IOMMU is offered (removed in Linux 6.13). */
  readonly nesting: boolean;
  /**
   * Sums are checked for overflow with an errno of their own, and a range may end at 2^64 (since Linux 6.18).
   * Before, the end of such a range is 0, and searches miss it.
   */
  readonly checksOverflow: boolean;
}

const featuresOf = (release: Release): Type1Features => ({
  nesting: levelOf(release) < levelOf('6.13'),
  checksOverflow: levelOf(release) >= levelOf('6.18'),
});

const FEATURES: Readonly<Record<Release, Type1Features>> = {
  '6.12': featuresOf('6.12'),
  '7.3': featuresOf('7.3'),
};

export function type1Features(profile: Profile): Type1Features {
  return FEATURES[profile.release];
}
