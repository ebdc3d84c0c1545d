import { hwptNestedLifecycle, viommuLifecycle } from '../../machines/index.ts';
import { IOMMU_HWPT_INVALIDATE, offsetsOf } from '../uapi/index.ts';
import { HWPT_NOT_FOUND, RESERVED_SET } from './check.ts';
import { DRIVERS, type EntryArray } from './drivers/index.ts';
import type { Kernel } from './kernel.ts';
import { moved } from './objects.ts';
import { type Refusal, reason } from './reason.ts';
import type { Context, HwptNested, Viommu } from './state.ts';
import { fieldOffset, fieldPage, respond, setU32, u32 } from './user-call.ts';

/** IOMMU_HWPT_INVALIDATE: hw_pagetable.c. */

const INVALIDATE = offsetsOf(IOMMU_HWPT_INVALIDATE);
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

const NO_INVALIDATION = reason(
  'invalidate-unsupported',
  'EOPNOTSUPP',
  'hw_pagetable.c iommufd_hwpt_invalidate',
  'the driver has no invalidation of what hwpt_id names',
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
  const type = u32(call, INVALIDATE.data_type);
  const target = context.objects[u32(call, INVALIDATE.hwpt_id)];
  const entries: EntryArray = { type, page, offset, entryBytes: entryLength, count };
  if (kernel.profile.has.viommu && target?.type === 'viommu')
    return invalidateViommu(kernel, context, target, entries);
  if (target?.type === 'hwpt-nested') return invalidateNested(kernel, target, entries);
  return kernel.profile.has.viommu && target !== undefined ? TARGET_OF_WRONG_TYPE : HWPT_NOT_FOUND;
}

function invalidateNested(kernel: Kernel, hwpt: HwptNested, entries: EntryArray): Refusal {
  const { invalidateNested: driver } = DRIVERS[hwpt.driver];
  if (driver === null) return NO_INVALIDATION;
  const { event, guard } = hwptNestedLifecycle;
  hwpt.lifecycle = moved(
    hwptNestedLifecycle.step(hwpt.lifecycle, event.INVALIDATE, guard.driverInvalidates),
    'invalidating',
  );
  const answer = driver(kernel, hwpt, entries);
  done = answer.done;
  return answer.refusal;
}

function invalidateViommu(kernel: Kernel, context: Context, viommu: Viommu, entries: EntryArray): Refusal {
  const { invalidateViommu: driver } = DRIVERS[viommu.driver];
  if (driver === null) return NO_INVALIDATION;
  const { event, guard } = viommuLifecycle;
  viommu.lifecycle = moved(
    viommuLifecycle.step(viommu.lifecycle, event.INVALIDATE, guard.driverInvalidates),
    'invalidating on a vIOMMU',
  );
  const answer = driver(kernel, context, viommu, entries);
  done = answer.done;
  return answer.refusal;
}
