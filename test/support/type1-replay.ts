import { Immer } from 'immer';
import { compareReply } from '../../replay/index.ts';
import {
  chooseProfile,
  createKernel,
  execute,
  type Kernel,
  type Reply,
  restoreKernel,
  serializeKernel,
} from '../../src/model/index.ts';
import type { Answer } from '../../src/model/kernel.ts';
import { predictedStruct } from '../../src/model/outcome.ts';
import {
  attachGroup,
  createType1Container,
  detachGroup,
  type ReservedRegion,
  type Type1Container,
  type Type1Group,
  type1Ioctl,
} from '../../src/model/type1/container.ts';
import type { Capture, CloseCall, IoctlCall, OpenCall, TraceHeader } from '../../src/trace/index.ts';
import { CMD, hexOf } from '../../src/uapi/index.ts';
import { rangeOf } from './iova-range.ts';

const immer = new Immer({ autoFreeze: false });

/**
 * Replays the container calls of a capture whose /dev/vfio/vfio is the classic driver, group descriptors
 * included as far as containers see them. Processes of one capture share their descriptors.
 */

export interface ContainerReplay {
  /** Replaced when it goes on from a snapshot. */
  kernel: Kernel;
  /** Container ioctls and SET_CONTAINERs that were compared. */
  compared: number;
  /** Answers that could be predicted in part only, by seq. */
  readonly partial: number[];
  readonly divergences: string[];
}

export interface ContainerReplayOptions {
  /** Runs each ioctl on an Immer draft of its container instead of in place. */
  readonly draft?: boolean;
  /** Goes on from a snapshot of kernel and containers after this many calls, again and again. */
  readonly snapshotCalls?: number;
}

/** An open file: what a draft leaves behind takes the place of the container. */
interface OpenContainer {
  container: Type1Container;
}

interface OpenGroup {
  readonly facts: Type1Group;
  container: OpenContainer | null;
  /** Descriptors of the group and of its devices: each keeps the group's file open. */
  users: number;
}

export function replayContainers(
  { header, calls }: Pick<Capture, 'header' | 'calls'>,
  { draft = false, snapshotCalls = 0 }: ContainerReplayOptions = {},
): ContainerReplay {
  const { profile } = chooseProfile(header.kernel, header.pageSizeBytes);
  const result: ContainerReplay = {
    kernel: createKernel(profile, false),
    compared: 0,
    partial: [],
    divergences: [],
  };
  const containers = new Map<number, OpenContainer>();
  const groups = new Map<number, OpenGroup>();
  for (const [index, call] of calls.entries()) {
    const { kernel } = result;
    const reply = execute(kernel, call);
    if (call.op === 'open' && call.ret >= 0) openDescriptor(kernel, header, containers, groups, call);
    else if (call.op === 'close' && call.ret === 0) closeDescriptor(kernel, containers, groups, call);
    else if (call.op === 'ioctl' && call.kind === 'container') {
      const open = containers.get(call.fd);
      if (open === undefined) throw new Error(`call ${call.seq}: no container ${call.fd}`);
      compare(result, call, reply, containerIoctl(kernel, open, call.cmd, draft));
    } else if (call.op === 'ioctl' && call.kind === 'group')
      groupIoctl(result, containers, groups, call, reply);
    if (snapshotCalls > 0 && index % snapshotCalls === 0) {
      result.kernel = restoreKernel(serializeKernel(kernel), profile);
      const opens = [...containers.values(), ...[...groups.values()].map(({ container }) => container)];
      for (const open of new Set(opens)) {
        if (open !== null) open.container = JSON.parse(JSON.stringify(open.container)) as Type1Container;
      }
    }
  }
  return result;
}

function openDescriptor(
  kernel: Kernel,
  header: TraceHeader,
  containers: Map<number, OpenContainer>,
  groups: Map<number, OpenGroup>,
  { ret, kind, path }: OpenCall,
): void {
  if (kind === 'container') {
    containers.set(ret, { container: createType1Container(kernel.state.nextContext) });
    kernel.state.nextContext += 1;
  }
  const groupId = /^\/dev\/vfio\/(\d+)$/.exec(path)?.[1];
  if (kind !== 'group' || groupId === undefined) return;
  groups.set(ret, { facts: groupFacts(header, Number(groupId)), container: null, users: 1 });
}

