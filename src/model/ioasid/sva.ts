import type { Reason } from '../reason.ts';
import type { CoreCall } from './core-call.ts';
import type { HostPasid } from './names.ts';
import { allocIoasid, getIoasid, putIoasid } from './numbers.ts';
import { isRefused, SVA_BOUND_ELSEWHERE, SVA_NONE_FREE, SVA_RANGE, SVA_UNBOUND } from './reasons.ts';
import { findIoasid, SYSTEM } from './state.ts';

/**
 * PASIDs of processes: one per address space, which all its threads use on all its devices, with a count of
 * the bonds. Source: "iommu/sva: Add PASID helpers", V10 of 2020-11-06.
 */

/** `iommu_sva_alloc_pasid`: binds a process once more; `setId` is the set that host SVA allocates from. */
export function bindMm(
  call: CoreCall,
  setId: number,
  mm: number,
  min: number,
  max: number,
): HostPasid | Reason {
  // 0 stands for none, and is the PASID of requests without one.
  if (min === 0 || max < min) return SVA_RANGE;
  const { bound } = call.core;
  const has = bound[mm];
  if (has !== undefined) {
    if (has.pasid < min || has.pasid > max) return SVA_BOUND_ELSEWHERE;
    const got = getIoasid(call, setId, has.pasid);
    if (isRefused(got)) return got;
    has.refs += 1;
    call.changed?.('bind', got, { process: mm });
    return has.pasid;
  }
  // The number is the process's, whoever asks for it.
  const { changed } = call;
  const ofProcess: CoreCall =
    changed === undefined
      ? call
      : { ...call, changed: (what, ioasid, more) => changed(what, ioasid, { ...more, process: mm }) };
  const pasid = allocIoasid(ofProcess, setId, min, max);
  if (isRefused(pasid)) return SVA_NONE_FREE;
  bound[mm] = { pasid, refs: 1 };
  const ioasid = findIoasid(call.core, pasid, SYSTEM)!;
  ioasid.boundTo = mm;
  ofProcess.changed?.('bind', ioasid);
  return pasid;
}

/** `iommu_sva_free_pasid`: the last one takes the PASID from the process. Answers whether it did. */
export function unbindMm(call: CoreCall, mm: number): boolean | Reason {
  const { bound } = call.core;
  const has = bound[mm];
  if (has === undefined) return SVA_UNBOUND;
  has.refs -= 1;
  if (has.refs === 0) delete bound[mm];
  const ioasid = findIoasid(call.core, has.pasid, SYSTEM)!;
  if (has.refs === 0) ioasid.boundTo = 0;
  call.changed?.('unbind', ioasid, { process: mm });
  return putIoasid(call, 0, has.pasid);
}

/** `iommu_sva_find`: the process that a PASID is bound to; null when it is bound to none. */
export function findMm(call: CoreCall, pasid: HostPasid): number | null {
  const entry = Object.entries(call.core.bound).find(([, bound]) => bound.pasid === pasid);
  return entry === undefined ? null : Number(entry[0]);
}
