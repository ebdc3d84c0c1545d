import { applySteps } from './apply-steps.ts';
import type { DriverLog, LogDomain } from './driver-op.ts';
import { type ArmGeometry, armGeometry, inputBitsOf } from './formats/arm-lpae.ts';
import { armStage1 } from './formats/arm-stage1.ts';
import { armStage2, stage2Geometry } from './formats/arm-stage2.ts';
import type { History } from './history.ts';
import { createPageTable, type PageTable } from './page-table.ts';
import type { SmmuCommand, TlbRange } from './smmu-commands.ts';
import type { SmmuFeatures } from './smmu-features.ts';
import { domainCommands, invalidatingTable } from './smmu-invalidation.ts';
import { entry } from './smmu-words.ts';
import { stepsBetween } from './step-list.ts';
import { READ, UNKNOWN_FRAME, type Word, WRITE } from './table-format.ts';

/** State of the SMMUv3 driver while it executes a log: its domains, its streams and its command queue. */

export interface DriverDomain {
  readonly facts: LogDomain;
  readonly geometry: ArmGeometry;
  readonly table: PageTable;
  /**
   * ASID or VMID, counted from the first that the kernel's own domains left free. The kernel takes the lowest
   * free one; 0 for a domain of its own.
   */
  readonly rank: number;
  /** Attachments: while there are any, the domain invalidates its tag. */
  users: number;
  /** Steps of its history that were done. */
  done: number;
}

export interface DriverStream {
  /** Index in the machine's devices. */
  readonly device: number;
  readonly streamId: number;
  readonly substreamBits: number;
  readonly ats: boolean | null;
  /** The kernel's own domain. */
  readonly own: DriverDomain;
  /** Domain whose tag it uses, by PASID (0 is the RID). */
  readonly domains: Map<number, DriverDomain>;
  entryInMemory: MemoryEntry;
  /** Context descriptors that were written, by PASID. */
  readonly contexts: Map<number, MemoryEntry>;
}

/** Words that the driver wrote, and the domain whose table and id they name. */
export interface MemoryEntry {
  readonly words: readonly Word[];
  readonly domain: DriverDomain | null;
}

export const EMPTY_ENTRY: MemoryEntry = { words: entry(), domain: null };

export interface Driver {
  readonly features: SmmuFeatures;
  readonly log: DriverLog;
  readonly history: History;
  readonly options: SmmuOptions;
  readonly domains: Map<number, DriverDomain>;
  readonly streams: Map<number, DriverStream>;
  readonly queue: QueuedCommand[];
  /** Call that is being executed. */
  seq: number;
}

/** A device behind the SMMU. */
export interface SmmuDevice {
  readonly device: number;
  readonly streamId: number;
  /** Bits of its PASIDs. */
  readonly substreamBits: number;
  readonly ats: boolean | null;
}

export interface SmmuOptions {
  readonly devices: readonly SmmuDevice[];
  readonly pageBytes: number;
  /** Kernel as major * 100 + minor. */
  readonly kernel: number;
  /** How many ASIDs (with stage 1) and VMIDs the kernel's own domains hold; null when that is not known. */
  readonly ownAsids: number | null;
  readonly ownVmids: number | null;
}

export interface QueuedCommand {
  readonly seq: number;
  readonly command: SmmuCommand;
  /** False where it depends on addresses that the kernel chose whether there is such a command. */
  readonly isSure: boolean;
}

export function createDriver(
  log: DriverLog,
  history: History,
  features: SmmuFeatures,
  options: SmmuOptions,
): Driver {
  const driver: Driver = {
    features,
    log,
    history,
    options,
    domains: new Map(),
    streams: new Map(),
    queue: [],
    seq: 0,
  };
  for (const device of options.devices) {
    driver.streams.set(device.device, {
      ...device,
      own: ownDomain(driver, device.device),
      domains: new Map(),
      entryInMemory: EMPTY_ENTRY,
      contexts: new Map(),
    });
  }
  return driver;
}

export function emit(driver: Driver, ...commands: readonly SmmuCommand[]): void {
  for (const command of commands) driver.queue.push({ seq: driver.seq, command, isSure: true });
}

export function emitPossible(driver: Driver, ...commands: readonly SmmuCommand[]): void {
  for (const command of commands) driver.queue.push({ seq: driver.seq, command, isSure: false });
}

