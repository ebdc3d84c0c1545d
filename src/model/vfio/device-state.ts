import { detachDevice, makeDevice, unbindDevice } from '../device.ts';
import type { Kernel } from '../kernel.ts';
import { addObject, dropContext, holdContext, mustGet, nextId } from '../objects.ts';
import { RID } from '../slots.ts';
import type { Context, Device, OpenFile, VfioDevice, VfioGroup } from '../state.ts';
import { createPciFacts, createPciOpenState } from '../vfio-pci/index.ts';
import { claimGroup, releaseClaim } from './owners.ts';

/** Devices and groups as VFIO keeps them: vfio_main.c, iommufd.c, group.c of vfio. */

export function vfioDeviceOf(kernel: Kernel, index: number): VfioDevice {
  const { devices } = kernel.state.vfio;
  const bdf = kernel.machine.devices[index]?.bdf ?? '';
  devices[index] ??= {
    opens: 0,
    context: 0,
    object: 0,
    attached: false,
    pasids: [],
    granted: [],
    facts: createPciFacts(bdf === '' ? null : bdf),
    open: createPciOpenState(),
  };
  return devices[index];
}

export function vfioGroupOf(kernel: Kernel, id: number): VfioGroup {
  const { groups } = kernel.state.vfio;
  groups[id] ??= { opened: 0, cdevOpens: 0, context: 0, container: 0, containerUsers: 0 };
  return groups[id];
}

/** The device object of a device that is bound to a context. */
export function boundDevice(kernel: Kernel, { context, object }: VfioDevice): [Context, Device] {
  const found = kernel.state.contexts[context];
  if (found === undefined) throw new Error(`a device is bound to context ${context}, which is gone`);
  return [found, mustGet(found, object, 'device')];
}

/** `vfio_iommufd_physical_bind`: the device becomes an object of the context. All checks are done. */
export function bindDevice(kernel: Kernel, context: Context, index: number): Device {
  const { group, iommu } = kernel.machine.devices[index]!;
  const identity = { driver: iommu.driver, physical: index, flags: 0, group };
  const device = makeDevice(context, nextId(context), identity);
  addObject(kernel, context, device);
  claimGroup(kernel, group, context.id);
  holdContext(context);
  const vfio = vfioDeviceOf(kernel, index);
  vfio.context = context.id;
  vfio.object = device.id;
  return device;
}

/**
 * `vfio_iommufd_physical_unbind`: PASIDs in ascending order, the RID, then the object. True when the context
 * must be released with its last reference.
 */
export function unbindVfio(kernel: Kernel, index: number): boolean {
  const vfio = vfioDeviceOf(kernel, index);
  if (vfio.context === 0) return false;
  const [context, device] = boundDevice(kernel, vfio);
  for (const pasid of [...vfio.pasids].sort((a, b) => a - b)) detachDevice(kernel, context, device, pasid);
  if (vfio.attached) detachDevice(kernel, context, device, RID);
  unbindDevice(kernel, context, device);
  releaseClaim(kernel, device.group);
  vfio.context = 0;
  vfio.object = 0;
  vfio.attached = false;
  vfio.pasids = [];
  return dropContext(context, false, 0);
}

/** `vfio_df_open` for a file that gets access. */
export function grant(kernel: Kernel, file: OpenFile): void {
  const vfio = vfioDeviceOf(kernel, file.object);
  if (vfio.opens === 0) vfio.open = createPciOpenState();
  vfio.opens += 1;
  vfio.granted.push(file.id);
}

export function hasAccess(kernel: Kernel, file: OpenFile): boolean {
  return vfioDeviceOf(kernel, file.object).granted.includes(file.id);
}
