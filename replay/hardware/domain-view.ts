import type {
  Context,
  HwptPaging,
  Iommu,
  Kernel,
  KernelObject,
  PagingDomain,
  PhysicalDevice,
} from '../../src/model/index.ts';
import { applySteps } from './apply-steps.ts';
import type { DeviceSlot, HardwareDomain, HardwareIommu, HardwareView, SlotState } from './domain.ts';
import { formatOf } from './formats/index.ts';
import { guestMemory, type NotedMemory } from './guest-memory.ts';
import type { History } from './history.ts';
import { eachIoas, type1Key } from './history-domains.ts';
import { createPageTable, type PageTable } from './page-table.ts';
import { smmuFeatures } from './smmu-features.ts';
import { stepsBetween } from './step-list.ts';
import type { FormatFacts } from './table-format.ts';
import { userPages } from './user-pages.ts';

/** What the hardware holds, from the state of the kernel and what was done to its domains. */

/** A domain whose table is not made yet: frames may still become known. */
interface DomainSketch extends Omit<HardwareDomain, 'table' | 'memory' | 'userPage'> {
  readonly facts: FormatFacts;
  readonly stepCount: number;
}

/** What is fixed at the point that was asked for; `finish` makes the tables of it later. */
export interface ViewSketch {
  readonly seq: number;
  readonly iommus: readonly HardwareIommu[];
  readonly domains: readonly DomainSketch[];
  readonly slots: readonly DeviceSlot[];
}

export function sketchView(history: History, kernel: Kernel, seq: number): ViewSketch {
  const domains = [...iommufdDomains(history, kernel), ...type1Domains(history, kernel)];
  return {
    seq,
    iommus: kernel.machine.iommus.map((iommu) => iommuOf(kernel, iommu)),
    domains: domains.sort((a, b) => a.key - b.key),
    slots: [...deviceSlots(history, kernel)],
  };
}

function iommuOf(kernel: Kernel, iommu: Iommu): HardwareIommu {
  const bytes = hwInfoBytes(kernel, iommu);
  const smmu = iommu.driver === 'smmuv3' && bytes !== null ? smmuFeatures(bytes) : null;
  return {
    name: iommu.name,
    driver: iommu.driver,
    scalable: isScalable(kernel, iommu),
    coherent: bitOf(bytes, 16, 48),
    smmu,
    outputBits: smmu?.outputBits ?? USUAL_OUTPUT_BITS,
  };
}

const USUAL_OUTPUT_BITS = 48;

/** Makes the tables with all frames that are known by now. `format` overrides that of the domains. */
export function finishView(
  history: History,
  noted: NotedMemory,
  { seq, iommus, domains, slots }: ViewSketch,
  pageBytes: number,
  format?: string,
): HardwareView {
  return {
    seq,
    iommus,
    slots,
    domains: domains.map(({ facts, stepCount, ...domain }) => ({
      ...domain,
      table: makeTable(
        history,
        domain.key,
        { ...facts, format: format ?? facts.format },
        stepCount,
        pageBytes,
      ),
      memory: guestMemory(history, noted, { domain: domain.key, stepCount, seq }),
      userPage: userPages(history, domain.key, stepCount),
    })),
  };
}

function makeTable(
  history: History,
  key: number,
  facts: FormatFacts,
  stepCount: number,
  pageBytes: number,
): PageTable | null {
  const format = formatOf(facts);
  if (format === null) return null;
  const table = createPageTable(format);
  const steps = history.domains.get(key)?.steps;
  if (steps !== undefined) applySteps(table, stepsBetween(steps, history, 0, stepCount), pageBytes);
  return table;
}

function* iommufdDomains(history: History, kernel: Kernel): Generator<DomainSketch> {
  for (const { context, ioas } of eachIoas(kernel)) {
    for (const id of ioas.domains) {
      const hwpt = context.objects[id] as HwptPaging;
      const { domain } = hwpt;
      const known = history.domains.get(domain.key);
      yield {
        key: domain.key,
        context: context.id,
        hwpt: id,
        ioas: ioas.id,
        iommu: domain.iommu,
        driver: domain.driver,
        nestParent: hwpt.nestParent,
        tracking: hwpt.tracking,
        facts: formatFacts(kernel, domain, hwpt, known?.tracked ?? false),
        stepCount: known?.steps.count ?? 0,
      };
    }
  }
}

