import { fileOf } from './descriptors.ts';
import { deviceName } from './drivers/facts.ts';
import type { Kernel } from './kernel.ts';
import { type FactValue, rangeText } from './object-facts.ts';
import type { OpenFile, Process } from './state.ts';

/** VFIO's side of a call as a person asks about it: the device, group or container behind its descriptor. */

export interface VfioFacts {
  /** Kind and name in words, such as `group 2`. */
  readonly label: string;
  readonly facts: Readonly<Record<string, FactValue>>;
}

/** What a descriptor of VFIO stands for, and the group of a device; empty for every other descriptor. */
export function describeVfio(kernel: Kernel, pid: number, fd: number): readonly VfioFacts[] {
  const { processes } = kernel.state;
  // A process never seen before has the descriptors of the one that called last: its parent.
  const process: Process | undefined = processes[pid] ?? processes[kernel.lastPid];
  const file = process === undefined ? undefined : fileOf(kernel, process, fd);
  switch (file?.kind) {
    case 'device':
      return describeDevice(kernel, file);
    case 'group':
      return [describeGroup(kernel, file.object)];
    case 'container':
      return describeContainer(kernel, file.object);
    default:
      return [];
  }
}

function describeDevice(kernel: Kernel, { object: index, id, viaGroup }: OpenFile): readonly VfioFacts[] {
  const physical = kernel.machine.devices[index];
  if (physical === undefined) return [];
  const known = kernel.state.vfio.devices[index];
  const bound =
    known === undefined || known.context === 0
      ? 'none'
      : `device ${known.object} of context ${known.context}`;
  const facts = {
    behind: `${physical.iommu.name} (${physical.iommu.driver})`,
    openedBy: viaGroup ? 'its group' : 'its own path',
    access: known?.granted.includes(id) ?? false,
    descriptorsWithAccess: known?.opens ?? 0,
    bound,
    reserved: physical.reserved.map((range) => `${rangeText(range)} (${range.kind})`),
  };
  return [{ label: deviceName(physical), facts }, describeGroup(kernel, physical.group)];
}

function describeGroup({ machine, state: { vfio } }: Kernel, id: number): VfioFacts {
  const group = vfio.groups[id];
  const owner = vfio.owners[id];
  const container = group?.container ?? 0;
  const context = group?.context ?? 0;
  const set = container === 0 ? `context ${context}` : `container ${container}`;
  return {
    label: `group ${id}`,
    facts: {
      devices: machine.devices.filter((device) => device.group === id).map(deviceName),
      isOpen: (group?.opened ?? 0) !== 0,
      boundByPath: group?.cdevOpens ?? 0,
      setTo: container === 0 && context === 0 ? 'none' : set,
      dmaOwner: ownerText(owner?.context),
    },
  };
}

function ownerText(context: number | undefined): string {
  if (context === undefined) return 'none';
  return context === 0 ? 'a classic container' : `context ${context}`;
}

function describeContainer(kernel: Kernel, key: number): readonly VfioFacts[] {
  const container = kernel.state.vfio.containers[key];
  if (container === undefined) return [];
  const { iommu, groups } = container;
  const type = iommu === null ? 'none' : `TYPE1${iommu.v2 ? 'v2' : ''}`;
  const facts = {
    groups: groups.map(({ id }) => id),
    iommuType: type,
    ...(iommu === null
      ? {}
      : {
          mappings: kernel.spaces.get(iommu.space)?.areas.count ?? 0,
          pageBytes: iommu.pageBytes,
          usable: iommu.iovas.map(rangeText),
          tracking: iommu.tracking,
        }),
  };
  return [{ label: `container ${key}`, facts }];
}
