import type { Context, EffectSink, Kernel } from '../../src/model/index.ts';
import type { Call } from '../../src/trace/index.ts';
import { CMD } from '../../src/uapi/index.ts';
import { type ContainerWatch, watchContainers } from './container-log.ts';
import { dirtySyncOf } from './dirty-sync.ts';
import { formatFacts } from './domain-view.ts';
import {
  type DriverLog,
  type DriverOp,
  type DriverTarget,
  isOfLog,
  logDomain,
  nestedName,
} from './driver-op.ts';
import { invalidationOf } from './guest-invalidation.ts';
import type { History } from './history.ts';
import { isPartOfDropped } from './history-fills.ts';

/** Writes down what a replay does to IOMMUs, in their drivers' terms: see driver-op.ts. */

interface Recorder {
  readonly log: DriverLog;
  readonly kernel: Kernel;
  readonly history: History;
  /** Keys of domains by context and object. */
  readonly keys: Map<string, number>;
  /** Steps that the log has, by domain. */
  readonly taken: Map<number, number>;
  readonly claimed: Set<number>;
  readonly containers: ContainerWatch;
  /** Domains with dirty tracking on. */
  readonly tracked: Set<number>;
  /** Record that is being applied. */
  seq: number;
  /** Ops of the calls before this one. */
  start: number;
}

/**
 * Hooks for a replay: the sink instead of the history's own, then `after` each record after the history's.
 */
export interface DriverRecorder {
  readonly log: DriverLog;
  readonly sink: EffectSink;
  after(call: Call): void;
  /** Takes in what was told after the last record: the exit of a process. */
  settle(): void;
  /** Takes the ops out of the log: for a reader that executes them as they come. */
  take(): DriverOp[];
}

/**
 * Records what a kernel does to one of its IOMMUs, or with null to all; `base` is the history's sink.
 */
export function recordDrivers(
  kernel: Kernel,
  history: History,
  base: EffectSink,
  iommu: string | null,
): DriverRecorder {
  const log: DriverLog = { iommu, ops: [], domains: new Map(), formats: new Map() };
  const recorder: Recorder = {
    log,
    kernel,
    history,
    keys: new Map(),
    taken: new Map(),
    claimed: new Set(),
    containers: watchContainers(kernel, history, log),
    tracked: new Set(),
    seq: 0,
    start: 0,
  };
  const sink: EffectSink = {
    ...base,
    objectCreated(context, type, id) {
      base.objectCreated(context, type, id);
      if (type === 'hwpt-paging') noteDomain(recorder, context, id);
    },
    objectDestroyed(context, type, id) {
      base.objectDestroyed(context, type, id);
      const domain = recorder.keys.get(`${context}:${id}`);
      if (type !== 'hwpt-paging' || domain === undefined) return;
      recorder.keys.delete(`${context}:${id}`);
      push(recorder, { op: 'free', domain });
    },
    rangeMapped(context, ioas, space, slot) {
      base.rangeMapped(context, ioas, space, slot);
      const isSplit = isPartOfDropped(history, history.fills.count - 1);
      if (isSplit) silenceSplit(recorder);
      for (const domain of history.spaces.get(space)?.domains ?? []) takeSteps(recorder, domain, isSplit);
    },
    rangeUnmapped(context, ioas, space, slot) {
      base.rangeUnmapped(context, ioas, space, slot);
      const [storage, ...others] = history.spaces.get(space)?.domains ?? [];
      // iopt_area_unfill_domains: the domain that remembers the pages comes last.
      for (const domain of others) takeSteps(recorder, domain);
      if (storage !== undefined) takeSteps(recorder, storage);
    },
    deviceAttached(context, device, hwpt, pasid) {
      base.deviceAttached(context, device, hwpt, pasid);
      noteAttach(recorder, context, device, hwpt, pasid, false);
    },
    deviceReplaced(context, device, from, to, pasid) {
      base.deviceReplaced(context, device, from, to, pasid);
      noteAttach(recorder, context, device, to, pasid, true);
    },
    deviceDetached(context, device, hwpt, pasid) {
      base.deviceDetached(context, device, hwpt, pasid);
      noteDetach(recorder, context, device, pasid);
    },
  };
  return {
    log,
    sink,
    after: (call) => afterCall(recorder, call),
    settle: () => closeCall(recorder),
    take() {
      recorder.start = 0;
      return log.ops.splice(0);
    },
  };
}

