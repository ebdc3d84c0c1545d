import { hwptNestedLifecycle } from '../../machines/index.ts';
import {
  IOMMU_HWPT_INVALIDATE,
  IOMMU_INVALIDATE_DATA,
  IOMMU_INVALIDATE_SELFTEST,
  IOMMU_TEST_INVALIDATE_FLAGS,
  offsetsOf,
} from '../uapi/index.ts';
import { addWide, wide } from './address.ts';
import { BAD_USER_POINTER, HWPT_NOT_FOUND, RESERVED_SET } from './check.ts';
import { invalidateViommu } from './invalidate-viommu.ts';
import type { Kernel } from './kernel.ts';
import { MOCK_IOTLB_ENTRIES } from './mock-iommu.ts';
import { moved } from './objects.ts';
import { type Refusal, reason } from './reason.ts';
import type { Context, HwptNested } from './state.ts';
import { fieldOffset, fieldPage, respond, setU32, u32 } from './user-call.ts';
import { copyFromUser } from './user-copy.ts';

/** IOMMU_HWPT_INVALIDATE: hw_pagetable.c, and the mock driver's part of it in selftest.c. */

const INVALIDATE = offsetsOf(IOMMU_HWPT_INVALIDATE);
const ENTRY = offsetsOf(IOMMU_INVALIDATE_SELFTEST);
/** IOMMU_HWPT_INVALIDATE_ENTRY_NUM_MAX, since 6.12.96 and 7.x. */
const MOST_ENTRIES = 2 ** 19;

const ARRAY_MALFORMED = reason(
  'invalidate-array-malformed',
  'EINVAL',
  'hw_pagetable.c iommufd_hwpt_invalidate',
  'there are entries, and their pointer is NULL, their length 0 or above a page, or their number above 2^19',
);
const TARGET_OF_WRONG_TYPE = reason(
  'invalidate-target-of-wrong-type',
  'EINVAL',
  'hw_pagetable.c iommufd_hwpt_invalidate',
  'hwpt_id names neither a nested HWPT nor a vIOMMU',
);
const TYPE_UNKNOWN = reason(
  'invalidate-type-unknown',
  'EINVAL',
  'selftest.c mock_domain_cache_invalidate_user',
  'the driver does not know this type of invalidation',
);
const ENTRY_LENGTH = reason(
  'invalidate-entry-length',
  'EINVAL',
  'iommu.h iommu_copy_struct_from_user_array',
  'an entry is shorter or longer than the driver takes',
);
const ENTRY_FLAGS = reason(
  'invalidate-entry-flags',
  'EOPNOTSUPP',
  'selftest.c mock_domain_cache_invalidate_user',
  'an entry has a flag that the driver does not know',
);
const ENTRY_ID = reason(
  'invalidate-entry-id',
  'EINVAL',
  'selftest.c mock_domain_cache_invalidate_user',
  'an entry names a fake IOTLB entry that does not exist',
);

/** Entries done by the driver; written back as entry_num whatever happened. */
let done = 0;

export function hwptInvalidate(kernel: Kernel, context: Context): Refusal {
  const { call } = kernel;
  done = 0;
  const refusal = invalidate(kernel, context);
  setU32(call, INVALIDATE.entry_num, done);
  respond(call, IOMMU_HWPT_INVALIDATE.sizeBytes);
  return refusal;
}

function invalidate(kernel: Kernel, context: Context): Refusal {
  const { call } = kernel;
  if (u32(call, INVALIDATE.__reserved) !== 0) return RESERVED_SET;
  const count = u32(call, INVALIDATE.entry_num);
  const entryLength = u32(call, INVALIDATE.entry_len);
  const page = fieldPage(call, INVALIDATE.data_uptr);
  const offset = fieldOffset(call, INVALIDATE.data_uptr);
  const isNull = page === 0 && offset === 0;
  if (
    count > 0 &&
    (isNull ||
      entryLength === 0 ||
      (kernel.profile.has.boundsInvalidation &&
        (entryLength > kernel.profile.pageBytes || count > MOST_ENTRIES)))
  ) {
    return ARRAY_MALFORMED;
  }
  const target = context.objects[u32(call, INVALIDATE.hwpt_id)];
  if (kernel.profile.has.viommu && target?.type === 'viommu') {
    const answer = invalidateViommu(kernel, context, target);
    done = answer.done;
    return answer.refusal;
  }
  if (target?.type === 'hwpt-nested')
    return invalidateNested(kernel, target, count, entryLength, page, offset);
  return kernel.profile.has.viommu && target !== undefined ? TARGET_OF_WRONG_TYPE : HWPT_NOT_FOUND;
}

function invalidateNested(
  kernel: Kernel,
  hwpt: HwptNested,
  count: number,
  entryLength: number,
  page: number,
  offset: number,
): Refusal {
  const { call } = kernel;
  const { event, guard } = hwptNestedLifecycle;
  hwpt.lifecycle = moved(
    hwptNestedLifecycle.step(hwpt.lifecycle, event.INVALIDATE, guard.driverInvalidates),
    'invalidating',
  );
  if (u32(call, INVALIDATE.data_type) !== IOMMU_INVALIDATE_DATA.SELFTEST) return TYPE_UNKNOWN;
  const at = wide();
  for (let index = 0; index < count; index += 1) {
    const distance = index * entryLength;
    addWide(at, page, offset, Math.floor(distance / 4096), distance % 4096);
    const refusal = invalidateEntry(kernel, hwpt, entryLength, at.page, at.offset);
    if (refusal !== null) return refusal;
    done += 1;
  }
  return null;
}

function invalidateEntry(
  kernel: Kernel,
  hwpt: HwptNested,
  length: number,
  page: number,
  offset: number,
): Refusal {
  if (length !== IOMMU_INVALIDATE_SELFTEST.sizeBytes) return ENTRY_LENGTH;
  const entry = copyFromUser(kernel, page, offset, length);
  if (entry === null) return BAD_USER_POINTER;
  const view = new DataView(entry.bytes.buffer, entry.bytes.byteOffset, length);
  const flags = view.getUint32(ENTRY.flags, true);
  const id = view.getUint32(ENTRY.iotlb_id, true);
  const { ALL } = IOMMU_TEST_INVALIDATE_FLAGS;
  if ((flags & ~ALL) !== 0) return ENTRY_FLAGS;
  if (id >= MOCK_IOTLB_ENTRIES) return ENTRY_ID;
  if ((flags & ALL) !== 0) hwpt.iotlb.fill(0);
  else hwpt.iotlb[id] = 0;
  return null;
}
