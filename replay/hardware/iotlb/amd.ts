import { UNKNOWN_FRAME } from '../table-format.ts';
import { alignedBlock, eachAlignedBlock } from './aligned-block.ts';
import { ASKS_FIRST, type CacheDriver } from './cache-driver.ts';
import { type Gather, gatherPieces, gatherRange } from './gather.ts';
import { type Cause, LAST_PAGE, type Tag } from './invalidation.ts';
import type { LiveDomain, TableWatch } from './live-domain.ts';
import { deviceOf, emit, type LiveState, type SlotNow, slotNow } from './live-state.ts';
import { replacedTables } from './replaced-tables.ts';

/**
 * What AMD's driver invalidates: amd/iommu.c. A device's entry goes from the device table cache whenever it
 * is written, the domain's translations when a device leaves it.
 */

const GENERIC_TABLES = 619;

interface Amd {
  readonly state: LiveState;
  /** Devices of each domain, in the order in which they were attached. */
  readonly devices: Map<number, number[]>;
}

export function createAmd(state: LiveState): CacheDriver {
  const amd: Amd = { state, devices: new Map() };
  return {
    enter: (device, pasid, to) => enter(amd, device, pasid, to),
    leave: (device, pasid) => leave(amd, device, pasid),
    watch: (key) => watchTable(amd, key),
    invalidate: () => {},
    cleared: (key, range, isSure) => {
      if (!isSure) return;
      // An empty range, which kernels of before give on, reaches beyond every mask.
      if (range === null && state.release >= ASKS_FIRST) return;
      const { firstPage, lastPage } = range ?? { firstPage: 0, lastPage: LAST_PAGE };
      flushPages(amd, key, 'tracking', firstPage, lastPage, true);
    },
    track: (key) => {
      for (const device of amd.devices.get(key) ?? []) flushEntry(amd, device, 'tracking');
      flushPages(amd, key, 'tracking', 0, LAST_PAGE, false);
    },
  };
}

/** Second-generation tables hang below an entry of the device's own, whose domain id tags them. */
export function amdTag(state: LiveState, device: number, now: SlotNow): Tag | null {
  const isOwn = now.kind === 'paging' && state.log.formats.get(now.domain)?.format === 'amdv2';
  return isOwn ? `g${device}` : now.tag;
}

function enter(amd: Amd, device: number, pasid: number, to: SlotNow): void {
  if (pasid !== 0) {
    flushPasid(amd, device, pasid, to);
    return;
  }
  if (to.kind === 'paging') amd.devices.set(to.domain, [...(amd.devices.get(to.domain) ?? []), device]);
  flushEntry(amd, device, 'entry');
}

/** detach_device: the entry is cleared and flushed, then everything of the domain. */
function leave(amd: Amd, device: number, pasid: number): void {
  const now = slotNow(amd.state, device, pasid);
  if (now.tag === null) return;
  if (pasid !== 0) {
    flushPasid(amd, device, pasid, now);
    return;
  }
  flushEntry(amd, device, 'entry');
  if (now.kind === 'paging') {
    flushPages(amd, now.domain, 'entry', 0, LAST_PAGE, false);
    const left = (amd.devices.get(now.domain) ?? []).filter((each) => each !== device);
    amd.devices.set(now.domain, left);
  } else {
    const { iommu } = deviceOf(amd.state, device);
    emit(amd.state, {
      cause: 'entry',
      iommu: iommu.name,
      cache: 'iotlb',
      granularity: 'domain',
      tag: now.tag,
    });
  }
}

/** device_flush_dte. */
function flushEntry({ state }: Amd, device: number, cause: Cause): void {
  const { iommu, ats } = deviceOf(state, device);
  emit(state, { cause, iommu: iommu.name, cache: 'context', granularity: 'device', device });
  if (ats === true)
    emit(state, { cause, iommu: iommu.name, cache: 'device-tlb', granularity: 'device', device, pasid: 0 });
}

/** amd_iommu_dev_flush_pasid_all. */
function flushPasid({ state }: Amd, device: number, pasid: number, now: SlotNow): void {
  const { iommu, ats } = deviceOf(state, device);
  const told = { cause: 'entry', iommu: iommu.name, granularity: 'pasid', pasid } as const;
  emit(state, { ...told, cache: 'iotlb', tag: amdTag(state, device, now) ?? `g${device}` });
  if (ats === true) emit(state, { ...told, cache: 'device-tlb', granularity: 'device', device });
}

