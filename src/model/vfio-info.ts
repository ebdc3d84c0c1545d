import { offsetsOf, VFIO_IOMMU_GET_INFO, VFIO_IOMMU_INFO_FLAGS } from '../uapi/index.ts';
import { holesOf, type IovaRange } from './iova-space.ts';
import { type Kernel, spaceOf } from './kernel.ts';
import { mustGet } from './objects.ts';
import type { Refusal } from './reason.ts';
import type { Context, Ioas } from './state.ts';
import { setU32 } from './user-call.ts';
import {
  alignedBytes,
  dmaAvailableCap,
  IOVA_CAP_ENTRY_BYTES,
  IOVA_CAP_HEAD_BYTES,
  iovaRangeCap,
} from './vfio-caps.ts';
import { ARGSZ_TOO_SMALL, copyVfioStruct, VFIO_STRUCT_FAULT } from './vfio-compat.ts';
import { compatIoas, NO_COMPAT_IOAS } from './vfio-ioas.ts';

/** VFIO_IOMMU_GET_INFO with its chain of capabilities: vfio_compat.c iommufd_vfio_iommu_get_info. */

const INFO = offsetsOf(VFIO_IOMMU_GET_INFO);
const INFO_BYTES = VFIO_IOMMU_GET_INFO.sizeBytes;
/** Smallest argsz: up to iova_pgsizes. */
const LEAST_BYTES = 16;

export function getIommuInfo(kernel: Kernel, context: Context): Refusal {
  const { call } = kernel;
  if (!copyVfioStruct(kernel, LEAST_BYTES)) return VFIO_STRUCT_FAULT;
  const argsz = call.userSize;
  if (argsz < LEAST_BYTES) return ARGSZ_TOO_SMALL;
  const ioas = compatIoas(context);
  if (ioas === undefined) return NO_COMPAT_IOAS;
  const caps = [dmaAvailable(), iovaRanges(holesOf(spaceOf(kernel, ioas).reserved))];
  let total = INFO_BYTES;
  let previous = -1;
  for (const cap of caps) {
    const room = argsz > total ? argsz - total : 0;
    writeFitting(kernel, total, cap, room);
    if (previous >= 0 && argsz >= total) writeNext(kernel, previous, total);
    previous = total;
    total += kernel.profile.has.alignsInfoCaps ? alignedBytes(cap.bytes) : cap.bytes.length;
  }
  call.struct.fill(0, 0, INFO_BYTES);
  setU32(call, INFO.argsz, total);
  setU32(call, INFO.flags, VFIO_IOMMU_INFO_FLAGS.PGSIZES | VFIO_IOMMU_INFO_FLAGS.CAPS);
  call.view.setBigUint64(INFO.iova_pgsizes, pageSizes(kernel, context, ioas), true);
  setU32(call, INFO.cap_offset, argsz >= total ? INFO_BYTES : 0);
  call.respondFrom = 0;
  call.respondEnd = Math.min(argsz, INFO_BYTES);
  return null;
}

/** A capability, and the places where it may be cut: the kernel writes the pieces that fit. */
interface Capability {
  readonly bytes: Uint8Array;
  /** Bytes of the fixed head, written only when all of the capability fits. */
  readonly headBytes: number;
  readonly entryBytes: number;
}

function dmaAvailable(): Capability {
  const bytes = dmaAvailableCap(0xffffffff);
  return { bytes, headBytes: bytes.length, entryBytes: 0 };
}

function iovaRanges(holes: readonly IovaRange[]): Capability {
  return { bytes: iovaRangeCap(holes), headBytes: IOVA_CAP_HEAD_BYTES, entryBytes: IOVA_CAP_ENTRY_BYTES };
}

function writeFitting(
  kernel: Kernel,
  at: number,
  { bytes, headBytes, entryBytes }: Capability,
  room: number,
): void {
  const writes = kernel.call.structWrites;
  for (
    let end = headBytes + entryBytes;
    entryBytes > 0 && end <= bytes.length && end <= room;
    end += entryBytes
  ) {
    writes.push({ at: at + end - entryBytes, bytes: bytes.subarray(end - entryBytes, end) });
  }
  if (bytes.length <= room) writes.push({ at, bytes: bytes.subarray(0, headBytes) });
}

/** `put_user` of the chain: the offset of the next capability in the header of the previous one. */
function writeNext(kernel: Kernel, previous: number, next: number): void {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, next, true);
  kernel.call.structWrites.push({ at: previous + 4, bytes });
}

/** `iommufd_get_pagesizes`: sizes that all domains have, those below a CPU page folded into one. */
function pageSizes(kernel: Kernel, context: Context, ioas: Ioas): bigint {
  const page = BigInt(kernel.profile.pageBytes);
  let sizes = 2n ** 64n - 1n;
  for (const id of ioas.domains) sizes &= BigInt(mustGet(context, id, 'hwpt-paging').domain.pageSizes);
  if ((sizes & (page - 1n)) !== 0n) sizes = (sizes & ~(page - 1n)) | page;
  const alignment = BigInt(ioas.alignment);
  return sizes > alignment ? sizes : alignment;
}
