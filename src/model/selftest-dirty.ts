import { IOMMU_TEST_CMD, IOMMU_TEST_OP, unionOffsetsOf } from '../uapi/index.ts';
import { TOP_PAGE } from './address.ts';
import { BAD_USER_POINTER, HWPT_NOT_FOUND } from './check.ts';
import { dirtyBits, entryKind, mockPageBytes } from './dirty-bits.ts';
import type { Answer, Kernel } from './kernel.ts';
import { getObject } from './objects.ts';
import { reason } from './reason.ts';
import type { Context, HwptPaging } from './state.ts';
import { fieldOffset, fieldPage, respond, setU64 } from './user-call.ts';
import { copyFromUser } from './user-copy.ts';

/**
 * The selftest's DIRTY operation: marks half pages of a mock page table dirty. selftest.c iommufd_test_dirty.
 */

const DIRTY = unionOffsetsOf(IOMMU_TEST_CMD, IOMMU_TEST_OP.DIRTY);
/** SZ_16M * BITS_PER_BYTE. */
const MOST_BITS = 2 ** 27;

const RANGE_MALFORMED = reason(
  'dirty-test-range-malformed',
  'EINVAL',
  'selftest.c iommufd_test_dirty',
  'the page size, length or bitmap is zero, or IOVA or length is no multiple of the page size',
);
const TOO_MANY_BITS = reason(
  'dirty-test-too-many-bits',
  'EOVERFLOW',
  'selftest.c iommufd_test_dirty',
  'the bitmap would be longer than 16 MiB',
);
const NOT_TRACKING = reason(
  'dirty-test-not-tracking',
  'EINVAL',
  'selftest.c iommufd_test_dirty',
  'dirty tracking of the hardware page table is off',
);

export function setDirty(kernel: Kernel, context: Context, id: number): Answer {
  const { call } = kernel;
  const iova = big(kernel, DIRTY.iova);
  const length = big(kernel, DIRTY.length);
  const pageSize = big(kernel, DIRTY.page_size);
  const page = fieldPage(call, DIRTY.uptr);
  const offset = fieldOffset(call, DIRTY.uptr);
  const isNull = page === 0 && offset === 0;
  if (pageSize === 0n || length === 0n || iova % pageSize !== 0n || length % pageSize !== 0n || isNull) {
    return RANGE_MALFORMED;
  }
  const bitCount = length / pageSize;
  if (bitCount > BigInt(MOST_BITS)) return TOO_MANY_BITS;
  const hwpt = getObject(context, id, 'hwpt-paging');
  if (hwpt === undefined) return HWPT_NOT_FOUND;
  if (!hwpt.tracking) return NOT_TRACKING;
  const bitmap = copyFromUser(kernel, page, offset, Number((bitCount + 7n) / 8n));
  if (bitmap === null) return BAD_USER_POINTER;
  if (bitmap.known !== null) return 'not-modelled';
  if (kernel.profile.has.genericMockTable) {
    const marked = markByAddress(kernel, context, hwpt, bitmap.bytes);
    setU64(call, DIRTY.out_nr_dirty, Math.floor(marked / 4096), marked % 4096);
    respond(call, IOMMU_TEST_CMD.sizeBytes);
    return null;
  }
  const bits = dirtyBits(kernel, hwpt);
  // The kernel divides by the page size asked for, not by its own: another size marks other entries.
  const first = Number(iova / pageSize);
  const highest = ((TOP_PAGE + 1) * 4096) / mockPageBytes(kernel);
  let marked = 0;
  for (let bit = 0; bit < Number(bitCount); bit += 1) {
    if ((bitmap.bytes[bit >> 3]! & (1 << (bit & 7))) === 0) continue;
    if (first + bit >= highest || entryKind(kernel, context, hwpt, first + bit) === 'none') continue;
    bits.add(first + bit);
    marked += 1;
  }
  setU64(call, DIRTY.out_nr_dirty, Math.floor(marked / 4096), marked % 4096);
  respond(call, IOMMU_TEST_CMD.sizeBytes);
  return null;
}

/** The generic page table gets an address for each bit; every bit counts, also where nothing is mapped. */
function markByAddress(kernel: Kernel, context: Context, hwpt: HwptPaging, bitmap: Uint8Array): number {
  const iova = big(kernel, DIRTY.iova);
  const pageSize = big(kernel, DIRTY.page_size);
  const count = Number(big(kernel, DIRTY.length) / pageSize);
  const step = BigInt(mockPageBytes(kernel));
  const bits = dirtyBits(kernel, hwpt);
  let marked = 0;
  for (let bit = 0; bit < count; bit += 1) {
    if ((bitmap[bit >> 3]! & (1 << (bit & 7))) === 0) continue;
    marked += 1;
    const index = Number(BigInt.asUintN(64, iova + BigInt(bit) * pageSize) / step);
    if (entryKind(kernel, context, hwpt, index) !== 'none') bits.add(index);
  }
  return marked;
}

function big(kernel: Kernel, at: number): bigint {
  return kernel.call.view.getBigUint64(at, true);
}