function watchTable(amd: Amd, key: number): TableWatch | null {
  const { state } = amd;
  const domain = state.domains.get(key);
  if (domain === undefined || (amd.devices.get(key) ?? []).length === 0) return null;
  const apart = hasAbsent(state, domain);
  const isGeneric = state.release >= GENERIC_TABLES;
  const flush = (first: number, last: number, leafOnly: boolean | null): void =>
    flushPages(amd, key, 'unmap', first, last, leafOnly);
  const gather: Gather = isGeneric ? gatherRange(flush, apart) : gatherPieces(flush, false, apart);
  return {
    map(page, pageCount, frame) {
      const levels = domain.table.levels();
      const replaced = frame === UNKNOWN_FRAME ? null : replacedTables(domain.table, page, pageCount, frame);
      if (replaced !== null && isGeneric) flushPages(amd, key, 'map', replaced.first, replaced.last, false);
      else if (replaced !== null) flushPages(amd, key, 'map', 0, LAST_PAGE, false);
      if (needsLevels(domain, page + pageCount) > levels) {
        for (const device of amd.devices.get(key) ?? []) flushEntry(amd, device, 'map');
        flushPages(amd, key, 'map', 0, LAST_PAGE, false);
      }
      if (apart) flushPages(amd, key, 'map', page, page + pageCount - 1, false);
    },
    unmap(page, pageCount) {
      gather.add(domain, page, pageCount);
      if (key >= 0) gather.flush();
    },
    unmapped: () => gather.flush(),
  };
}

/** `amd_iommu_np_cache`: the unit caches what is not present, as one that a hypervisor emulates may. */
function hasAbsent({ kernel }: LiveState, { iommu }: LiveDomain): boolean {
  return kernel.machine.iommus.find(({ name }) => name === iommu)?.stated['np_cache'] === true;
}

/** increase_address_space: a table grows by levels until it spans the last page. */
function needsLevels({ table }: LiveDomain, endPage: number): number {
  const { format } = table;
  let levels = table.levels();
  while (
    levels < format.levels &&
    endPage > 2 ** (format.itemShift(levels) - 12 + format.indexBits(levels))
  ) {
    levels += 1;
  }
  return levels;
}

/** amd_iommu_domain_flush_pages. */
function flushPages(
  amd: Amd,
  key: number,
  cause: Cause,
  first: number,
  last: number,
  leafOnly: boolean | null,
): void {
  const domain = amd.state.domains.get(key);
  const isWhole = first === 0 && last >= LAST_PAGE;
  if (isWhole || domain === undefined || !hasAbsent(amd.state, domain)) {
    flushBlock(amd, key, cause, first, last, leafOnly);
    return;
  }
  eachAlignedBlock(first, last, (from, to) => flushBlock(amd, key, cause, from, to, leafOnly));
}

/** __domain_flush_pages: one command for each unit, or for each device with a table of its own. */
function flushBlock(
  { state, devices }: Amd,
  key: number,
  cause: Cause,
  first: number,
  last: number,
  leafOnly: boolean | null,
): void {
  const isWhole = first === 0 && last >= LAST_PAGE;
  const block = alignedBlock(first, last);
  const pages = isWhole
    ? { granularity: 'domain' as const }
    : {
        granularity: 'pages' as const,
        firstPage: block.firstPage,
        lastPage: Math.min(block.firstPage + 2 ** block.order - 1, LAST_PAGE),
      };
  const told = { cause, ...pages, changedFirst: first, changedLast: last, leafOnly };
  const seen = new Set<string>();
  const own = devices.get(key) ?? [];
  for (const device of own) {
    const iommu = deviceOf(state, device).iommu.name;
    const now: SlotNow = { kind: 'paging', tag: `d${key}`, domain: key };
    const tag = amdTag(state, device, now)!;
    if (seen.has(`${iommu} ${tag}`)) continue;
    seen.add(`${iommu} ${tag}`);
    emit(state, { ...told, iommu, cache: 'iotlb', tag });
  }
  for (const device of own) {
    const { iommu, ats } = deviceOf(state, device);
    if (ats !== true) continue;
    const { granularity: _, ...range } = told;
    emit(state, {
      ...range,
      iommu: iommu.name,
      cache: 'device-tlb',
      granularity: isWhole ? 'device' : 'pages',
      device,
      pasid: 0,
    });
  }
}