/** The lowest free id: xa_alloc of ASIDs, ida_alloc_range of VMIDs. */
export function allocateDomain(driver: Driver, key: number): void {
  const facts = driver.log.domains.get(key);
  if (facts === undefined) throw new Error(`the log allocates domain ${key} without facts`);
  const taken = new Set<number>();
  for (const domain of driver.domains.values()) {
    if (domain.facts.stage === facts.stage) taken.add(domain.rank);
  }
  let rank = 1;
  while (taken.has(rank)) rank += 1;
  const domain = newDomain(driver, facts, rank);
  if (domain !== null) driver.domains.set(key, domain);
}

/** Id of a domain's tag; null when it can not be known. */
export function idOf({ options }: Driver, { facts, rank }: DriverDomain): number | null {
  const own = facts.stage === 1 ? options.ownAsids : options.ownVmids;
  return own === null || rank === 0 ? null : own + rank;
}

function newDomain(driver: Driver, facts: LogDomain, rank: number): DriverDomain | null {
  const { features } = driver;
  const sizes = {
    pageSizes: facts.pageSizes,
    inputBits: inputBitsOf(facts.apertureLastPage),
    outputBits: features.outputBits,
  };
  const geometry = facts.stage === 1 ? armGeometry(sizes) : stage2Geometry(sizes, driver.options.kernel);
  if (geometry === null) return null;
  const format =
    facts.stage === 1
      ? armStage1(geometry, features.coherent, facts.tracksDirty)
      : armStage2(geometry, features.coherent, forcesWriteBack(driver, facts));
  return { facts, geometry, table: createPageTable(format), rank, users: 0, done: 0 };
}

export function forcesWriteBack({ features }: Pick<Driver, 'features'>, facts: LogDomain): boolean {
  return facts.nestParent && features.forcesWriteBack;
}

/** A DMA domain of the kernel: stage 1 where the SMMU has it. Its key is below all of the log's. */
function ownDomain(driver: Driver, device: number): DriverDomain {
  const { features, options } = driver;
  const facts: LogDomain = {
    key: -1 - device,
    iommu: driver.log.iommu ?? '',
    stage: features.stage1 ? 1 : 2,
    nestParent: false,
    tracksDirty: false,
    pageSizes: BigInt(options.pageBytes),
    apertureLastPage: 2 ** ((features.stage1 ? 48 : features.outputBits) - 12) - 1,
  };
  const domain = newDomain(driver, facts, 0);
  if (domain === null) throw new Error(`${options.pageBytes} bytes are no granule of Arm's`);
  return domain;
}

/** Does what the log says of a domain's table; what goes away is invalidated while the domain is in use. */
export function doSteps(driver: Driver, key: number, end: number, silent: boolean): void {
  const domain = driver.domains.get(key);
  const steps = driver.history.domains.get(key)?.steps;
  if (domain === undefined || steps === undefined) return;
  const { pageBytes } = driver.options;
  const table =
    domain.users === 0 || silent
      ? domain.table
      : invalidatingTable(domain.table, (range) => invalidateDomain(driver, domain, range));
  applySteps(table, stepsBetween(steps, driver.history, domain.done, end), pageBytes);
  domain.done = end;
}

/** `vfio_test_domain_fgsp`: no granule has leaves of two pages, so they are unmapped one by one. */
export function probe(driver: Driver, key: number, page: number): void {
  const domain = driver.domains.get(key);
  if (domain === undefined) return;
  const pages = driver.options.pageBytes / 4096;
  const table = invalidatingTable(domain.table, (range) => invalidateDomain(driver, domain, range));
  table.map(page, 2 * pages, UNKNOWN_FRAME, READ | WRITE);
  for (const first of [page, page + pages]) table.unmap(first, pages);
}

function invalidateDomain(driver: Driver, domain: DriverDomain, range: TlbRange): void {
  const { stage, nestParent } = domain.facts;
  const atsStreams = [...driver.streams.values()]
    .filter(({ ats, domains }) => ats === true && [...domains.values()].includes(domain))
    .map(({ streamId }) => streamId);
  const tag = { stage, id: idOf(driver, domain) };
  emit(driver, ...domainCommands(driver.features, { tag, nestParent, atsStreams }, range));
}
