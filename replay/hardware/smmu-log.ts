import type { Context, EffectSink, HwptPaging, Kernel } from '../../src/model/index.ts';
import type { Call, IoctlCall } from '../../src/trace/index.ts';
import type { History } from './history.ts';
import { type GuestCommand, guestCommands } from './smmu-guest-commands.ts';

/**
 * What happened to the domains and devices of one SMMU, in the driver's own terms and order. A replay writes
 * it, and `runSmmu` executes it when somebody looks: which page sizes a map gets, and so which commands an
 * unmap queues, depends on physical pages, which a trace tells only after the call.
 */
export type SmmuOp = { readonly seq: number } & (
  | { readonly op: 'claim' | 'release'; readonly devices: readonly number[] }
  | { readonly op: 'alloc' | 'free'; readonly domain: number }
  /** Steps of the domain's history, up to this many. */
  | { readonly op: 'steps'; readonly domain: number; readonly end: number; silent: boolean }
  | {
      readonly op: 'attach';
      readonly devices: readonly number[];
      readonly pasid: number;
      readonly to: SmmuTarget;
    }
  | { readonly op: 'detach'; readonly devices: readonly number[]; readonly pasid: number }
  | {
      readonly op: 'guest';
      readonly domain: number;
      readonly commands: readonly GuestCommand[];
      /** Device of each virtual stream id. */
      readonly streams: ReadonlyMap<number, number>;
    }
);

export type SmmuTarget =
  | { readonly kind: 'paging'; readonly domain: number }
  | { readonly kind: 'nested'; readonly domain: number; readonly data: Uint8Array };

/** A paging domain, from `PagingDomain`. */
export interface SmmuDomainFacts {
  readonly key: number;
  readonly stage: 1 | 2;
  readonly nestParent: boolean;
  readonly tracksDirty: boolean;
  readonly pageSizes: bigint;
  /** Inclusive last page of the aperture. */
  readonly apertureLastPage: number;
}

export interface SmmuLog {
  /** Name of the IOMMU in the topology. */
  readonly iommu: string;
  readonly ops: SmmuOp[];
  readonly domains: Map<number, SmmuDomainFacts>;
}

interface Recorder {
  readonly log: SmmuLog;
  readonly kernel: Kernel;
  readonly history: History;
  /** Keys of domains by context and object. */
  readonly keys: Map<string, number>;
  /** Steps that the log has, by domain. */
  readonly taken: Map<number, number>;
  readonly claimed: Set<number>;
  /** Record that is being applied. */
  seq: number;
  /** Ops of the calls before this one. */
  start: number;
}

/**
 * Hooks for a replay: the sink instead of the history's own, then `after` each record after the history's.
 */
export interface SmmuRecorder {
  readonly log: SmmuLog;
  readonly sink: EffectSink;
  after(call: Call): void;
}

