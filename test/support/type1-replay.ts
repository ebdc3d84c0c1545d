import { compareReply } from '../../replay/index.ts';
import { chooseProfile, createKernel, execute, type Kernel, type Reply } from '../../src/model/index.ts';
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
import type { Call, Capture, CloseCall, IoctlCall, TraceHeader } from '../../src/trace/index.ts';
import { CMD, hexOf } from '../../src/uapi/index.ts';
import { rangeOf } from './iova-range.ts';

/**
 * Replays the container calls of a capture whose /dev/vfio/vfio is the classic driver, group descriptors
 * included as far as containers see them. Processes of one capture share their descriptors.
 */

export interface ContainerReplay {
  readonly kernel: Kernel;
  /** Container ioctls and SET_CONTAINERs that were compared. */
  compared: number;
  /** Answers that could be predicted in part only, by seq. */
  readonly partial: number[];
  readonly divergences: string[];
}

interface OpenGroup {
  readonly facts: Type1Group;
  container: Type1Container | null;
  /** Descriptors of the group and of its devices: each keeps the group's file open. */
  users: number;
}

export function replayContainers(
  { header, calls }: Pick<Capture, 'header' | 'calls'>,
  after: (kernel: Kernel, call: Call) => void = () => {},
): ContainerReplay {
  const kernel = createKernel(chooseProfile(header.kernel, header.pageSizeBytes).profile, false);
  const result: ContainerReplay = { kernel, compared: 0, partial: [], divergences: [] };
  const containers = new Map<number, Type1Container>();
  const groups = new Map<number, OpenGroup>();
  for (const call of calls) {
    const reply = execute(kernel, call);
    if (call.op === 'open' && call.ret >= 0) {
      if (call.kind === 'container')
        containers.set(call.ret, createType1Container(kernel.state.nextContext++));
      const groupId = /^\/dev\/vfio\/(\d+)$/.exec(call.path)?.[1];
      if (call.kind === 'group' && groupId !== undefined)
        groups.set(call.ret, { facts: groupFacts(header, Number(groupId)), container: null, users: 1 });
    } else if (call.op === 'close' && call.ret === 0) closeDescriptor(kernel, containers, groups, call);
    else if (call.op === 'ioctl' && call.kind === 'container') {
      const container = containers.get(call.fd);
      if (container === undefined) throw new Error(`call ${call.seq}: no container ${call.fd}`);
      compare(result, call, reply, type1Ioctl(kernel, container, call.cmd));
    } else if (call.op === 'ioctl' && call.kind === 'group')
      groupIoctl(result, containers, groups, call, reply);
    after(kernel, call);
  }
  return result;
}

function closeDescriptor(
  kernel: Kernel,
  containers: Map<number, Type1Container>,
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
  if (group.container !== null) detachGroup(kernel, group.container, group.facts.id);
  group.container = null;
}

function groupIoctl(
  result: ContainerReplay,
  containers: Map<number, Type1Container>,
  groups: Map<number, OpenGroup>,
  call: IoctlCall,
  reply: Reply,
): void {
  const group = groups.get(call.fd);
  if (group === undefined) throw new Error(`call ${call.seq}: no group ${call.fd}`);
  switch (call.cmd) {
    case CMD.VFIO_GROUP_SET_CONTAINER: {
      const fd = new DataView(call.arg!.buffer, call.arg!.byteOffset).getInt32(0, true);
      const container = containers.get(fd);
      if (group.container !== null || container === undefined) return;
      const refusal = attachGroup(result.kernel, container, group.facts);
      compare(result, call, reply, refusal);
      if (refusal === null) group.container = container;
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
