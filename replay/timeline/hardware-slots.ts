import type { Context, HwptPaging, Kernel, KernelObject } from '../../src/model/index.ts';

/** What the device and PASID entries of the IOMMUs lead to, from the state of the kernel alone. */
export interface HardwareSlot {
  /** Address or path of the device; a mock device is named after its group. */
  readonly device: string;
  /** 0 for requests without a PASID. */
  readonly pasid: number;
  readonly kind: 'blocked' | 'paging' | 'nested';
  /** IOVA space that its translations come from; null when blocked. */
  readonly space: number | null;
  /** All else that decides about the entry: format, aperture, tracking, the guest's data. */
  readonly facts: string;
}

/** Every entry that user space decides about, in the order of contexts, groups, PASIDs and devices. */
export function hardwareSlots(kernel: Kernel): HardwareSlot[] {
  const slots: HardwareSlot[] = [];
  const held = new Set<string>();
  for (const key in kernel.state.contexts) {
    const context = kernel.state.contexts[key]!;
    for (const group in context.groups) {
      const own = context.groups[group]!.slots;
      for (const pasid in own) {
        const { hwpt, devices } = own[pasid]!;
        const state = stateOf(context, context.objects[hwpt]);
        for (const id of devices) {
          const device = nameOf(kernel, context.objects[id], Number(group));
          slots.push({ device, pasid: Number(pasid), ...state });
          if (pasid === '0') held.add(device);
        }
      }
    }
  }
  for (const key in kernel.state.vfio.containers) addContainer(kernel, Number(key), slots, held);
  for (const group in kernel.state.vfio.owners) {
    for (const physical of kernel.machine.devices) {
      if (physical.group !== Number(group)) continue;
      const device = physical.bdf === '' ? physical.path : physical.bdf;
      if (!held.has(device)) slots.push({ device, pasid: 0, ...BLOCKED });
    }
  }
  return slots;
}

const BLOCKED = { kind: 'blocked', space: null, facts: '' } as const;

type SlotState = Pick<HardwareSlot, 'kind' | 'space' | 'facts'>;

function nameOf({ machine }: Kernel, device: KernelObject | undefined, group: number): string {
  const physical = device?.type === 'device' ? machine.devices[device.physical] : undefined;
  if (physical === undefined) return `mock device of group ${group}`;
  return physical.bdf === '' ? physical.path : physical.bdf;
}

function stateOf(context: Context, hwpt: KernelObject | undefined): SlotState {
  if (hwpt?.type === 'hwpt-paging')
    return { kind: 'paging', space: spaceOf(context, hwpt), facts: factsOf(hwpt) };
  if (hwpt?.type !== 'hwpt-nested') return BLOCKED;
  const parent = context.objects[hwpt.parent];
  if (parent?.type !== 'hwpt-paging') return BLOCKED;
  const facts = `${hwpt.driver} ${hwpt.data} ${hwpt.iotlb.join(' ')} on ${factsOf(parent)}`;
  return { kind: 'nested', space: spaceOf(context, parent), facts };
}

function spaceOf({ objects }: Context, { ioas }: HwptPaging): number | null {
  const object = objects[ioas];
  return object?.type === 'ioas' ? object.space : null;
}

function factsOf({ domain, nestParent, enforceCacheCoherency, tracking }: HwptPaging): string {
  const { driver, iommu, pageSizes, aperture, format } = domain;
  const flags = `${nestParent ? ' nest parent' : ''}${enforceCacheCoherency ? ' coherent' : ''}`;
  const range = Object.values(aperture).join(' ');
  return `${driver} ${iommu} ${format} ${pageSizes} ${range}${flags}${tracking ? ' tracking' : ''}`;
}

function addContainer(kernel: Kernel, key: number, slots: HardwareSlot[], held: Set<string>): void {
  const { iommu, groups } = kernel.state.vfio.containers[key]!;
  for (const { id } of groups) {
    const domain = iommu?.domains.find((each) => each.groups.includes(id));
    for (const { group, bdf, path } of kernel.machine.devices) {
      if (group !== id) continue;
      const device = bdf === '' ? path : bdf;
      held.add(device);
      if (iommu == null || domain === undefined) {
        slots.push({ device, pasid: 0, ...BLOCKED });
        continue;
      }
      const { kind, pageSizes, aperture, enforceCacheCoherency } = domain;
      const range = Object.values(aperture).join(' ');
      const coherent = enforceCacheCoherency ? ' coherent' : '';
      const facts = `${kind} ${pageSizes} ${range}${coherent}${iommu.tracking ? ' tracking' : ''}`;
      slots.push({ device, pasid: 0, kind: 'paging', space: iommu.space, facts });
    }
  }
}
