import type { Kernel, PhysicalDevice } from '../../src/model/index.ts';
import type { Call } from '../../src/trace/index.ts';
import type { Store, TraceInfo } from '../../store/index.ts';
import { followTrace } from '../replayer.ts';
import { type DriverRecorder, recordDrivers } from './driver-log.ts';
import type { DriverLog } from './driver-op.ts';
import { afterCall, historySink } from './follow-history.ts';
import { guestMemory, type NotedMemory, noteMemory } from './guest-memory.ts';
import { createHistory, type History } from './history.ts';
import type { Driver, SmmuDevice, SmmuOptions } from './smmu-driver.ts';
import { expectationOfDriver, type SmmuExpectation } from './smmu-expectation.ts';
import { type SmmuFeatures, smmuFeatures } from './smmu-features.ts';
import { type GuestTables, readGuestTables } from './smmu-guest-tables.ts';
import { runSmmu } from './smmu-run.ts';
import { guestConfig, guestEntry } from './smmu-stream-table.ts';

/** An SMMU at points of a trace, with all that only its whole history tells. */

/** How many ASIDs and VMIDs the kernel's own domains hold; null leaves the ids of tags open. */
export interface OwnIds {
  readonly asids: number | null;
  readonly vmids: number | null;
}

const NO_IDS: OwnIds = { asids: null, vmids: null };

export interface SmmuLookOptions {
  /** Kernel release or profile name; the trace's own by default. */
  readonly kernel?: string | null;
  /** Name of the IOMMU in the topology; the first SMMUv3 otherwise. */
  readonly iommu?: string;
  /**
   * The ids that the kernel's own domains hold, which no trace tells: from what the driver did up to a point,
   * with all ids open.
   */
  readonly ownIds?: (driver: Driver, point: number) => OwnIds;
}

interface Follower {
  /** Name of the SMMU. */
  readonly iommu: string;
  readonly kernel: Kernel;
  readonly history: History;
  readonly recorder: DriverRecorder;
  readonly noted: NotedMemory;
  /** What guests' tables hold at each point, by device. */
  readonly guests: Map<number, Map<number, GuestTables>>;
}

/**
 * What the SMMU should hold at each point (ascending), and which commands should have been queued since the
 * one before. Null when the trace has no SMMUv3 whose registers it tells.
 */
export function lookAtSmmu(
  store: Store,
  trace: TraceInfo,
  points: readonly number[],
  options: SmmuLookOptions = {},
): SmmuExpectation[] | null {
  const { kernel = null } = options;
  let follower: Follower | null = null;
  const start = (started: Kernel): void => {
    follower = follow(started, options.iommu);
  };
  followTrace(store, trace, { kernel }, start, (running, call, outcome) => {
    if (follower !== null) visit(follower, running, call, outcome === 'diverged', points);
  });
  const end = follower as Follower | null;
  const features = end === null ? null : featuresOfIommu(end.kernel, end.iommu);
  if (end === null || features === null) return null;
  const { log } = end.recorder;
  return points.map((seq, at) => {
    const run = (own: OwnIds): Driver =>
      runSmmu(log, end.history, features, optionsOf(end.kernel, features, end.iommu, own), seq);
    const driver = run(options.ownIds?.(run(NO_IDS), seq) ?? NO_IDS);
    return expectationAt(end, driver, points[at - 1] ?? -1, at === 0, seq);
  });
}

function follow(kernel: Kernel, name: string | undefined): Follower | null {
  const iommu = kernel.machine.iommus.find(
    (each) => each.driver === 'smmuv3' && (name === undefined || each.name === name),
  );
  if (iommu === undefined) return null;
  const history = createHistory();
  const recorder = recordDrivers(kernel, history, historySink(history, kernel), iommu.name);
  kernel.effects = recorder.sink;
  return { iommu: iommu.name, kernel, history, recorder, noted: new Map(), guests: new Map() };
}

function visit(
  follower: Follower,
  kernel: Kernel,
  call: Call,
  diverged: boolean,
  points: readonly number[],
): void {
  afterCall(follower.history, kernel, call, diverged);
  follower.recorder.after(call);
  if (call.op === 'note') noteMemory(follower.noted, kernel, call);
  if (points.includes(call.seq)) follower.guests.set(call.seq, guestsNow(follower, kernel, call.seq));
}

