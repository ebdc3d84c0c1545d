import { offsetsOf, VFIO_IOMMU_GET_INFO, VFIO_IOMMU_INFO_FLAGS } from '../../uapi/index.ts';
import type { Kernel } from '../kernel.ts';
import { isInferred } from '../machine.ts';
import type { Refusal } from '../reason.ts';
import { setU32 } from '../user-call.ts';
import { canRespond } from '../user-copy.ts';
import { chainCaps, dmaAvailableCap, iovaRangeCap, migrationCap } from '../vfio-caps.ts';
import { copyVfioStruct } from '../vfio-compat.ts';
import { TYPE1_ARGSZ_OR_FLAGS, TYPE1_STRUCT_FAULT } from './check.ts';
import { DIRTY_BITMAP_BYTES_MAX } from './dirty-bitmap.ts';
import type { Type1Iommu } from './state.ts';

/** VFIO_IOMMU_GET_INFO: vfio_iommu_type1.c vfio_iommu_type1_get_info. */

const INFO = offsetsOf(VFIO_IOMMU_GET_INFO);
const INFO_BYTES = VFIO_IOMMU_GET_INFO.sizeBytes;
/** Smallest argsz: up to iova_pgsizes. */
const LEAST_BYTES = VFIO_IOMMU_GET_INFO.minBytes;
/** A recorder keeps this much of a struct. */
const RECORDED_STRUCT_BYTES = 4096;

export function getIommuInfo(kernel: Kernel, iommu: Type1Iommu): Refusal {
  const { call } = kernel;
  if (!copyVfioStruct(kernel, LEAST_BYTES)) return TYPE1_STRUCT_FAULT;
  const argsz = call.userSize;
  if (argsz < LEAST_BYTES) return TYPE1_ARGSZ_OR_FLAGS;
  const caps = [
    migrationCap(iommu.pageBytes, DIRTY_BITMAP_BYTES_MAX),
    dmaAvailableCap(iommu.available),
    iovaRangeCap(iommu.iovas),
  ];
  const chain = chainCaps(caps, INFO_BYTES);
  const total = INFO_BYTES + chain.length;
  const fits = argsz >= total;
  if (!canRespond(kernel)) return TYPE1_STRUCT_FAULT;
  if (fits) {
    // What the recorder could not read of the struct the kernel can not write either; it writes up to there.
    const room = call.arg.length < RECORDED_STRUCT_BYTES ? call.arg.length : total;
    const isCut = room < total;
    const written = isCut ? chain.subarray(0, Math.max(0, room - INFO_BYTES)) : chain;
    call.structWrites.push({ at: INFO_BYTES, bytes: written });
    if (isCut) return TYPE1_STRUCT_FAULT;
  }
  call.struct.fill(0, LEAST_BYTES, INFO_BYTES);
  setU32(call, INFO.argsz, fits ? argsz : total);
  setU32(call, INFO.flags, VFIO_IOMMU_INFO_FLAGS.PGSIZES | VFIO_IOMMU_INFO_FLAGS.CAPS);
  call.view.setBigUint64(INFO.iova_pgsizes, BigInt(iommu.pageSizes), true);
  setU32(call, INFO.cap_offset, fits ? INFO_BYTES : 0);
  call.respondFrom = 0;
  call.respondEnd = Math.min(argsz, INFO_BYTES);
  // Page sizes and ranges are those of the IOMMU, and with them the length of the answer.
  if (isInferred(kernel.machine)) call.unknown.push({ name: 'info', at: 0, bytes: argsz, guess: null });
  return null;
}
