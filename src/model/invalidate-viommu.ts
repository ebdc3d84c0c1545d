import { viommuLifecycle } from '../../machines/index.ts';
import {
  IOMMU_HWPT_INVALIDATE,
  IOMMU_INVALIDATE_DATA,
  IOMMU_INVALIDATE_VIOMMU_SELFTEST,
  IOMMU_TEST_INVALIDATE_FLAGS,
  offsetsOf,
} from '../uapi/index.ts';
import { addWide, wide } from './address.ts';
import { BAD_USER_POINTER } from './check.ts';
import type { Kernel } from './kernel.ts';
import { moved, mustGet } from './objects.ts';
import { type Refusal, reason } from './reason.ts';
import type { Context, Viommu } from './state.ts';
import { fieldOffset, fieldPage, u32 } from './user-call.ts';
import { copyFromUser } from './user-copy.ts';
import { virtualKey } from './vdevice.ts';

/** Invalidation of the caches of devices behind a vIOMMU: the mock driver's part in selftest.c. */

const INVALIDATE = offsetsOf(IOMMU_HWPT_INVALIDATE);
const ENTRY = offsetsOf(IOMMU_INVALIDATE_VIOMMU_SELFTEST);
const ENTRY_BYTES = IOMMU_INVALIDATE_VIOMMU_SELFTEST.sizeBytes;

const ARRAY_TYPE = reason(
  'viommu-invalidate-array',
  'EINVAL',
  'iommu.h iommu_copy_struct_from_full_user_array',
  'the driver does not know this type of invalidation, or there are no entries',
);
const ENTRY_TAIL = reason(
  'viommu-invalidate-entry-tail',
  'E2BIG',
  'iommu.h iommu_copy_struct_from_full_user_array',
  'an entry is longer than the driver takes, and a byte beyond is not zero',
);
const ENTRY_FLAGS = reason(
  'viommu-invalidate-entry-flags',
  'EOPNOTSUPP',
  'selftest.c mock_viommu_cache_invalidate',
  'an entry has a flag that the driver does not know',
);
const ENTRY_CACHE = reason(
  'viommu-invalidate-entry-cache',
  'EINVAL',
  'selftest.c mock_viommu_cache_invalidate',
  'an entry names a fake cache entry that does not exist',
);
const ENTRY_DEVICE = reason(
  'viommu-invalidate-entry-device',
  'EINVAL',
  'selftest.c mock_viommu_cache_invalidate',
  'no device has the virtual id of an entry on this vIOMMU',
);

/** What was done of an invalidation before it was refused. */
export interface Invalidated {
  readonly done: number;
  readonly refusal: Refusal;
}

interface Entry {
  readonly flags: number;
  readonly device: number;
  readonly cache: number;
}

export function invalidateViommu(kernel: Kernel, context: Context, viommu: Viommu): Invalidated {
  const { call } = kernel;
  const { event, guard } = viommuLifecycle;
  viommu.lifecycle = moved(
    viommuLifecycle.step(viommu.lifecycle, event.INVALIDATE, guard.driverInvalidates),
    'invalidating on a vIOMMU',
  );
  const count = u32(call, INVALIDATE.entry_num);
  const isKnown = u32(call, INVALIDATE.data_type) === IOMMU_INVALIDATE_DATA.SELFTEST;
  if (count === 0 && isKnown) return { done: 0, refusal: null };
  if (!isKnown || count === 0) return { done: 0, refusal: ARRAY_TYPE };
  const entries: Entry[] = [];
  const refusal = readEntries(kernel, count, entries);
  if (refusal !== null) return { done: 0, refusal };
  let done = 0;
  for (const entry of entries) {
    const refused = invalidateOne(context, viommu, entry);
    if (refused !== null) return { done, refusal: refused };
    done += 1;
  }
  return { done, refusal: null };
}

/** All entries are read before any is obeyed. Shorter ones are filled with zeros. */
function readEntries(kernel: Kernel, count: number, entries: Entry[]): Refusal {
  const { call } = kernel;
  const length = u32(call, INVALIDATE.entry_len);
  const at = wide();
  for (let index = 0; index < count; index += 1) {
    const distance = index * length;
    addWide(
      at,
      fieldPage(call, INVALIDATE.data_uptr),
      fieldOffset(call, INVALIDATE.data_uptr),
      Math.floor(distance / 4096),
      distance % 4096,
    );
    const copied = copyFromUser(kernel, at.page, at.offset, length);
    if (copied === null) return BAD_USER_POINTER;
    if (copied.bytes.subarray(ENTRY_BYTES).some((byte) => byte !== 0)) return ENTRY_TAIL;
    const bytes = new Uint8Array(ENTRY_BYTES);
    bytes.set(copied.bytes.subarray(0, ENTRY_BYTES));
    const view = new DataView(bytes.buffer);
    entries.push({
      flags: view.getUint32(ENTRY.flags, true),
      device: view.getUint32(ENTRY.vdev_id, true),
      cache: view.getUint32(ENTRY.cache_id, true),
    });
  }
  return null;
}

function invalidateOne(context: Context, viommu: Viommu, { flags, device, cache }: Entry): Refusal {
  const { ALL } = IOMMU_TEST_INVALIDATE_FLAGS;
  if ((flags & ~ALL) !== 0) return ENTRY_FLAGS;
  const vdevice = viommu.vdevices[virtualKey(Math.floor(device / 4096), device % 4096)];
  const entries = vdevice === undefined ? null : cacheOf(context, vdevice);
  if (cache >= 4) return ENTRY_CACHE;
  if (entries === null) return ENTRY_DEVICE;
  if ((flags & ALL) !== 0) entries.fill(0);
  else entries[cache] = 0;
  return null;
}

function cacheOf(context: Context, id: number): number[] {
  return mustGet(context, mustGet(context, id, 'vdevice').device, 'device').mock.cache;
}