/** Reads the tables of every guest whose device is attached through stage 1. */
function guestsNow(
  { iommu, history, noted, recorder }: Follower,
  kernel: Kernel,
  seq: number,
): Map<number, GuestTables> {
  const guests = new Map<number, GuestTables>();
  const features = featuresOfIommu(kernel, iommu);
  for (const { index, group } of kernel.machine.devices) {
    const owner = kernel.state.vfio.owners[group];
    const context = owner === undefined ? undefined : kernel.state.contexts[owner.context];
    const hwpt = context?.objects[context.groups[group]?.slots[0]?.hwpt ?? 0];
    if (hwpt?.type !== 'hwpt-nested' || features === null) continue;
    const parent = context?.objects[hwpt.parent];
    const guest = guestEntry(new Uint8Array(Buffer.from(hwpt.data, 'hex')));
    if (parent?.type !== 'hwpt-paging' || guestConfig(guest) !== 'stage1') continue;
    const domain = parent.domain.key;
    const stepCount = history.domains.get(domain)?.steps.count ?? 0;
    const memory = guestMemory(history, noted, { domain, stepCount, seq });
    guests.set(
      index,
      readGuestTables(memory, guest.first, features.outputBits, announcedBy(recorder.log, parent.domain.key)),
    );
  }
  return guests;
}

/** Record of the last commands that a guest on this nest parent gave; negative when there were none. */
function announcedBy({ ops }: DriverLog, domain: number): number {
  return ops.findLast((op) => op.op === 'guest' && op.domain === domain)?.seq ?? -1;
}

export function featuresOfIommu(kernel: Kernel, name: string): SmmuFeatures | null {
  const stated = kernel.machine.iommus.find((iommu) => iommu.name === name)?.hwInfo?.bytes;
  const learned = kernel.state.learned[name]?.hwInfo;
  const bytes = stated ?? (learned === undefined ? null : new Uint8Array(Buffer.from(learned, 'hex')));
  return bytes === null ? null : smmuFeatures(bytes);
}

/** What the driver has to know of the machine. */
export function optionsOf(
  { machine, profile }: Kernel,
  features: SmmuFeatures,
  iommu: string,
  { asids, vmids }: OwnIds,
): SmmuOptions {
  const [major = 0, minor = 0] = profile.release.split('.').map(Number);
  return {
    devices: machine.devices
      .filter((device) => device.iommu.name === iommu)
      .map((device) => deviceOf(device, features)),
    pageBytes: profile.pageBytes,
    kernel: major * 100 + minor,
    ownAsids: asids,
    ownVmids: vmids,
  };
}

function deviceOf({ index, bdf, maxPasids, ats }: PhysicalDevice, features: SmmuFeatures): SmmuDevice {
  const pasidBits = maxPasids === null || maxPasids === 0 ? 0 : Math.ceil(Math.log2(maxPasids));
  return {
    device: index,
    streamId: streamIdOf(bdf),
    substreamBits: Math.min(pasidBits, features.substreamBits),
    ats: features.ats ? ats : false,
  };
}

/** Requester id of a PCI address, which firmware gives as the stream id unless it says otherwise. */
export function streamIdOf(bdf: string): number {
  const [, bus = '0', slot = '0', fn = '0'] = /([0-9a-f]+):([0-9a-f]+)\.([0-7])$/i.exec(bdf) ?? [];
  return (Number.parseInt(bus, 16) << 8) | (Number.parseInt(slot, 16) << 3) | Number.parseInt(fn, 16);
}

function expectationAt(
  { kernel, guests }: Follower,
  driver: Driver,
  afterSeq: number,
  mayFollowOthers: boolean,
  seq: number,
): SmmuExpectation {
  return expectationOfDriver(driver, {
    afterSeq,
    mayFollowOthers,
    guests: guests.get(seq) ?? new Map(),
    deviceOf: (bdf) => kernel.machine.devices.find((device) => device.bdf === bdf)?.index ?? null,
  });
}
