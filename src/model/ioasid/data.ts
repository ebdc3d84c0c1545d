import type { Reason, Refusal } from '../reason.ts';
import type { CoreCall } from './core-call.ts';
import { type GuestPasid, type HostPasid, INVALID_IOASID } from './names.ts';
import { notify } from './notify.ts';
import { getIoasid, putIoasid } from './numbers.ts';
import { IOASID_ABSENT, IOASID_OTHER_SET, isRefused, SPID_UNUSABLE } from './reasons.ts';
import { findIoasid, type Ioasid, type IoasidData, SYSTEM } from './state.ts';

/**
 * What hangs on a number: its caller's data, and the guest's number for it. Source: IOASID series V4, 08/18.
 */

/** `ioasid_attach_data`: the caller owns the data; the core keeps the pointer. */
export function attachData(call: CoreCall, id: number, data: IoasidData, scope = SYSTEM): Refusal {
  const ioasid = findIoasid(call.core, id, scope);
  if (ioasid === undefined) return IOASID_ABSENT;
  ioasid.data = data;
  // Data with devices is what VT-d attaches once it has written their PASID entries.
  if (data.devices.length > 0) ioasid.isCached = true;
  for (const device of data.devices) call.changed?.('attach', ioasid, { device });
  return null;
}

/** `ioasid_detach_data`. */
export function detachData(call: CoreCall, id: number, scope = SYSTEM): void {
  const ioasid = findIoasid(call.core, id, scope);
  if (ioasid === undefined) return;
  for (const device of ioasid.data?.devices ?? []) call.changed?.('detach', ioasid, { device });
  ioasid.data = null;
}

/** `ioasid_find`: the caller's data. A set of 0 is not compared. */
export function findData(
  call: CoreCall,
  setId: number,
  id: number,
  scope = SYSTEM,
): IoasidData | null | Reason {
  const ioasid = findIoasid(call.core, id, scope);
  if (ioasid === undefined) return IOASID_ABSENT;
  return setId !== 0 && ioasid.set !== setId ? IOASID_OTHER_SET : ioasid.data;
}

/** `ioasid_find_set`. */
export function findSetOf(call: CoreCall, id: number, scope = SYSTEM): number | Reason {
  return findIoasid(call.core, id, scope)?.set ?? IOASID_ABSENT;
}

/** `ioasid_attach_spid`: the guest's number for a host one, unique in the set. */
export function attachSpid(call: CoreCall, id: number, spid: GuestPasid, scope = SYSTEM): Refusal {
  const ioasid = findIoasid(call.core, id, scope);
  if (ioasid === undefined) return IOASID_ABSENT;
  const holder = withSpid(call, ioasid.set, spid);
  if (spid === INVALID_IOASID || (holder !== undefined && holder !== ioasid)) return SPID_UNUSABLE;
  // One event per change, however often the call is repeated.
  if (holder === ioasid) return null;
  ioasid.spid = spid;
  call.changed?.('bind', ioasid, { vpasid: spid });
  notify(call, 'BIND', ioasid);
  return null;
}

/** `ioasid_detach_spid`: tells it while the guest's number can still be looked up. */
export function detachSpid(call: CoreCall, id: number, scope = SYSTEM): void {
  const ioasid = findIoasid(call.core, id, scope);
  if (ioasid === undefined || ioasid.spid === null) return;
  notify(call, 'UNBIND', ioasid);
  call.changed?.('unbind', ioasid, { vpasid: ioasid.spid });
  ioasid.spid = null;
}

/** `ioasid_find_by_spid`: the host's number for the guest's one; `takes` a reference where asked to. */
export function findBySpid(
  call: CoreCall,
  setId: number,
  spid: GuestPasid,
  takes: boolean,
): HostPasid | null {
  const ioasid = withSpid(call, setId, spid);
  if (ioasid === undefined) return null;
  if (takes && isRefused(getIoasid(call, setId, ioasid.id, ioasid.scope))) return null;
  return ioasid.id;
}

function withSpid({ core }: CoreCall, setId: number, spid: GuestPasid): Ioasid | undefined {
  for (const { ids } of Object.values(core.spaces)) {
    const found = Object.values(ids).find((ioasid) => ioasid.set === setId && ioasid.spid === spid);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** One step that the IOMMU driver's worker made for a number that was freed in use. */
export interface TeardownStep {
  readonly step: 'clear' | 'drain' | 'put';
  readonly id: HostPasid;
  readonly device: string;
}

/**
 * `ioasid_queue_work`: runs what FREE handlers put off, in order. For each bound device the entry is cleared
 * and page requests are drained, then the guest's number and the data go, and the driver's reference with
 * them. Data that an unbind has taken already leaves nothing to do. Source: IOASID series V4, 14/18.
 */
export function runFreeWork(call: CoreCall): TeardownStep[] {
  const steps: TeardownStep[] = [];
  const { work } = call.core;
  call.core.work = [];
  for (const { id, scope } of work) {
    const ioasid = findIoasid(call.core, id, scope);
    if (ioasid === undefined || ioasid.data === null) continue;
    for (const device of ioasid.data.devices) {
      steps.push({ step: 'clear', id, device }, { step: 'drain', id, device });
      call.changed?.('clear', ioasid, { device });
      call.changed?.('drain', ioasid, { device });
    }
    ioasid.isCached = false;
    detachSpid(call, id, scope);
    detachData(call, id, scope);
    putIoasid(call, 0, id, scope);
    steps.push({ step: 'put', id, device: '' });
  }
  return steps;
}
