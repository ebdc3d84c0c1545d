import { BAD_USER_POINTER } from '../check.ts';
import type { Kernel } from '../kernel.ts';
import { type Refusal, reason } from '../reason.ts';
import { copyFromUser } from '../user-copy.ts';
import type { Refused, UserData } from './driver.ts';

/** Driver data as drivers copy it in: `iommu_copy_struct_from_user` of iommu.h. */

const DATA_TYPE = reason(
  'driver-data-type',
  'EINVAL',
  'iommu.h iommu_copy_struct_from_user',
  'the driver data is of another type than the driver takes',
);
export const DATA_LENGTH = reason(
  'nested-data-length',
  'EINVAL',
  'iommu.h iommu_copy_struct_from_user',
  'the driver data is shorter or longer than the driver takes',
);
export const ENTRY_TYPE = reason(
  'invalidate-type-unknown',
  'EINVAL',
  'mock_domain_cache_invalidate_user, intel_nested_cache_invalidate_user',
  'the driver does not know this type of invalidation',
);
export const ENTRY_LENGTH = reason(
  'invalidate-entry-length',
  'EINVAL',
  'iommu.h iommu_copy_struct_from_user_array',
  'an entry is shorter or longer than the driver takes',
);

/** Bytes of one struct of exactly `bytes`, or why they can not be had. */
export function readUserData(
  kernel: Kernel,
  data: UserData,
  type: number,
  bytes: number,
): Uint8Array | Refused {
  if (data.type !== type) return { refusal: DATA_TYPE };
  if (data.length !== bytes) return { refusal: DATA_LENGTH };
  const copied = copyFromUser(kernel, data.page, data.offset, bytes);
  return copied === null ? { refusal: BAD_USER_POINTER } : copied.bytes;
}

/** Whether a driver refused. */
export function isRefused<T extends object>(answer: T | Refused): answer is Refused {
  return 'refusal' in answer && (answer as { refusal: Refusal }).refusal !== null;
}
