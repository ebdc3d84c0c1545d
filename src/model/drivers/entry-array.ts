import { addWide, toBigInt, type Wide, wide } from '../address.ts';
import { BAD_USER_POINTER } from '../check.ts';
import type { Kernel } from '../kernel.ts';
import { reason } from '../reason.ts';
import { findBuffer } from '../user-call.ts';
import { copyFromUser } from '../user-copy.ts';
import type { EntryArray, Refused } from './driver.ts';

/** `iommu_copy_struct_from_full_user_array` of iommu.h. */

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

/** All entries, read before any is obeyed, each as `bytes` bytes. Shorter ones are filled with zeros. */
export function readWholeArray(
  kernel: Kernel,
  array: EntryArray,
  type: number,
  bytes: number,
): DataView[] | Refused {
  if (array.type !== type || array.count === 0) return { refusal: ARRAY_TYPE };
  const entries: DataView[] = [];
  const at = wide();
  for (let index = 0; index < array.count; index += 1) {
    const distance = index * array.entryBytes;
    addWide(at, array.page, array.offset, Math.floor(distance / 4096), distance % 4096);
    const copied = copyFromUser(kernel, at.page, at.offset, array.entryBytes);
    if (copied === null)
      return { refusal: isTailSet(kernel, at, bytes, array) ? ENTRY_TAIL : BAD_USER_POINTER };
    if (copied.bytes.subarray(bytes).some((byte) => byte !== 0)) return { refusal: ENTRY_TAIL };
    const entry = new Uint8Array(bytes);
    entry.set(copied.bytes.subarray(0, bytes));
    entries.push(new DataView(entry.buffer));
  }
  return entries;
}

/**
 * The tail of an entry is looked at before it is copied: a byte that is set ends that before a fault does.
 */
function isTailSet(kernel: Kernel, { page, offset }: Wide, bytes: number, array: EntryArray): boolean {
  if (array.entryBytes <= bytes) return false;
  const buffer = findBuffer(kernel.call, page, offset, array.entryBytes);
  if (buffer?.before == null) return false;
  const from = Number(toBigInt(page, offset) - buffer.addr);
  return buffer.before.subarray(from + bytes, from + array.entryBytes).some((byte) => byte !== 0);
}