function* type1Domains(history: History, kernel: Kernel): Generator<DomainSketch> {
  for (const { container, domain, key, facts } of eachType1Domain(history, kernel)) {
    yield {
      key,
      context: container,
      hwpt: 0,
      ioas: 0,
      iommu: domain.iommu,
      driver: domain.driver,
      nestParent: false,
      tracking: false,
      facts,
      stepCount: history.domains.get(key)?.steps.count ?? 0,
    };
  }
}

/** A domain of a classic container, in the terms of those of iommufd. */
export interface ContainerDomain {
  /** Of the container. */
  readonly container: number;
  readonly key: number;
  readonly groups: readonly number[];
  /** Ranges that the container may map. */
  readonly iovas: readonly { readonly startPage: number; readonly lastPage: number }[];
  readonly domain: Pick<PagingDomain, 'iommu' | 'format' | 'pageSizes' | 'aperture' | 'driver'>;
  readonly facts: FormatFacts;
}

export function* eachType1Domain(history: History, kernel: Kernel): Generator<ContainerDomain> {
  for (const { key: container, iommu: type1 } of Object.values(kernel.state.vfio.containers)) {
    for (const { kind, groups, aperture, pageSizes, enforceCacheCoherency } of type1?.domains ?? []) {
      const device = kernel.machine.devices.find(({ group }) => groups.includes(group));
      const iommu = device?.iommu ?? kernel.machine.iommus[0];
      if (iommu === undefined) continue;
      const domain = {
        driver: iommu.driver,
        iommu: iommu.name,
        format: iommu.tableFormat ?? usualFormat(iommu),
        pageSizes,
        aperture,
      };
      const facts = formatFacts(kernel, domain, { nestParent: false, enforceCacheCoherency }, false);
      const iovas = type1?.iovas ?? [];
      yield { container, key: type1Key(history, container, kind), groups, iovas, domain, facts };
    }
  }
}

/** Format of an ordinary table where the topology does not name it. */
function usualFormat({ driver }: Iommu): string {
  return { vtd: 'vtd-ss', amd: 'amdv1', riscv: 'riscv', smmuv3: 'smmu-s1', mock: '' }[driver];
}

/** What the format of a domain's table follows from. */
export function formatFacts(
  kernel: Kernel,
  domain: Pick<PagingDomain, 'iommu' | 'format' | 'pageSizes' | 'aperture' | 'driver'>,
  { nestParent, enforceCacheCoherency }: Pick<HwptPaging, 'nestParent' | 'enforceCacheCoherency'>,
  dirtyTracking: boolean,
): FormatFacts {
  const iommu = kernel.machine.iommus.find(({ name }) => name === domain.iommu);
  const [major = 0, minor = 0] = kernel.profile.release.split('.').map(Number);
  return {
    format: domain.format === '' && iommu !== undefined ? usualFormat(iommu) : domain.format,
    apertureLastPage: domain.aperture.lastPage,
    pageSizes: BigInt(domain.pageSizes),
    kernel: major * 100 + minor,
    dirtyTracking,
    nestParent,
    enforceCoherency: enforceCacheCoherency,
    hwInfoBit: (byteOffset, bit) => bitOf(hwInfoBytes(kernel, iommu), byteOffset, bit),
    stated: (key) => iommu?.stated[key] ?? null,
  };
}

/** From the topology, else from what a GET_HW_INFO of the trace told. */
function hwInfoBytes(kernel: Kernel, iommu: Iommu | undefined): Uint8Array | null {
  if (iommu === undefined) return null;
  if (iommu.hwInfo !== null) return iommu.hwInfo.bytes;
  const learned = kernel.state.learned[iommu.name]?.hwInfo;
  return learned === undefined ? null : new Uint8Array(Buffer.from(learned, 'hex'));
}

