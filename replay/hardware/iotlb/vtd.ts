import type { GuestRange } from '../driver-op.ts';
import { ASKS_FIRST, type CacheDriver } from './cache-driver.ts';
import type { Span } from './entry.ts';
import { type Cause, type Certainty, LAST_PAGE } from './invalidation.ts';
import { deviceOf, emit, type LiveState, type SlotNow, slotNow } from './live-state.ts';
import { type VtdFacts, vtdFacts } from './vtd-facts.ts';
import { flushTags, type Vtd } from './vtd-flush.ts';
import { watchVtdTable } from './vtd-tables.ts';
import { createTagList } from './vtd-tags.ts';

/**
 * What Intel's driver invalidates: intel/iommu.c, pasid.c, nested.c and cache.c. In legacy mode entries of
 * devices are context entries, in scalable mode (6.12 and 7.3 alike) entries of PASIDs.
 */

export function createVtd(state: LiveState): CacheDriver {
  const vtd: Vtd = { state, tags: createTagList(), units: new Map() };
  return {
    enter: (device, pasid, to) => enter(vtd, device, pasid, to),
    leave: (device, pasid) => leave(vtd, device, pasid),
    watch: (key) => watchVtdTable(vtd, key),
    invalidate: (nested, ranges) => invalidateNested(vtd, nested, ranges),
    track: (key) => track(vtd, key),
    cleared: (key, range, isSure) => clearedDirty(vtd, key, range, isSure),
  };
}

function factsAt(
  { state, units }: Vtd,
  device: number,
): { readonly iommu: string; readonly facts: VtdFacts } {
  const iommu = deviceOf(state, device).iommu.name;
  return { iommu, facts: vtdFacts(state, units, iommu) };
}

/** Translations of a slot are cached for its PASID alone: a first stage, or a guest's table. */
function isPerPasid({ state }: Vtd, now: SlotNow): boolean {
  if (now.kind === 'nested') return true;
  return now.kind === 'paging' && state.log.formats.get(now.domain)?.format === 'vtd-fs';
}

/** A device's entry, or a PASID's, names a table from now on; before it named none. */
function enter(vtd: Vtd, device: number, pasid: number, to: SlotNow): void {
  if (to.tag === null) return;
  const { iommu, facts } = factsAt(vtd, device);
  assignTags(vtd, iommu, device, pasid, to);
  // An entry that was not present is only cached by a unit in caching mode.
  if (facts.cachingMode === false) return;
  const certainty: Certainty = facts.cachingMode === null ? 'possible' : 'sure';
  const slot = { cause: 'entry', iommu, device, certainty } as const;
  if (isScalable(vtd, facts, pasid)) {
    emit(vtd.state, { ...slot, cache: 'pasid', granularity: 'pasid', tag: to.tag, pasid });
    emit(vtd.state, { ...slot, cache: 'iotlb', granularity: 'pasid', tag: to.tag, pasid, device: null });
    return;
  }
  emit(vtd.state, { ...slot, cache: 'context', granularity: 'device' });
  emit(vtd.state, { ...slot, cache: 'iotlb', granularity: 'domain', tag: to.tag, device: null });
}

/** First stages, nested tables and PASIDs are there in scalable mode only. */
function isScalable({ state }: Vtd, { scalable }: VtdFacts, pasid: number): boolean {
  if (scalable !== null || pasid !== 0) return scalable ?? true;
  for (const { format, nestParent } of state.log.formats.values())
    if (format === 'vtd-fs' || nestParent) return true;
  return false;
}

/** device_block_translation; intel_pasid_tear_down_entry. */
function leave(vtd: Vtd, device: number, pasid: number): void {
  const now = slotNow(vtd.state, device, pasid);
  if (now.tag === null) return;
  const { iommu, facts } = factsAt(vtd, device);
  vtd.tags.unassign(iommu, device, pasid);
  const slot = { cause: 'entry', iommu } as const;
  if (isScalable(vtd, facts, pasid)) {
    emit(vtd.state, { ...slot, cache: 'pasid', granularity: 'pasid', tag: now.tag, pasid, device });
    const isFirst =
      now.kind === 'own' ? facts.firstStage === true : now.kind === 'paging' && isPerPasid(vtd, now);
    if (isFirst) emit(vtd.state, { ...slot, cache: 'iotlb', granularity: 'pasid', tag: now.tag, pasid });
    else emit(vtd.state, { ...slot, cache: 'iotlb', granularity: 'domain', tag: now.tag });
  } else {
    emit(vtd.state, { ...slot, cache: 'context', granularity: 'device', device, tag: now.tag });
    emit(vtd.state, { ...slot, cache: 'iotlb', granularity: 'domain', tag: now.tag });
  }
  flushDevice(vtd, device, pasid, 'entry');
}