function containerIoctl(kernel: Kernel, open: OpenContainer, cmd: number, draft: boolean): Answer {
  if (!draft) return type1Ioctl(kernel, open.container, cmd);
  let answer: Answer = 'not-modelled';
  open.container = immer.produce(open.container, (container) => {
    answer = type1Ioctl(kernel, container as Type1Container, cmd);
  });
  return answer;
}

function closeDescriptor(
  kernel: Kernel,
  containers: Map<number, OpenContainer>,
  groups: Map<number, OpenGroup>,
  { fd }: CloseCall,
): void {
  containers.delete(fd);
  const group = groups.get(fd);
  if (group === undefined) return;
  groups.delete(fd);
  group.users -= 1;
  if (group.users === 0) leave(kernel, group);
}

function leave(kernel: Kernel, group: OpenGroup): void {
  if (group.container !== null) detachGroup(kernel, group.container.container, group.facts.id);
  group.container = null;
}

function groupIoctl(
  result: ContainerReplay,
  containers: Map<number, OpenContainer>,
  groups: Map<number, OpenGroup>,
  call: IoctlCall,
  reply: Reply,
): void {
  const group = groups.get(call.fd);
  if (group === undefined) throw new Error(`call ${call.seq}: no group ${call.fd}`);
  switch (call.cmd) {
    case CMD.VFIO_GROUP_SET_CONTAINER: {
      const fd = new DataView(call.arg!.buffer, call.arg!.byteOffset).getInt32(0, true);
      const open = containers.get(fd);
      if (group.container !== null || open === undefined) return;
      const refusal = attachGroup(result.kernel, open.container, group.facts);
      compare(result, call, reply, refusal);
      if (refusal === null) group.container = open;
      return;
    }
    case CMD.VFIO_GROUP_UNSET_CONTAINER:
      if (call.ret === 0) leave(result.kernel, group);
      return;
    case CMD.VFIO_GROUP_GET_DEVICE_FD:
      if (call.ret < 0) return;
      group.users += 1;
      groups.set(call.ret, group);
      return;
    default:
      return;
  }
}

function compare(result: ContainerReplay, call: IoctlCall, reply: Reply, answer: Answer): void {
  const { kernel } = result;
  reply.modelled = answer !== 'not-modelled';
  const refusal = answer === 'not-modelled' ? null : answer;
  reply.ret = refusal === null ? kernel.call.ret : -1;
  reply.errno = refusal?.errno ?? 0;
  reply.reason = refusal;
  const verdict = compareReply(kernel, call, reply);
  result.compared += 1;
  if (verdict === 'partial') result.partial.push(call.seq);
  if (verdict !== 'diverged') return;
  const out = predictedStruct(kernel, call);
  const predicted = `${reply.ret} ${reply.errno} ${out === null ? '' : hexOf(out)} ${refusal?.id ?? ''}`;
  const recorded = `${call.ret} ${call.errno} ${call.out === null ? '' : hexOf(call.out)}`;
  result.divergences.push(`${call.seq} 0x${call.cmd.toString(16)}: ${predicted}, recorded ${recorded}`);
}

/** Facts of a group, from the topology of a capture. */
export function groupFacts({ topology }: TraceHeader, id: number): Type1Group {
  const devices = topology.devices.filter(({ group }) => group === id);
  const instance = topology.instances.find(({ name }) => name === devices[0]?.instance);
  if (instance === undefined || instance.aperture === null || instance.pgsizeBitmap === null)
    throw new Error(`the topology says nothing of group ${id}`);
  const [start, last] = instance.aperture;
  return {
    id,
    aperture: rangeOf(start, last),
    pageSizes: Number(instance.pgsizeBitmap),
    enforceCacheCoherency: instance.raw['enforce_cache_coherency'] === true,
    reserved: devices.flatMap(({ raw }) => reservedOf(raw['reserved'] as [string, string, string][])),
    domainKind: `${topology.iommu} ${last.toString(16)}`,
    isolatedMsi: true,
    canNest: false,
  };
}

function reservedOf(regions: readonly [string, string, string][] = []): ReservedRegion[] {
  return regions.map(([start, last, kind]) => ({
    ...rangeOf(BigInt(start), BigInt(last)),
    kind: kind as ReservedRegion['kind'],
  }));
}