function* deviceSlots(history: History, kernel: Kernel): Generator<DeviceSlot> {
  for (const physical of kernel.machine.devices) {
    const { index: device, bdf, path, group, iommu } = physical;
    const base = { device, bdf, path, iommu: iommu.name, written: true };
    const type1 = type1StateOf(history, kernel, group);
    if (type1 !== null) {
      yield { ...base, pasid: 0, state: type1 };
      continue;
    }
    const owner = kernel.state.vfio.owners[group];
    const context = owner === undefined ? undefined : kernel.state.contexts[owner.context];
    const slots = context?.groups[group]?.slots ?? {};
    if (slots[0] === undefined) {
      // What nobody has claimed stays with the kernel's own domain.
      yield { ...base, pasid: 0, state: { kind: owner === undefined ? 'kernel' : 'blocked' } };
    }
    for (const [pasid, { hwpt }] of Object.entries(slots)) {
      if (context === undefined) continue;
      const written = pasid === '0' || hasPasids(kernel, physical);
      yield { ...base, pasid: Number(pasid), state: stateOf(context, context.objects[hwpt]), written };
    }
  }
}

/**
 * Scalable mode is stated, or the extended capability register has it, or there is a page table that needs
 * it: a first stage, or a parent of a guest's.
 */
function isScalable(kernel: Kernel, iommu: Iommu): boolean | null {
  if (iommu.driver !== 'vtd') return false;
  const told = iommu.stated['scalable_mode'] ?? bitOf(hwInfoBytes(kernel, iommu), 16, 43);
  return told ?? (iommu.tableFormat === 'vtd-fs' || hasScalableTable(kernel, iommu) ? true : null);
}

function hasScalableTable({ state }: Kernel, { name }: Iommu): boolean {
  for (const { objects } of Object.values(state.contexts)) {
    for (const object of Object.values(objects)) {
      if (object.type !== 'hwpt-paging' || object.domain.iommu !== name) continue;
      if (object.nestParent || object.domain.format === 'vtd-fs') return true;
    }
  }
  return false;
}

/** Whether device and IOMMU have PASIDs; null when the trace does not tell. */
function hasPasids(kernel: Kernel, { maxPasids, bdf, path, iommu }: PhysicalDevice): boolean | null {
  const ecap = 16;
  if (iommu.driver === 'vtd' && bitOf(hwInfoBytes(kernel, iommu), ecap, 40) === false) return false;
  const known = maxPasids ?? kernel.state.learned[bdf === '' ? path : bdf]?.pasids;
  return known === undefined ? null : known > 0;
}

function bitOf(bytes: Uint8Array | null, byteOffset: number, bit: number): boolean | null {
  const byte = bytes?.[byteOffset + (bit >> 3)];
  return byte === undefined ? null : ((byte >> (bit & 7)) & 1) === 1;
}

function stateOf(context: Context, hwpt: KernelObject | undefined): SlotState {
  if (hwpt?.type === 'hwpt-paging') return { kind: 'paging', domain: hwpt.domain.key };
  if (hwpt?.type !== 'hwpt-nested') return { kind: 'blocked' };
  const parent = context.objects[hwpt.parent] as HwptPaging;
  return {
    kind: 'nested',
    domain: parent.domain.key,
    hwpt: hwpt.id,
    data: new Uint8Array(Buffer.from(hwpt.data, 'hex')),
  };
}

function type1StateOf(history: History, kernel: Kernel, group: number): SlotState | null {
  for (const { key, groups, iommu } of Object.values(kernel.state.vfio.containers)) {
    if (!groups.some(({ id }) => id === group)) continue;
    const domain = iommu?.domains.find(({ groups: ids }) => ids.includes(group));
    return domain === undefined
      ? { kind: 'blocked' }
      : { kind: 'paging', domain: type1Key(history, key, domain.kind) };
  }
  return null;
}
