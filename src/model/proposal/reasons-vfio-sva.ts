import { reason } from '../reason.ts';

/** Refusals of the PASIDs of VFIO containers, 2020. */

const V7 = 'vfio: expose virtual SVA, V7 07/16';
const V7_BIND = 'vfio: expose virtual SVA, V7 10/16';
const UAPI = 'iommu_sva_prepare_bind_data, 5.14';
const VTD = 'intel_svm_bind_gpasid, 5.14';

export const SVA_STRUCT_FAULT = reason(
  'vfio-sva-struct-unreadable',
  'EFAULT',
  V7,
  'the struct can not be read',
);
export const SVA_REQUEST = reason(
  'vfio-sva-request-arguments',
  'EINVAL',
  V7,
  'argsz is too small, a flag is unknown, both or none of alloc and free are set, or the range is none',
);
export const SVA_NO_PASIDS = reason(
  'vfio-sva-no-pasids',
  'EOPNOTSUPP',
  V7,
  'the container has no group under a nesting IOMMU whose PASIDs are those of the system',
);
export const SVA_NONE = reason(
  'vfio-sva-none',
  'ENOSPC',
  V7,
  'no number of the range can be given: quota of the process, or none free',
);
export const SVA_NO_GROUP = reason(
  'vfio-sva-no-group',
  'EINVAL',
  'vfio_ioctl_set_iommu, 5.9',
  'the container has no group',
);
export const SVA_NESTING_OP = reason(
  'vfio-sva-nesting-arguments',
  'EINVAL',
  V7_BIND,
  'argsz is too small, a flag is set above the lower 16 bits, or the operation is unknown',
);
export const SVA_NO_NESTING = reason(
  'vfio-sva-no-nesting',
  'EOPNOTSUPP',
  V7_BIND,
  'the container has no nesting IOMMU that page tables can be bound to',
);
export const SVA_BIND_DATA = reason(
  'vfio-sva-bind-arguments',
  'EINVAL',
  UAPI,
  'argsz, version, format, flags or padding of the bind data are none that are known',
);
export const SVA_BIND_PASID = reason(
  'vfio-sva-bind-pasid',
  'EINVAL',
  VTD,
  'the PASID is 0 or has more than 20 bits',
);
export const SVA_BOUND = reason('vfio-sva-bound', 'EBUSY', VTD, 'the PASID of the device is bound already');
