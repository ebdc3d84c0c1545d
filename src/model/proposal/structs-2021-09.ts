import type { DeviceFacts } from './facts.ts';

/** VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, which the code of September 2021 reuses. */
const CAP_IOVA_RANGE = 1;
const CAP_HEADER_BYTES = 16;
const RANGE_BYTES = 16;

/** The capability chain of a device: the ranges that it can address, without those that are reserved. */
export function iovaRangeCapability({ addressWidth, reserved }: DeviceFacts): Uint8Array {
  // The posted code counts the first address behind the width in.
  const ranges = withoutReserved(1n << BigInt(addressWidth), reserved);
  const bytes = new Uint8Array(CAP_HEADER_BYTES + ranges.length * RANGE_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, CAP_IOVA_RANGE, true);
  view.setUint16(2, 1, true);
  view.setUint32(8, ranges.length, true);
  for (const [index, [first, last]] of ranges.entries()) {
    view.setBigUint64(CAP_HEADER_BYTES + index * RANGE_BYTES, first, true);
    view.setBigUint64(CAP_HEADER_BYTES + index * RANGE_BYTES + 8, last, true);
  }
  return bytes;
}

/** [0, last] without the reserved ranges; last addresses are inclusive. */
export function withoutReserved(last: bigint, reserved: DeviceFacts['reserved']): [bigint, bigint][] {
  const ranges: [bigint, bigint][] = [];
  let first = 0n;
  for (const [from, to] of [...reserved].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (from > first) ranges.push([first, from - 1n]);
    if (to >= first) first = to + 1n;
  }
  if (first <= last) ranges.push([first, last]);
  return ranges;
}
