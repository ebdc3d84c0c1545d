import type { DriverName, PhysicalDevice } from '../machine.ts';
import { RID } from '../slots.ts';
import type { Device, Ioas, VfioDevice } from '../state.ts';
import type { Type1Container } from '../type1/state.ts';
import { compatIoas } from '../vfio-ioas.ts';
import { type CallFacts, type Condition, fileIn, numberIn, objectIn } from './check.ts';

/** Which device a call is about, the driver of its IOMMU, and what VFIO remembers of it. */

/** The physical device behind the descriptor; undefined for another descriptor, or before it is known. */
export function physicalIn(facts: CallFacts): PhysicalDevice | undefined {
  const file = fileIn(facts);
  const { devices } = facts.kernel.machine;
  if (file?.kind === 'device') return devices[file.object];
  return file?.kind === 'group' ? devices.find(({ group }) => group === file.object) : undefined;
}

/** What VFIO keeps of the device behind the descriptor. */
export function vfioDeviceIn(facts: CallFacts): VfioDevice | undefined {
  const file = fileIn(facts);
  return file?.kind === 'device' ? facts.kernel.state.vfio.devices[file.object] : undefined;
}

/** The device object of the device that the call is about, while it is bound. */
export function boundIn(facts: CallFacts): Device | undefined {
  const vfio = vfioDeviceIn(facts);
  const object =
    vfio === undefined
      ? objectIn(facts, 'dev_id')
      : facts.kernel.state.contexts[vfio.context]?.objects[vfio.object];
  return object?.type === 'device' ? object : undefined;
}

/** The classic container behind the descriptor. */
export function containerIn(facts: CallFacts): Type1Container | undefined {
  const file = fileIn(facts);
  return file?.kind === 'container' ? facts.kernel.state.vfio.containers[file.object] : undefined;
}

/** Driver of the IOMMU that the call is about: of a device, a nested page table or a vIOMMU. */
export function driverIn(facts: CallFacts): DriverName {
  const physical = physicalIn(facts);
  if (physical !== undefined) return physical.iommu.driver;
  for (const field of ['dev_id', 'hwpt_id']) {
    const object = objectIn(facts, field);
    if (object?.type === 'device' || object?.type === 'hwpt-nested' || object?.type === 'viommu')
      return object.driver;
  }
  return facts.kernel.machine.iommus[0]?.driver ?? 'mock';
}

export const driverIs =
  (...drivers: readonly DriverName[]): Condition =>
  (facts) =>
    drivers.includes(driverIn(facts));

/** The page table that the call attaches is nested. */
export const attachesNested: Condition = (facts) => attachTarget(facts)?.type === 'hwpt-nested';

/** What `pt_id` of ATTACH names; a device that is got from a group is attached to the IOAS of VFIO. */
export function attachTarget(facts: CallFacts) {
  const file = fileIn(facts);
  const { contexts, vfio } = facts.kernel.state;
  if (file?.kind === 'device')
    return contexts[vfio.devices[file.object]?.context ?? 0]?.objects[numberIn(facts, 'pt_id')];
  if (file?.kind !== 'group') return undefined;
  const context = contexts[vfio.groups[file.object]?.context ?? 0];
  return context === undefined ? undefined : compatIoas(context);
}
export const attachesIoas: Condition = (facts) => attachTarget(facts)?.type === 'ioas';

/** IOAS that an attach would put the ranges of the device into. */
export function ioasAttached(facts: CallFacts): Ioas | undefined {
  const file = fileIn(facts);
  const target = attachTarget(facts);
  const { contexts, vfio } = facts.kernel.state;
  const key = file?.kind === 'group' ? vfio.groups[file.object]?.context : vfioDeviceIn(facts)?.context;
  const objects = contexts[key ?? 0]?.objects ?? {};
  const parent = target?.type === 'hwpt-nested' ? objects[target.parent] : target;
  const found = parent?.type === 'hwpt-paging' ? objects[parent.ioas] : parent;
  return found?.type === 'ioas' ? found : undefined;
}

/** The slot that ATTACH is about is held as VFIO remembers it: it replaces then. */
export const replaces: Condition = (facts) => {
  const vfio = vfioDeviceIn(facts);
  const pasid = numberIn(facts, 'flags') === 0 ? RID : numberIn(facts, 'pasid');
  if (vfio === undefined) return false;
  return numberIn(facts, 'flags') === 0 ? vfio.attached : vfio.pasids.includes(pasid);
};

/** The descriptor came from a group. */
export const viaGroup: Condition = (facts) => fileIn(facts)?.viaGroup === true;

/** The group has a classic container. */
export const inContainer: Condition = (facts) => {
  const file = fileIn(facts);
  return file?.kind === 'group' && (facts.kernel.state.vfio.groups[file.object]?.container ?? 0) !== 0;
};

/** A length is too short for a struct: what decides between two places of the same check. */
export const recordedBelow =
  (bytes: number): Condition =>
  ({ call }) =>
    call.op === 'ioctl' && (call.arg?.length ?? 0) < bytes;
