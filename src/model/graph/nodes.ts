import { contextLifecycle } from '../../../machines/index.ts';
import { deviceName } from '../drivers/facts.ts';
import type { Kernel } from '../kernel.ts';
import { describeObject, type FactValue, rangeText } from '../object-facts.ts';
import type { Context, KernelObject } from '../state.ts';
import {
  containerKey,
  contextKey,
  dmabufKey,
  groupKey,
  iommuKey,
  objectKey,
  physicalKey,
  processKey,
} from './keys.ts';
import type { NodeFacts, NodeKind } from './node-facts.ts';
import { proposalNodes } from './proposal.ts';
import { groupIds, iommuNames, physicalIds } from './references.ts';

/** The nodes of the object graph with what a person asks of them. */

/** Every node, in the order of visitNodes. */
export function describeNodes(kernel: Kernel): NodeFacts[] {
  const { state, machine } = kernel;
  return [
    ...Object.keys(state.processes).map((pid) => describeProcess(kernel, Number(pid))),
    ...Object.values(state.contexts).flatMap((context) => [
      describeContext(context),
      ...Object.values(context.objects).map((object) => describe(kernel, context, object)),
    ]),
    ...Object.keys(state.vfio.containers).map((key) => describeContainer(kernel, Number(key))),
    ...groupIds(kernel).map((group) => describeGroup(kernel, group)),
    ...physicalIds(state).map((index) => describePhysical(kernel, index)),
    ...iommuNames(kernel).map((name) => {
      const iommu = machine.iommus.find((one) => one.name === name);
      return plain(iommuKey(name), 'iommu', `IOMMU ${name}`, { driver: iommu?.driver ?? 'unknown' });
    }),
    ...Object.entries(state.dmabufs).map(([file, { bytes, revoked }]) =>
      plain(dmabufKey(Number(file)), 'dmabuf', `dma-buf ${file}`, { bytes, revoked }),
    ),
    ...(state.proposal === undefined ? [] : proposalNodes(state.proposal)),
  ];
}

function plain(key: string, kind: NodeKind, label: string, facts: NodeFacts['facts']): NodeFacts {
  return { key, kind, label, state: null, context: 0, id: 0, facts, owner: null };
}

function describeProcess({ state, memory }: Kernel, pid: number): NodeFacts {
  const { mm, limits } = state.processes[pid]!;
  const locked = state.locked.spaces[mm] ?? 0;
  const facts: Record<string, FactValue> = {};
  if (memory.spaces[mm]?.alive === false) facts['alive'] = false;
  if (locked > 0) facts['lockedPages'] = locked;
  if (limits !== undefined && limits.memlockPages !== null) facts['memlockPages'] = limits.memlockPages;
  return { ...plain(processKey(pid), 'process', `process ${pid}`, facts), id: pid };
}

function describeContext({ id, lifecycle, fileRefs, accountMode, objects, tombstones }: Context): NodeFacts {
  const taken = Object.keys(tombstones).map(Number);
  const facts = {
    objects: Object.keys(objects).length,
    fileReferences: fileRefs,
    accounting: accountMode,
    ...(taken.length === 0 ? {} : { idsTaken: taken }),
  };
  const state = contextLifecycle.flat.states[lifecycle] ?? null;
  return { ...plain(contextKey(id), 'context', `context ${id}`, facts), state, context: id };
}

function describe(kernel: Kernel, context: Context, object: KernelObject): NodeFacts {
  const { type, id, label, users, state, facts } = describeObject(kernel, context, object.id)!;
  return {
    key: objectKey(context.id, id),
    kind: type,
    label,
    state,
    context: context.id,
    id,
    facts: { users, ...facts },
    owner: ownerOf(context, object),
  };
}

/** Under which node a tree shows an object: what it is a part of. */
function ownerOf({ id: context }: Context, object: KernelObject): string {
  const under = (id: number): string => (id === 0 ? contextKey(context) : objectKey(context, id));
  switch (object.type) {
    case 'hwpt-paging':
      return under(object.ioas);
    case 'hwpt-nested':
      return under(object.viommu === 0 ? object.parent : object.viommu);
    case 'viommu':
      return under(object.hwpt);
    case 'vdevice':
    case 'veventq':
    case 'hw-queue':
      return under(object.viommu);
    case 'access':
      return under(object.ioas);
    default:
      return under(0);
  }
}

function describeContainer(kernel: Kernel, key: number): NodeFacts {
  const { iommu, groups } = kernel.state.vfio.containers[key]!;
  const facts: Record<string, FactValue> = { groups: groups.map(({ id }) => id) };
  if (iommu !== null) {
    facts['type'] = `TYPE1${iommu.v2 ? 'v2' : ''}${iommu.nesting ? ' nesting' : ''}`;
    facts['areas'] = kernel.spaces.get(iommu.space)?.areas.count ?? 0;
    facts['domains'] = iommu.domains.map((domain) => `${domain.kind}: groups ${domain.groups.join(', ')}`);
    facts['usable'] = iommu.iovas.map(rangeText);
    facts['tracking'] = iommu.tracking;
    if (iommu.invalidAddresses > 0) facts['invalidAddresses'] = iommu.invalidAddresses;
  }
  return { ...plain(containerKey(key), 'container', `container ${key}`, facts), id: key };
}

function describeGroup({ state, machine }: Kernel, id: number): NodeFacts {
  const group = state.vfio.groups[id];
  const owner = state.vfio.owners[id];
  const facts: Record<string, FactValue> = {
    devices: machine.devices.filter((device) => device.group === id).map(deviceName),
  };
  if (group !== undefined) facts['open'] = group.opened !== 0;
  if (group !== undefined && group.cdevOpens > 0) facts['boundByPath'] = group.cdevOpens;
  if (owner !== undefined)
    facts['dmaOwner'] = owner.context === 0 ? 'a classic container' : `context ${owner.context}`;
  return { ...plain(groupKey(id), 'group', `group ${id}`, facts), id };
}

function describePhysical({ state, machine }: Kernel, index: number): NodeFacts {
  const physical = machine.devices[index];
  const { opens = 0, attached = false, pasids = [] } = state.vfio.devices[index] ?? {};
  const name = physical === undefined ? String(index) : deviceName(physical);
  const facts = {
    descriptorsWithAccess: opens,
    attached,
    ...(pasids.length === 0 ? {} : { pasids }),
    ...(physical === undefined ? {} : { behind: physical.iommu.name }),
  };
  return { ...plain(physicalKey(index), 'device-function', `VFIO device ${name}`, facts), id: index };
}
