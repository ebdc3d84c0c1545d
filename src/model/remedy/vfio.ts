import { fileIn, numberIn } from '../check-order/check.ts';
import { physicalIn, vfioDeviceIn } from '../check-order/vfio-conditions.ts';
import { deviceName } from '../drivers/facts.ts';
import type { Kernel } from '../kernel.ts';
import { openTarget } from '../open-target.ts';
import { type Finding, listed, ofObject, plain, type Refused, type Remedy, remedy } from './finding.ts';

/** Who holds a VFIO device or group: EBUSY and EPERM of binding, opening and containers. */

type Say = (refused: Refused) => Remedy | null;

/** `descriptor 5 of process 77`; a file may have several, or none when only a mapping holds it. */
function descriptorsOf({ state: { processes } }: Kernel, file: number): string {
  const names = Object.values(processes).flatMap(({ pid, descriptors }) =>
    Object.entries(descriptors)
      .filter(([, id]) => id === file)
      .map(([fd]) => `${fd} of process ${pid}`),
  );
  return names.length === 0 ? 'no descriptor, only a mapping' : `descriptor ${names.join(', ')}`;
}

/** Group that the call is about: of its descriptor's device, its own, or the one to be opened. */
function groupIn(refused: Refused): number | null {
  const { kernel, call } = refused;
  if (call.op === 'open') {
    const target = openTarget(kernel, call);
    return target.kind === 'group' ? target.index : null;
  }
  const file = fileIn(refused);
  return file?.kind === 'group' ? file.object : (physicalIn(refused)?.group ?? null);
}

/** Who has the group open, and which of its devices are bound or open: all that holds it. */
function holdersOfGroup(kernel: Kernel, group: number): Finding[] {
  const opened = kernel.state.vfio.groups[group]?.opened ?? 0;
  const open = opened === 0 ? [] : [plain(`group ${group} is open: ${descriptorsOf(kernel, opened)}`)];
  return [...open, ...devicesOfGroup(kernel, group)];
}

function devicesOfGroup(kernel: Kernel, group: number): Finding[] {
  const { vfio, contexts } = kernel.state;
  return kernel.machine.devices.flatMap((device) => {
    const known = vfio.devices[device.index];
    if (device.group !== group || known === undefined || known.opens === 0) return [];
    const name = deviceName(device);
    const files = known.granted.map((file) => descriptorsOf(kernel, file)).join(', ');
    const context = contexts[known.context];
    const object = context?.objects[known.object];
    return context === undefined || object === undefined
      ? plain(`${name} is open: ${files}`)
      : ofObject(context, object, `of context ${context.id} is ${name}: ${files}`);
  });
}

const heldGroup: Say = (refused) => {
  const group = groupIn(refused);
  if (group === null) return null;
  return remedy(
    listed(holdersOfGroup(refused.kernel, group), (finding) => finding),
    'after these descriptors are closed',
  );
};

/** The devices keep the container, not the open group. */
const openDevices: Say = (refused) => {
  const group = groupIn(refused);
  if (group === null) return null;
  return remedy(devicesOfGroup(refused.kernel, group), 'after these descriptors are closed');
};

/** Only an open group blocks its devices, whichever of them are in use. */
const openGroup: Say = (refused) => {
  const group = groupIn(refused);
  const opened = refused.kernel.state.vfio.groups[group ?? -1]?.opened ?? 0;
  if (group === null || opened === 0) return null;
  return remedy(
    [plain(`group ${group} is open: ${descriptorsOf(refused.kernel, opened)}`)],
    'after that descriptor is closed',
  );
};

const IRQ_NAMES = ['INTx', 'MSI', 'MSI-X', 'the error interrupt', 'the request interrupt'];

const interruptInUse: Say = (refused) => {
  const device = vfioDeviceIn(refused);
  if (device === undefined) return null;
  const { irqType } = device.open;
  const asked = IRQ_NAMES[numberIn(refused, 'index')] ?? 'another';
  const inUse = irqType === null ? 'no kind of interrupt is' : `${IRQ_NAMES[irqType]} is`;
  return remedy([
    plain(`${inUse} switched on, and the call is about ${asked}`),
    plain(`start is ${numberIn(refused, 'start')}, count ${numberIn(refused, 'count')}`),
  ]);
};

const ownedElsewhere: Say = (refused) => {
  const { kernel } = refused;
  const group = groupIn(refused);
  const owner = group === null ? undefined : kernel.state.vfio.owners[group];
  if (group === null || owner === undefined) return null;
  const name = owner.context === 0 ? 'a classic container' : `context ${owner.context}`;
  return remedy(
    [plain(`group ${group} belongs to ${name}`), ...holdersOfGroup(kernel, group)],
    owner.context === 0
      ? 'after the group has left its container'
      : `with a descriptor of context ${owner.context}, or after its devices are unbound`,
  );
};

const boundAlready: Say = (refused) => {
  const physical = physicalIn(refused);
  if (physical === undefined) return null;
  return remedy(holdersOfGroup(refused.kernel, physical.group), 'once, on one descriptor of the device');
};

const hasContainer: Say = (refused) => {
  const group = groupIn(refused);
  const known = group === null ? undefined : refused.kernel.state.vfio.groups[group];
  if (known === undefined) return null;
  const what = known.container === 0 ? `context ${known.context}` : `container ${known.container}`;
  return remedy([plain(`group ${group} is set to ${what}`)], 'after UNSET_CONTAINER');
};

const membersOfGroup: Say = (refused) => {
  const group = groupIn(refused);
  const members = refused.kernel.machine.devices.filter((device) => device.group === group);
  if (group === null || members.length === 0) return null;
  return remedy([plain(`group ${group} has ${members.map(deviceName).join(', ')}`)], 'with one of these');
};

const containerWithoutIommu: Say = (refused) => {
  const group = groupIn(refused);
  const container = group === null ? 0 : (refused.kernel.state.vfio.groups[group]?.container ?? 0);
  if (container === 0) return null;
  return remedy([plain(`container ${container} of group ${group} has no IOMMU`)], 'after VFIO_SET_IOMMU');
};

export const VFIO_REMEDIES: Readonly<Record<string, Say>> = {
  'bind-while-group-open': openGroup,
  'vfio-irq-not-in-use': interruptInUse,
  'group-open-elsewhere': heldGroup,
  'group-container-in-use': openDevices,
  'group-owned-elsewhere': ownedElsewhere,
  'device-bound-twice': boundAlready,
  'device-open-elsewhere': boundAlready,
  'group-has-container': hasContainer,
  'group-has-no-such-device': membersOfGroup,
  'container-without-iommu': containerWithoutIommu,
};
