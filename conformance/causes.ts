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
  /** Whether a difference has this cause, seen with those before it in the same capture. */
  readonly explains: (difference: Difference, before: readonly Difference[]) => boolean;
}

/** Calls that decide what later calls are answered: without one of them the state is another. */
const MAKES_STATE = new Set([
  'container VFIO_IOMMU_MAP_DMA',
  'container VFIO_IOMMU_UNMAP_DMA',
  'container VFIO_SET_IOMMU',
  'device VFIO_DEVICE_ATTACH_IOMMUFD_PT',
  'device VFIO_DEVICE_BIND_IOMMUFD',
  'device VFIO_DEVICE_DETACH_IOMMUFD_PT',
  'group VFIO_GROUP_GET_DEVICE_FD',
  'group VFIO_GROUP_SET_CONTAINER',
  'group VFIO_GROUP_UNSET_CONTAINER',
]);

const isUnmodelledState = ({ outcome, call }: Difference): boolean =>
  outcome === 'not-modelled' && MAKES_STATE.has(call);

/** In the order in which they are asked: the first that explains a difference is its cause. */
export const CAUSES: readonly Cause[] = [
  {
    id: 'unrecorded-struct-tail',
    what: 'The size field says more bytes than the recorder kept of the struct (4096).',
    source: 'uaccess.h copy_struct_from_user',
    why: 'E2BIG depends on a byte that is not zero, and it may be one that was not recorded.',
    explains: ({ fixture, outcome, call }) =>
      outcome === 'not-modelled' && fixture === 'linux-6.12-probe/sizes' && call.startsWith('iommufd '),
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
    id: 'unrecorded-bytes',
    what: 'The call copies user memory or fills a field whose content no record tells.',
    source: null,
    why: 'Return value, errno and all other bytes are predicted; these bytes are taken as recorded.',
    explains: ({ outcome }) => outcome === 'partial',
  },
  {
    id: 'after-not-modelled',
    what: 'An earlier call of the capture changed the state, and the model has no handler for that call.',
    source: null,
    why: 'The object, attachment or address space that this call needs is not in the model.',
    explains: ({ outcome }, before) => outcome === 'diverged' && before.some(isUnmodelledState),
  },
];

/** Stands where no cause explains a difference: a mistake of the model, until the opposite is shown. */
export const UNEXPLAINED = 'unexplained';

export function causeOf(difference: Difference, before: readonly Difference[]): string {
  return CAUSES.find(({ explains }) => explains(difference, before))?.id ?? UNEXPLAINED;
}
