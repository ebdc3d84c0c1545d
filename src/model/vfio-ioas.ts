import { IOMMU_VFIO_IOAS, IOMMU_VFIO_IOAS_OP, offsetsOf } from '../uapi/index.ts';
import { IOAS_NOT_FOUND, RESERVED_SET } from './check.ts';
import type { Kernel } from './kernel.ts';
import { getObject } from './objects.ts';
import { type Refusal, reason } from './reason.ts';
import type { Context, Ioas } from './state.ts';
import { respond, setU32, u16, u32 } from './user-call.ts';

/** IOMMU_VFIO_IOAS: which IOAS the VFIO compatibility ioctls use. vfio_compat.c of iommufd. */

const VFIO_IOAS = offsetsOf(IOMMU_VFIO_IOAS);

export const NO_COMPAT_IOAS = reason(
  'no-compat-ioas',
  'ENODEV',
  'vfio_compat.c get_compat_ioas',
  'the context has no IOAS for the VFIO compatibility ioctls',
);
const OP_UNKNOWN = reason(
  'vfio-ioas-operation-unknown',
  'EOPNOTSUPP',
  'vfio_compat.c iommufd_vfio_ioas',
  'the operation is neither GET, SET nor CLEAR',
);

/** The compatibility IOAS, or undefined: the pointer is weak and goes with its IOAS. */
export function compatIoas(context: Context): Ioas | undefined {
  return context.vfioIoas === 0 ? undefined : getObject(context, context.vfioIoas, 'ioas');
}

export function vfioIoas(kernel: Kernel, context: Context): Refusal {
  const { call } = kernel;
  if (u16(call, VFIO_IOAS.__reserved) !== 0) return RESERVED_SET;
  switch (u16(call, VFIO_IOAS.op)) {
    case IOMMU_VFIO_IOAS_OP.GET: {
      const ioas = compatIoas(context);
      if (ioas === undefined) return NO_COMPAT_IOAS;
      setU32(call, VFIO_IOAS.ioas_id, ioas.id);
      respond(call, IOMMU_VFIO_IOAS.sizeBytes);
      return null;
    }
    case IOMMU_VFIO_IOAS_OP.SET: {
      const ioas = getObject(context, u32(call, VFIO_IOAS.ioas_id), 'ioas');
      if (ioas === undefined) return IOAS_NOT_FOUND;
      context.vfioIoas = ioas.id;
      return null;
    }
    case IOMMU_VFIO_IOAS_OP.CLEAR:
      context.vfioIoas = 0;
      return null;
    default:
      return OP_UNKNOWN;
  }
}
