import type { DirtySync } from '../dirty-sync.ts';
import type { DriverOp, DriverTarget } from '../driver-op.ts';
import { READ, WRITE } from '../table-format.ts';
import { createAmd } from './amd.ts';
import type { CacheDriver } from './cache-driver.ts';
import type { Span } from './entry.ts';
import { knowsFrames } from './gather.ts';
import type { LiveDomain } from './live-domain.ts';
import {
  allocate,
  deviceOf,
  type LiveState,
  nestedTag,
  ownTag,
  pagingTag,
  type SlotNow,
  setSlot,
  slotNow,
  takeSteps,
} from './live-state.ts';
import { createRiscv } from './riscv.ts';
import { createSmmu, type SmmuCaches } from './smmu.ts';
import { createVtd } from './vtd.ts';

/** Executes a driver log: slots, tables, and through the state's `tell` every invalidation. */
export interface Executor {
  readonly state: LiveState;
  execute(op: DriverOp): void;
}

interface Drivers {
  readonly state: LiveState;
  readonly byName: Readonly<Record<string, CacheDriver>>;
  readonly smmus: Map<string, SmmuCaches>;
}

const BLOCKED: SlotNow = { kind: 'blocked', tag: null };

export function createExecutor(state: LiveState): Executor {
  const byName = { vtd: createVtd(state), amd: createAmd(state), riscv: createRiscv(state) };
  const drivers: Drivers = { state, byName, smmus: new Map() };
  return {
    state,
    execute(op) {
      state.seq = op.seq;
      for (const { name, driver } of state.kernel.machine.iommus)
        if (driver === 'smmuv3') smmuOf(drivers, name).execute(op);
      execute(drivers, op);
    },
  };
}

function smmuOf({ smmus, state }: Drivers, name: string): SmmuCaches {
  let smmu = smmus.get(name);
  if (smmu === undefined) {
    smmu = createSmmu(state, name);
    smmus.set(name, smmu);
  }
  return smmu;
}

/** Null for an SMMUv3, whose driver executes the log by itself. */
function driverOf({ byName, state }: Drivers, device: number): CacheDriver | null {
  return byName[deviceOf(state, device).iommu.driver] ?? null;
}

function driverOfDomain({ byName, state }: Drivers, key: number): CacheDriver | null {
  const iommu = state.log.domains.get(key)?.iommu;
  const driver = state.kernel.machine.iommus.find(({ name }) => name === iommu)?.driver ?? '';
  return byName[driver] ?? null;
}

function execute(drivers: Drivers, op: DriverOp): void {
  const { state, byName } = drivers;
  switch (op.op) {
    case 'alloc':
      allocate(state, op.domain);
      return;
    case 'free':
      state.domains.delete(op.domain);
      return;
    case 'steps': {
      const watch = op.silent ? null : (driverOfDomain(drivers, op.domain)?.watch(op.domain) ?? null);
      takeSteps(state, op.domain, op.end, watch);
      return;
    }
    case 'probe':
      probe(drivers, op.domain, op.page);
      return;
    case 'claim':
      for (const device of op.devices) move(drivers, device, 0, BLOCKED);
      return;
    case 'release':
      for (const device of op.devices) move(drivers, device, 0, { kind: 'own', tag: ownTag(device) });
      return;
    case 'detach':
      for (const device of op.devices) move(drivers, device, op.pasid, BLOCKED);
      return;
    case 'attach':
      for (const device of op.devices) move(drivers, device, op.pasid, slotOf(op.to));
      return;
    case 'invalidate':
      byName['vtd']?.invalidate(op.nested, op.ranges);
      return;
    case 'tracking':
      driverOfDomain(drivers, op.domain)?.track(op.domain);
      return;
    case 'dirty':
      cleared(drivers, op);
      return;
    case 'guest':
      return;
  }
}

/** Whole leaves are gathered, whatever part of them was asked for. */
function cleared(drivers: Drivers, { domain: key, range, isKnown }: DirtySync): void {
  const { state } = drivers;
  const domain = state.domains.get(key);
  if (domain === undefined) return;
  const leafAt = (page: number): Span => {
    const { shift, fault } = domain.table.walk(page, 'r');
    const pages = fault === null ? 2 ** (shift - 12) : 1;
    return { firstPage: page - (page % pages), lastPage: page - (page % pages) + pages - 1 };
  };
  const span =
    range === null ? null : { firstPage: leafAt(range[0]).firstPage, lastPage: leafAt(range[1]).lastPage };
  driverOfDomain(drivers, key)?.cleared?.(key, span, isKnown && knowsLeaves(domain, span));
}

/** The sizes of leaves follow from frames, so that only single pages are sure without them. */
function knowsLeaves(domain: LiveDomain, span: Span | null): boolean {
  return span === null || (knowsFrames(domain, span.firstPage) && knowsFrames(domain, span.lastPage));
}

/**
 * `vfio_test_domain_fgsp`: two pages in one piece, then the first is unmapped alone. A driver that put both
 * into one leaf takes both away, else the second follows.
 */
function probe(drivers: Drivers, key: number, page: number): void {
  const { state } = drivers;
  const domain = state.domains.get(key);
  if (domain === undefined) return;
  const pages = state.pageBytes / 4096;
  const watch = driverOfDomain(drivers, key)?.watch(key) ?? null;
  const { table } = domain;
  watch?.map(page, 2 * pages, SOME_FRAME);
  table.map(page, 2 * pages, SOME_FRAME, READ | WRITE);
  const isOneLeaf = table.format.leafSizes.some(({ shift }) => 2 ** (shift - 12) === 2 * pages);
  for (let first = 0; first < 2; first += isOneLeaf ? 2 : 1) {
    const count = isOneLeaf ? 2 * pages : pages;
    watch?.unmap(page + first * pages, count);
    table.unmap(page + first * pages, count);
    watch?.unmapped();
  }
}

/** Of memory that the kernel took for the moment: aligned to its size, like the range. */
const SOME_FRAME = 512;

function slotOf(to: DriverTarget): SlotNow {
  if (to.kind === 'paging') return { kind: 'paging', tag: pagingTag(to.domain), domain: to.domain };
  return { ...to, tag: nestedTag(to.nested) };
}

/** A device's entry, or that of one of its PASIDs, changes. */
function move(drivers: Drivers, device: number, pasid: number, to: SlotNow): void {
  const { state } = drivers;
  const driver = driverOf(drivers, device);
  if (slotNow(state, device, pasid).kind !== 'blocked') driver?.leave(device, pasid);
  setSlot(state, device, pasid, to);
  if (to.kind !== 'blocked') driver?.enter(device, pasid, to);
}
