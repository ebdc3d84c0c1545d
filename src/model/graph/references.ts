import type { Kernel } from '../kernel.ts';
import { slotName } from '../object-facts.ts';
import type { Context, ControlState, Group, KernelObject, OpenFile } from '../state.ts';
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
import type { NodeVisitor, ReferenceVisitor } from './node-facts.ts';
import { visitProposalNodes, visitProposalReferences } from './proposal.ts';

/**
 * Who refers to whom, and which nodes there are: names only, in the order of ids. The facts of a node are in
 * nodes.ts.
 */

/** Every node of the graph. */
export function visitNodes(kernel: Kernel, visit: NodeVisitor): void {
  const { processes, contexts, vfio, dmabufs, proposal } = kernel.state;
  for (const pid in processes) visit(processKey(Number(pid)));
  for (const key in contexts) {
    const context = contexts[key]!;
    visit(contextKey(context.id));
    for (const id in context.objects) visit(objectKey(context.id, Number(id)));
  }
  for (const key in vfio.containers) visit(containerKey(Number(key)));
  for (const group of groupIds(kernel)) visit(groupKey(group));
  for (const index of physicalIds(kernel.state)) visit(physicalKey(index));
  for (const name of iommuNames(kernel)) visit(iommuKey(name));
  for (const file in dmabufs) visit(dmabufKey(Number(file)));
  if (proposal !== undefined) visitProposalNodes(proposal, visit);
}

/** Every reference of the graph. */
export function visitReferences(kernel: Kernel, visit: ReferenceVisitor): void {
  const { contexts, proposal } = kernel.state;
  fromProcesses(kernel, visit);
  for (const key in contexts) fromContext(kernel, contexts[key]!, visit);
  fromVfio(kernel, visit);
  if (proposal !== undefined) visitProposalReferences(kernel, proposal, visit);
}

/** Devices that anybody has opened, by their place in the machine, ascending. */
export function physicalIds({ vfio, files }: ControlState): number[] {
  const ids = new Set<number>();
  for (const index in vfio.devices) ids.add(Number(index));
  for (const id in files) if (files[id]!.kind === 'device') ids.add(files[id]!.object);
  return [...ids].sort((a, b) => a - b);
}

/** Groups that anybody has opened, bound or claimed, and those of devices, ascending. */
export function groupIds({ state, machine }: Kernel): number[] {
  const { vfio, contexts } = state;
  const ids = new Set<number>();
  for (const index of physicalIds(state)) {
    const physical = machine.devices[index];
    if (physical !== undefined) ids.add(physical.group);
  }
  for (const id in vfio.groups) ids.add(Number(id));
  for (const id in vfio.owners) ids.add(Number(id));
  for (const key in contexts) for (const id in contexts[key]!.groups) ids.add(Number(id));
  return [...ids].sort((a, b) => a - b);
}

/** IOMMUs that a page table, a vIOMMU or a classic container uses, by name. */
export function iommuNames({ state, machine }: Kernel): string[] {
  const names = new Set<string>();
  for (const key in state.contexts) {
    const { objects } = state.contexts[key]!;
    for (const id in objects) {
      const name = iommuOf(objects[id]!);
      if (name !== '') names.add(name);
    }
  }
  for (const key in state.vfio.containers) {
    const { iommu, groups } = state.vfio.containers[key]!;
    if (iommu === null) continue;
    for (const { id } of groups) {
      const device = machine.devices.find(({ group }) => group === id);
      if (device !== undefined) names.add(device.iommu.name);
    }
  }
  return [...names].sort();
}

function iommuOf(object: KernelObject): string {
  if (object.type === 'hwpt-paging') return object.domain.iommu;
  return object.type === 'viommu' ? object.iommu : '';
}

function fromProcesses({ state }: Kernel, visit: ReferenceVisitor): void {
  const { processes, files, windows } = state;
  for (const pid in processes) {
    const { descriptors, mm } = processes[pid]!;
    const from = processKey(Number(pid));
    for (const fd in descriptors) {
      const file = files[descriptors[fd]!];
      const to = file === undefined ? null : targetOf(file);
      if (to !== null) visit(from, `descriptor ${fd}`, to);
    }
    for (const window of windows) {
      if (window.mm !== mm) continue;
      if (window.viommu !== 0) visit(from, 'maps a window of', objectKey(window.context, window.viommu));
    }
  }
}