type WithoutSeq<T> = T extends unknown ? Omit<T, 'seq'> : never;

function push({ log, seq }: Recorder, op: WithoutSeq<DriverOp>): void {
  // Effects come before `after` tells the number of the call; it is put in there.
  log.ops.push({ ...op, seq } as DriverOp);
}

function noteDomain(recorder: Recorder, context: number, id: number): void {
  const hwpt = recorder.kernel.state.contexts[context]?.objects[id];
  if (hwpt?.type !== 'hwpt-paging' || !isOurs(recorder, hwpt.domain.iommu)) return;
  recorder.keys.set(`${context}:${id}`, hwpt.domain.key);
  recorder.log.domains.set(hwpt.domain.key, logDomain(hwpt.domain, hwpt.nestParent));
  recorder.log.formats.set(hwpt.domain.key, formatFacts(recorder.kernel, hwpt.domain, hwpt, false));
  push(recorder, { op: 'alloc', domain: hwpt.domain.key });
}

function isOurs({ log }: Recorder, iommu: string): boolean {
  return isOfLog(log, iommu);
}

function takeSteps(recorder: Recorder, domain: number, silent = false): void {
  const end = recorder.history.domains.get(domain)?.steps.count ?? 0;
  if (end === (recorder.taken.get(domain) ?? 0) || !recorder.log.domains.has(domain)) return;
  recorder.taken.set(domain, end);
  push(recorder, { op: 'steps', domain, end, silent });
}

/** An area that is cut in two goes and comes back as two, while the hardware stays as it is. */
function silenceSplit({ log, start }: Recorder): void {
  for (let at = log.ops.length - 1; at >= start; at -= 1) {
    const op = log.ops[at]!;
    if (op.op !== 'steps') return;
    op.silent = true;
  }
}

/** Devices of the machine behind these IOMMUs in the same group. */
function groupDevices(recorder: Recorder, group: number): number[] {
  return recorder.kernel.machine.devices
    .filter((device) => device.group === group && isOurs(recorder, device.iommu.name))
    .map(({ index }) => index);
}

function noteAttach(
  recorder: Recorder,
  contextId: number,
  deviceId: number,
  hwpt: number,
  pasid: number,
  replaced: boolean,
): void {
  const context = recorder.kernel.state.contexts[contextId];
  const device = context?.objects[deviceId];
  if (context === undefined || device?.type !== 'device') return;
  const slot = context.groups[device.group]?.slots[pasid];
  // Further devices of the group find it attached.
  if (!replaced && slot !== undefined && slot.devices.length > 1) return;
  const to = targetOf(context, hwpt);
  const devices = groupDevices(recorder, device.group);
  if (to === null || devices.length === 0) return;
  // A device that has no domain gets an automatic one while that is empty; one that has, when it is filled
  // (`immediate_attach` of iommufd_device_auto_get_domain).
  if (replaced) takeSteps(recorder, to.domain);
  push(recorder, { op: 'attach', devices, pasid, to });
}

function targetOf(context: Context, id: number): DriverTarget | null {
  const hwpt = context.objects[id];
  if (hwpt?.type === 'hwpt-paging') return { kind: 'paging', domain: hwpt.domain.key };
  if (hwpt?.type !== 'hwpt-nested') return null;
  const parent = context.objects[hwpt.parent];
  if (parent?.type !== 'hwpt-paging') return null;
  return {
    kind: 'nested',
    domain: parent.domain.key,
    nested: nestedName(context.id, id),
    data: new Uint8Array(Buffer.from(hwpt.data, 'hex')),
  };
}