/** Records what a kernel does to one of its SMMUs; `base` is the history's sink. */
export function recordSmmu(kernel: Kernel, history: History, base: EffectSink, iommu: string): SmmuRecorder {
  const log: SmmuLog = { iommu, ops: [], domains: new Map() };
  const recorder: Recorder = {
    log,
    kernel,
    history,
    keys: new Map(),
    taken: new Map(),
    claimed: new Set(),
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
      silenceSplit(recorder);
      for (const domain of history.spaces.get(space)?.domains ?? []) takeSteps(recorder, domain);
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
  return { log, sink, after: (call) => afterCall(recorder, call) };
}

type WithoutSeq<T> = T extends unknown ? Omit<T, 'seq'> : never;

function push({ log, seq }: Recorder, op: WithoutSeq<SmmuOp>): void {
  // Effects come before `after` tells the number of the call; it is put in there.
  log.ops.push({ ...op, seq } as SmmuOp);
}

function noteDomain(recorder: Recorder, context: number, id: number): void {
  const hwpt = recorder.kernel.state.contexts[context]?.objects[id];
  if (hwpt?.type !== 'hwpt-paging' || hwpt.domain.iommu !== recorder.log.iommu) return;
  recorder.keys.set(`${context}:${id}`, hwpt.domain.key);
  recorder.log.domains.set(hwpt.domain.key, factsOf(hwpt));
  push(recorder, { op: 'alloc', domain: hwpt.domain.key });
}

function factsOf({ domain, nestParent }: HwptPaging): SmmuDomainFacts {
  return {
    key: domain.key,
    stage: domain.format === 'smmu-s2' ? 2 : 1,
    nestParent,
    tracksDirty: domain.dirtyOps,
    pageSizes: BigInt(domain.pageSizes),
    apertureLastPage: domain.aperture.lastPage,
  };
}

function takeSteps(recorder: Recorder, domain: number): void {
  const end = recorder.history.domains.get(domain)?.steps.length ?? 0;
  if (end === (recorder.taken.get(domain) ?? 0) || !recorder.log.domains.has(domain)) return;
  recorder.taken.set(domain, end);
  push(recorder, { op: 'steps', domain, end, silent: false });
}

/** An area that is cut in two goes and comes back as two, while the hardware stays as it is. */
function silenceSplit({ log, start }: Recorder): void {
  for (let at = log.ops.length - 1; at >= start; at -= 1) {
    const op = log.ops[at]!;
    if (op.op !== 'steps') return;
    op.silent = true;
  }
}

/** Devices of the machine behind this SMMU in the same group. */
function groupDevices({ kernel, log }: Recorder, group: number): number[] {
  return kernel.machine.devices
    .filter((device) => device.group === group && device.iommu.name === log.iommu)
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
  if (to !== null && devices.length > 0) push(recorder, { op: 'attach', devices, pasid, to });
}

function targetOf(context: Context, id: number): SmmuTarget | null {
  const hwpt = context.objects[id];
  if (hwpt?.type === 'hwpt-paging') return { kind: 'paging', domain: hwpt.domain.key };
  if (hwpt?.type !== 'hwpt-nested') return null;
  const parent = context.objects[hwpt.parent];
  if (parent?.type !== 'hwpt-paging') return null;
  return { kind: 'nested', domain: parent.domain.key, data: new Uint8Array(Buffer.from(hwpt.data, 'hex')) };
}

function noteDetach(recorder: Recorder, contextId: number, deviceId: number, pasid: number): void {
  const context = recorder.kernel.state.contexts[contextId];
  const device = context?.objects[deviceId];
  if (device?.type !== 'device' || context?.groups[device.group]?.slots[pasid] !== undefined) return;
  const devices = groupDevices(recorder, device.group);
  if (devices.length > 0) push(recorder, { op: 'detach', devices, pasid });
}

function afterCall(recorder: Recorder, call: Call): void {
  const { log } = recorder;
  recorder.seq = call.seq;
  for (let at = recorder.start; at < log.ops.length; at += 1)
    log.ops[at] = { ...log.ops[at]!, seq: call.seq };
  noteOwners(recorder);
  for (const domain of log.domains.keys()) takeSteps(recorder, domain);
  if (call.op === 'ioctl' && call.kind === 'iommufd') noteInvalidation(recorder, call);
  recorder.start = log.ops.length;
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

const HWPT_INVALIDATE = 0x3b8d;
const EIO = 5;

/** Commands that a guest gave and the kernel took, or took in part. */
function noteInvalidation(recorder: Recorder, call: IoctlCall): void {
  if (call.cmd !== HWPT_INVALIDATE || call.arg === null) return;
  const { kernel } = recorder;
  const { modelled, errno } = kernel.reply;
  if (!modelled || (errno !== 0 && errno !== EIO)) return;
  const process = kernel.state.processes[call.pid];
  const file = kernel.state.files[process?.descriptors[call.fd] ?? 0];
  const context = kernel.state.contexts[file?.context ?? 0];
  const view = new DataView(call.arg.buffer, call.arg.byteOffset, call.arg.length);
  const viommu = context?.objects[view.getUint32(4, true)];
  if (context === undefined || viommu?.type !== 'viommu' || viommu.iommu !== recorder.log.iommu) return;
  const parent = context.objects[viommu.hwpt];
  const commands = guestCommands(call);
  if (parent?.type !== 'hwpt-paging' || commands === null) return;
  push(recorder, {
    op: 'guest',
    domain: parent.domain.key,
    commands,
    streams: virtualStreams(context, Object.values(viommu.vdevices)),
  });
}

/** Stream ids have 32 bits: a vDEVICE with a larger virtual id can not be named by a command. */
function virtualStreams(context: Context, vdevices: readonly number[]): Map<number, number> {
  const streams = new Map<number, number>();
  for (const id of vdevices) {
    const vdevice = context.objects[id];
    if (vdevice?.type !== 'vdevice' || vdevice.virtPage >= 2 ** 20) continue;
    const device = context.objects[vdevice.device];
    if (device?.type === 'device') streams.set(vdevice.virtPage * 4096 + vdevice.virtOffset, device.physical);
  }
  return streams;
}
