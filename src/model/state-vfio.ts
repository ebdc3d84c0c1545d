import type { Type1Container } from './type1/state.ts';
import type { PciFacts } from './vfio-pci/facts.ts';
import type { PciOpenState } from './vfio-pci/open-state.ts';

/** Control state of VFIO: groups, devices and who owns the DMA of a group. See state.ts. */

export interface VfioState {
  /** Groups that were opened or bound, by group id. */
  readonly groups: Record<number, VfioGroup>;
  /** Devices that were opened, by their index in the machine. */
  readonly devices: Record<number, VfioDevice>;
  /** Classic containers by key. */
  readonly containers: Record<number, Type1Container>;
  /** Who has claimed a group's DMA (`iommu_group.owner`), by group id. */
  readonly owners: Record<number, DmaOwner>;
}

export interface DmaOwner {
  /** Context that owns it; 0 for a type1 container. */
  readonly context: number;
  /** How many devices of the group claimed it. */
  count: number;
}

/** `struct vfio_group`. */
export interface VfioGroup {
  /** Open file of /dev/vfio/N; 0 when none. Only one may be open. */
  opened: number;
  /** Devices of the group that are bound through their own descriptor, which excludes opening the group. */
  cdevOpens: number;
  /** Context that serves as its container; 0 when none. */
  context: number;
  /** Classic type1 container; 0 when none. */
  container: number;
  /** Device descriptors made through the group, and the container itself. */
  containerUsers: number;
}

/** `struct vfio_device`. */
export interface VfioDevice {
  /** `open_count`: descriptors with access. */
  opens: number;
  /** Context it is bound to, and its object there; 0 when none. */
  context: number;
  object: number;
  /** The RID is attached, as VFIO remembers it. */
  attached: boolean;
  /** PASIDs attached, as VFIO remembers them. */
  pasids: number[];
  /** Files that have access: bound, or made through the group. */
  granted: number[];
  /** What is known of the hardware. */
  readonly facts: PciFacts;
  /** What its users have set up; made with the first open, gone with the last close. */
  open: PciOpenState;
}

export function createVfioState(): VfioState {
  return { groups: {}, devices: {}, containers: {}, owners: {} };
}