/** What an open file stands for; null for a file of no concern here. */
function targetOf({ kind, context, object, id }: OpenFile): string | null {
  switch (kind) {
    case 'iommufd':
      return contextKey(context);
    case 'access':
    case 'fault':
    case 'veventq':
      return objectKey(context, object);
    case 'container':
      // One that iommufd serves is a context.
      return context === 0 ? containerKey(object) : contextKey(context);
    case 'group':
      return groupKey(object);
    case 'device':
      return physicalKey(object);
    case 'dmabuf':
      return dmabufKey(id);
    default:
      return null;
  }
}

function fromContext(kernel: Kernel, context: Context, visit: ReferenceVisitor): void {
  if (context.vfioIoas !== 0)
    visit(contextKey(context.id), 'serves VFIO calls with', objectKey(context.id, context.vfioIoas));
  for (const id in context.objects) visitReferencesOf(kernel, context, context.objects[id]!, visit);
}

/** Every reference that one object holds. */
export function visitReferencesOf(
  kernel: Kernel,
  { id: context, groups }: Context,
  object: KernelObject,
  visit: ReferenceVisitor,
): void {
  const from = objectKey(context, object.id);
  const refer = (role: string, id: number): void => {
    if (id !== 0) visit(from, role, objectKey(context, id));
  };
  switch (object.type) {
    case 'ioas':
    case 'fault':
      return;
    case 'hwpt-paging':
      refer('translates', object.ioas);
      refer('reports faults to', object.fault);
      if (object.domain.iommu !== '') visit(from, 'lies in', iommuKey(object.domain.iommu));
      return;
    case 'hwpt-nested':
      refer('nested on', object.parent);
      refer('of vIOMMU', object.viommu);
      refer('reports faults to', object.fault);
      return;
    case 'device':
      visit(from, 'member of', groupKey(object.group));
      if (object.physical >= 0 && kernel.state.vfio.devices[object.physical] !== undefined)
        visit(from, 'is', physicalKey(object.physical));
      attachments(groups[object.group], object.id, from, context, visit);
      return;
    case 'access':
      refer('reads and pins', object.ioas);
      return;
    case 'selftest':
      refer('owns', object.device);
      return;
    case 'viommu':
      refer('slice over', object.hwpt);
      if (object.iommu !== '') visit(from, 'lies in', iommuKey(object.iommu));
      return;
    case 'vdevice':
      refer('of vIOMMU', object.viommu);
      refer('stands for', object.device);
      return;
    case 'veventq':
      refer('of vIOMMU', object.viommu);
      return;
    case 'hw-queue':
      refer('of vIOMMU', object.viommu);
      refer('pinned by', object.access);
      return;
  }
}

function attachments(
  group: Group | undefined,
  device: number,
  from: string,
  context: number,
  visit: ReferenceVisitor,
): void {
  if (group === undefined) return;
  for (const pasid in group.slots) {
    const { hwpt, devices } = group.slots[pasid]!;
    if (!devices.includes(device)) continue;
    visit(from, `attached by ${slotName(Number(pasid))} to`, objectKey(context, hwpt), Number(pasid));
  }
}

/** A device that is open and has no access yet. */
const CLOSED = { context: 0, object: 0 };

function fromVfio({ state, machine }: Kernel, visit: ReferenceVisitor): void {
  const { vfio } = state;
  for (const key in vfio.groups) {
    const { context, container } = vfio.groups[key]!;
    const from = groupKey(Number(key));
    if (context !== 0) visit(from, 'set to', contextKey(context));
    if (container !== 0) visit(from, 'set to', containerKey(container));
  }
  for (const key in vfio.owners) {
    const { context } = vfio.owners[key]!;
    if (context !== 0) visit(groupKey(Number(key)), 'DMA owned by', contextKey(context));
  }
  for (const index of physicalIds(state)) {
    const physical = machine.devices[index];
    const from = physicalKey(index);
    if (physical !== undefined) visit(from, 'belongs to', groupKey(physical.group));
    const { context, object } = vfio.devices[index] ?? CLOSED;
    if (context !== 0) visit(from, 'bound to', contextKey(context));
    if (context !== 0 && object !== 0) visit(from, 'bound as', objectKey(context, object));
  }
  for (const key in vfio.containers) {
    const { iommu, groups } = vfio.containers[key]!;
    if (iommu === null) continue;
    const names = new Set<string>();
    for (const { id } of groups) {
      const device = machine.devices.find(({ group }) => group === id);
      if (device !== undefined) names.add(device.iommu.name);
    }
    for (const name of names) visit(containerKey(Number(key)), 'lies in', iommuKey(name));
  }
}