/** Whether a device translates by itself through this unit. */
function usesDeviceTlb(vtd: Vtd, device: number): boolean | null {
  if (vtd.state.seen.ats.has(device)) return true;
  const { ats } = deviceOf(vtd.state, device);
  const { deviceTlb } = factsAt(vtd, device).facts;
  if (ats === false || deviceTlb === false) return false;
  return ats === true && deviceTlb === true ? true : null;
}

function flushDevice(vtd: Vtd, device: number, pasid: number, cause: Cause): void {
  const uses = usesDeviceTlb(vtd, device);
  // A device is taken to have no ATS where nothing speaks of it.
  if (uses !== true) return;
  const { iommu } = factsAt(vtd, device);
  emit(vtd.state, { cause, iommu, cache: 'device-tlb', granularity: 'device', device, pasid });
}

/** cache_tag_assign_domain: what changes of a domain have to reach. */
function assignTags(vtd: Vtd, iommu: string, device: number, pasid: number, to: SlotNow): void {
  if (to.kind !== 'paging' && to.kind !== 'nested') return;
  const ats = usesDeviceTlb(vtd, device) === true;
  const base = { iommu, tag: to.tag, pasid };
  const perPasid = isPerPasid(vtd, to);
  const own = to.kind === 'paging' ? `d${to.domain}` : to.tag;
  vtd.tags.assign(own, { ...base, kind: 'iotlb', perPasid, device: null }, device);
  if (ats) vtd.tags.assign(own, { ...base, kind: 'device-tlb', perPasid, device }, device);
  if (to.kind !== 'nested') return;
  const parent = `d${to.domain}`;
  vtd.tags.assign(parent, { ...base, kind: 'nested-iotlb', perPasid: false, device: null }, device);
  if (ats) vtd.tags.assign(parent, { ...base, kind: 'nested-device-tlb', perPasid: false, device }, device);
}

/** intel_nested_cache_invalidate_user. */
function invalidateNested(vtd: Vtd, nested: string, ranges: readonly GuestRange[]): void {
  for (const { page, pages, leaf } of ranges) {
    const lastPage = pages === null ? LAST_PAGE : page + Math.max(pages, 1) - 1;
    const change = { cause: 'guest', who: 'user', certainty: 'sure', withDevices: true } as const;
    flushTags(vtd, `n${nested}`, { ...change, firstPage: page, lastPage, leafOnly: leaf });
  }
}

/**
 * intel_iommu_tlb_sync after dirty bits were cleared. An empty range, which kernels of before give on,
 * reaches beyond every mask.
 */
function clearedDirty(vtd: Vtd, key: number, range: Span | null, isSure: boolean): void {
  if (range === null && vtd.state.release >= ASKS_FIRST) return;
  flushTags(vtd, `d${key}`, {
    who: 'kernel',
    cause: 'tracking',
    firstPage: range?.firstPage ?? 0,
    lastPage: range?.lastPage ?? LAST_PAGE,
    leafOnly: true,
    certainty: isSure ? 'sure' : 'possible',
    withDevices: true,
  });
}

/** intel_pasid_setup_dirty_tracking, for each device whose RID has the domain or is nested on it. */
function track(vtd: Vtd, key: number): void {
  for (const { index } of vtd.state.kernel.machine.devices) {
    const now = slotNow(vtd.state, index, 0);
    if ((now.kind !== 'paging' && now.kind !== 'nested') || now.domain !== key) continue;
    const { iommu } = factsAt(vtd, index);
    const told = { cause: 'tracking', iommu, tag: now.tag } as const;
    emit(vtd.state, { ...told, cache: 'pasid', granularity: 'pasid', pasid: 0, device: index });
    emit(vtd.state, { ...told, cache: 'iotlb', granularity: 'domain' });
    flushDevice(vtd, index, 0, 'tracking');
  }
}
