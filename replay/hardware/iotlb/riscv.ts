import { UNKNOWN_FRAME } from '../table-format.ts';
import type { CacheDriver } from './cache-driver.ts';
import { gatherRange } from './gather.ts';
import { type Cause, LAST_PAGE } from './invalidation.ts';
import type { TableWatch } from './live-domain.ts';
import { deviceOf, emit, type LiveState, type SlotNow, slotNow } from './live-state.ts';
import { replacedTables } from './replaced-tables.ts';

/** What the RISC-V driver invalidates: riscv/iommu.c of 7.3. */

interface Riscv {
  readonly state: LiveState;
  /** `riscv_iommu_bond`: devices of each domain. */
  readonly bonds: Map<number, number[]>;
}

export function createRiscv(state: LiveState): CacheDriver {
  const riscv: Riscv = { state, bonds: new Map() };
  return {
    enter: (device, _pasid, to) => enter(riscv, device, to),
    leave: (device, pasid) => leave(riscv, device, pasid),
    watch: (key) => watchTable(riscv, key),
    invalidate: () => {},
    track: () => {},
  };
}

function enter(riscv: Riscv, device: number, to: SlotNow): void {
  if (to.kind === 'paging') riscv.bonds.set(to.domain, [...(riscv.bonds.get(to.domain) ?? []), device]);
  flushEntry(riscv, device, to);
}

/** riscv_iommu_iodir_update; riscv_iommu_bond_unlink: a domain's last device on a unit clears its tag. */
function leave(riscv: Riscv, device: number, pasid: number): void {
  const now = slotNow(riscv.state, device, pasid);
  if (now.tag === null) return;
  flushEntry(riscv, device, now);
  if (now.kind !== 'paging') return;
  const left = (riscv.bonds.get(now.domain) ?? []).filter((each) => each !== device);
  riscv.bonds.set(now.domain, left);
  const { name } = deviceOf(riscv.state, device).iommu;
  const isLast = left.every((each) => deviceOf(riscv.state, each).iommu.name !== name);
  if (isLast)
    emit(riscv.state, { cause: 'entry', iommu: name, cache: 'iotlb', granularity: 'domain', tag: now.tag });
}

function flushEntry({ state }: Riscv, device: number, now: SlotNow): void {
  const { name } = deviceOf(state, device).iommu;
  emit(state, { cause: 'entry', iommu: name, cache: 'context', granularity: 'device', device });
  emit(state, { cause: 'entry', iommu: name, cache: 'iotlb', granularity: 'domain', tag: now.tag });
}

function watchTable(riscv: Riscv, key: number): TableWatch | null {
  const { state } = riscv;
  const domain = state.domains.get(key);
  if (domain === undefined || (riscv.bonds.get(key) ?? []).length === 0) return null;
  const gather = gatherRange(
    (first, last, leaf) => flushPages(riscv, key, 'unmap', first, last, leaf),
    false,
  );
  return {
    map(page, pageCount, frame) {
      const replaced = frame === UNKNOWN_FRAME ? null : replacedTables(domain.table, page, pageCount, frame);
      if (replaced !== null) flushPages(riscv, key, 'map', replaced.first, replaced.last, false);
    },
    unmap(page, pageCount) {
      gather.add(domain, page, pageCount);
      if (key >= 0) gather.flush();
    },
    unmapped: () => gather.flush(),
  };
}

/** Beyond so many pages everything of the tag goes at once: riscv_iommu_tlbi_calc. */
const MOST_PAGES = 512;

/**
 * riscv_iommu_iotlb_inval: page by page (a unit that takes ranges forgets more than that), or everything of
 * the tag when tables went, which only some units can be told of.
 */
function flushPages(
  { state, bonds }: Riscv,
  key: number,
  cause: Cause,
  first: number,
  last: number,
  leafOnly: boolean | null,
): void {
  const isWhole = leafOnly !== true || last - first + 1 > MOST_PAGES;
  const units = new Set((bonds.get(key) ?? []).map((device) => deviceOf(state, device).iommu.name));
  for (const iommu of units) {
    emit(state, {
      cause,
      iommu,
      cache: 'iotlb',
      granularity: isWhole ? 'domain' : 'pages',
      tag: `d${key}`,
      firstPage: isWhole ? 0 : first,
      lastPage: isWhole ? LAST_PAGE : last,
      changedFirst: first,
      changedLast: last,
      leafOnly: isWhole ? false : leafOnly,
    });
  }
}
