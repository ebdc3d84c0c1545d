import {
  IOMMU_INVALIDATE_DATA,
  IOMMU_INVALIDATE_SELFTEST,
  IOMMU_TEST_INVALIDATE_FLAGS,
  offsetsOf,
} from '../../uapi/index.ts';
import { addWide, wide } from '../address.ts';
import { BAD_USER_POINTER } from '../check.ts';
import type { Kernel } from '../kernel.ts';
import { type Refusal, reason } from '../reason.ts';
import type { HwptNested } from '../state.ts';
import { copyFromUser } from '../user-copy.ts';
import type { EntryArray, Invalidated } from './driver.ts';
import { ENTRY_LENGTH, ENTRY_TYPE } from './user-data.ts';

/** The fake IOTLB of the mock driver's nested page tables: selftest.c. */

const ENTRY = offsetsOf(IOMMU_INVALIDATE_SELFTEST);
/** Entries of the fake IOTLB of a nested domain. */
export const MOCK_IOTLB_ENTRIES = 4;

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

/** `mock_domain_cache_invalidate_user`: entries are read and done one after the other. */
export function invalidateMock(kernel: Kernel, hwpt: HwptNested, entries: EntryArray): Invalidated {
  if (entries.type !== IOMMU_INVALIDATE_DATA.SELFTEST) return { done: 0, refusal: ENTRY_TYPE };
  const at = wide();
  for (let index = 0; index < entries.count; index += 1) {
    const distance = index * entries.entryBytes;
    addWide(at, entries.page, entries.offset, Math.floor(distance / 4096), distance % 4096);
    const refusal = invalidateEntry(kernel, hwpt, entries.entryBytes, at.page, at.offset);
    if (refusal !== null) return { done: index, refusal };
  }
  return { done: entries.count, refusal: null };
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
