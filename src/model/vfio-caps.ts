import { VFIO_IOMMU_CAP } from '../uapi/index.ts';
import { writeWide } from './address.ts';
import type { IovaRange } from './iova-space.ts';

/**
 * Capabilities that follow the struct of VFIO_IOMMU_GET_INFO, as bytes; `next` is left 0 for who chains them.
 */

const HEADER_BYTES = 8;
/** Bytes of the IOVA range capability before its ranges, and of one range. */
export const IOVA_CAP_HEAD_BYTES = HEADER_BYTES + 8;
export const IOVA_CAP_ENTRY_BYTES = 16;

function capability(id: number, bodyBytes: number): { bytes: Uint8Array; view: DataView } {
  const bytes = new Uint8Array(HEADER_BYTES + bodyBytes);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, id, true);
  view.setUint16(2, 1, true);
  return { bytes, view };
}

/** How many mappings may still be made. */
export function dmaAvailableCap(available: number): Uint8Array {
  const { bytes, view } = capability(VFIO_IOMMU_CAP.DMA_AVAIL, 4);
  view.setUint32(HEADER_BYTES, available, true);
  return bytes;
}

export function iovaRangeCap(ranges: readonly IovaRange[]): Uint8Array {
  const { bytes, view } = capability(VFIO_IOMMU_CAP.IOVA_RANGE, 8 + ranges.length * IOVA_CAP_ENTRY_BYTES);
  view.setUint32(HEADER_BYTES, ranges.length, true);
  ranges.forEach((range, index) => {
    const at = IOVA_CAP_HEAD_BYTES + index * IOVA_CAP_ENTRY_BYTES;
    writeWide(view, at, range.startPage, range.startOffset);
    writeWide(view, at + 8, range.lastPage, range.lastOffset);
  });
  return bytes;
}

/** Dirty tracking: its page size and its largest bitmap, both in bytes. */
export function migrationCap(pageBytes: number, bitmapBytesMax: number): Uint8Array {
  const { bytes, view } = capability(VFIO_IOMMU_CAP.MIGRATION, 24);
  view.setBigUint64(HEADER_BYTES + 8, BigInt(pageBytes), true);
  view.setBigUint64(HEADER_BYTES + 16, BigInt(bitmapBytesMax), true);
  return bytes;
}

/** Bytes that a capability takes in the chain. */
export function alignedBytes(cap: Uint8Array): number {
  return Math.ceil(cap.length / 8) * 8;
}

/**
 * The chain as `vfio_info_cap_add` and `vfio_info_cap_shift` make it: each header names the offset of the
 * next, counted from the struct, behind whose `structBytes` the first one stands.
 */
export function chainCaps(caps: readonly Uint8Array[], structBytes: number): Uint8Array {
  const chain = new Uint8Array(caps.reduce((sum, cap) => sum + alignedBytes(cap), 0));
  const view = new DataView(chain.buffer);
  let at = 0;
  for (const [index, cap] of caps.entries()) {
    chain.set(cap, at);
    const next = at + alignedBytes(cap);
    if (index < caps.length - 1) view.setUint32(at + 4, structBytes + next, true);
    at = next;
  }
  return chain;
}
