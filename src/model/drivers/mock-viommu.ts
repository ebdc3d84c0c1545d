import {
  IOMMU_INVALIDATE_DATA,
  IOMMU_INVALIDATE_VIOMMU_SELFTEST,
  IOMMU_TEST_INVALIDATE_FLAGS,
  offsetsOf,
} from '../../uapi/index.ts';
import type { Kernel } from '../kernel.ts';
import { mustGet } from '../objects.ts';
import { type Refusal, reason } from '../reason.ts';
import type { Context, Viommu } from '../state.ts';
import { virtualKey } from '../virtual-key.ts';
import type { EntryArray, Invalidated } from './driver.ts';
import { readWholeArray } from './entry-array.ts';

/** Invalidation of the caches of devices behind a vIOMMU: the mock driver's part in selftest.c. */

const ENTRY = offsetsOf(IOMMU_INVALIDATE_VIOMMU_SELFTEST);
const ENTRY_BYTES = IOMMU_INVALIDATE_VIOMMU_SELFTEST.sizeBytes;
/** Entries of a device's fake cache. */
const CACHE_ENTRIES = 4;

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

/** `mock_viommu_cache_invalidate`. No entries at all is a way to ask whether the type is known. */
export function invalidateMockViommu(
  kernel: Kernel,
  context: Context,
  viommu: Viommu,
  array: EntryArray,
): Invalidated {
  if (array.count === 0 && array.type === IOMMU_INVALIDATE_DATA.SELFTEST) return { done: 0, refusal: null };
  const entries = readWholeArray(kernel, array, IOMMU_INVALIDATE_DATA.SELFTEST, ENTRY_BYTES);
  if (!Array.isArray(entries)) return { done: 0, refusal: entries.refusal };
  for (const [done, entry] of entries.entries()) {
    const refusal = invalidateOne(context, viommu, entry);
    if (refusal !== null) return { done, refusal };
  }
  return { done: entries.length, refusal: null };
}

function invalidateOne(context: Context, viommu: Viommu, entry: DataView): Refusal {
  const flags = entry.getUint32(ENTRY.flags, true);
  const device = entry.getUint32(ENTRY.vdev_id, true);
  const cache = entry.getUint32(ENTRY.cache_id, true);
  const { ALL } = IOMMU_TEST_INVALIDATE_FLAGS;
  if ((flags & ~ALL) !== 0) return ENTRY_FLAGS;
  const vdevice = viommu.vdevices[virtualKey(Math.floor(device / 4096), device % 4096)];
  const entries = vdevice === undefined ? null : cacheOf(context, vdevice);
  if (cache >= CACHE_ENTRIES) return ENTRY_CACHE;
  if (entries === null) return ENTRY_DEVICE;
  if ((flags & ALL) !== 0) entries.fill(0);
  else entries[cache] = 0;
  return null;
}

function cacheOf(context: Context, id: number): number[] {
  return mustGet(context, mustGet(context, id, 'vdevice').device, 'device').mock.cache;
}