function noteDetach(recorder: Recorder, contextId: number, deviceId: number, pasid: number): void {
  const context = recorder.kernel.state.contexts[contextId];
  const device = context?.objects[deviceId];
  if (device?.type !== 'device' || context?.groups[device.group]?.slots[pasid] !== undefined) return;
  const devices = groupDevices(recorder, device.group);
  if (devices.length > 0) push(recorder, { op: 'detach', devices, pasid });
}

function afterCall(recorder: Recorder, call: Call): void {
  const { log, kernel } = recorder;
  recorder.seq = call.seq;
  closeCall(recorder, !leavesGroups(call));
  if (call.op === 'ioctl' && call.kind === 'iommufd') {
    const op = invalidationOf(kernel, call, (iommu) => isOurs(recorder, iommu));
    if (op !== null) push(recorder, op);
    const dirty = dirtySyncOf(kernel, call, (iommu) => isOurs(recorder, iommu));
    if (dirty !== null) push(recorder, dirty);
    if (call.cmd === CMD.IOMMU_HWPT_SET_DIRTY_TRACKING) noteTracking(recorder);
  }
  recorder.start = log.ops.length;
}

/** What effects did not tell in so many words; everything since the last record gets its number. */
function closeCall(recorder: Recorder, mayMoveGroups = true): void {
  const { log, seq } = recorder;
  for (let at = recorder.start; at < log.ops.length; at += 1) log.ops[at] = { ...log.ops[at]!, seq };
  if (mayMoveGroups) {
    noteOwners(recorder);
    noteContainers(recorder);
  }
  for (const domain of log.domains.keys()) takeSteps(recorder, domain);
  recorder.start = log.ops.length;
}

function noteTracking(recorder: Recorder): void {
  for (const context of Object.values(recorder.kernel.state.contexts)) {
    for (const object of Object.values(context.objects)) {
      if (object.type !== 'hwpt-paging' || !recorder.log.domains.has(object.domain.key)) continue;
      const { key } = object.domain;
      if (recorder.tracked.has(key) === object.tracking) continue;
      if (object.tracking) recorder.tracked.add(key);
      else recorder.tracked.delete(key);
      push(recorder, { op: 'tracking', domain: key, on: object.tracking });
    }
  }
}

/**
 * Classic containers: devices leave a domain before it is emptied, and enter it before it is filled, after
 * the claims of the call.
 */
function noteContainers(recorder: Recorder): void {
  const { log, seq, start } = recorder;
  const found = recorder.containers.changes();
  if (found.length === 0) return;
  const others = log.ops.slice(start).findIndex(({ op }) => op !== 'claim');
  const at = others < 0 ? log.ops.length : start + others;
  log.ops.splice(at, 0, ...found.map((op) => ({ ...op, seq }) as DriverOp));
}

/** Records that can not claim, release or move a group: the frequent ones. */
function leavesGroups(call: Call): boolean {
  switch (call.op) {
    case 'ioctl':
      return (
        call.kind === 'iommufd' ||
        call.cmd === CMD.VFIO_IOMMU_MAP_DMA ||
        call.cmd === CMD.VFIO_IOMMU_UNMAP_DMA
      );
    case 'note':
    case 'dma':
    case 'mmap':
    case 'pread':
    case 'pwrite':
      return true;
    default:
      return false;
  }
}

/** iommu_device_claim_dma_owner, before anything else that the call does; its release comes last. */
function noteOwners(recorder: Recorder): void {
  const { log, kernel, claimed, seq, start } = recorder;
  const { owners } = kernel.state.vfio;
  for (const group of [...claimed]) {
    if (owners[group] !== undefined) continue;
    claimed.delete(group);
    push(recorder, { op: 'release', devices: groupDevices(recorder, group) });
  }
  for (const key of Object.keys(owners)) {
    const group = Number(key);
    if (claimed.has(group)) continue;
    claimed.add(group);
    log.ops.splice(start, 0, { op: 'claim', devices: groupDevices(recorder, group), seq });
  }
}
