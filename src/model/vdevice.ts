import { vdeviceLifecycle } from '../../machines/index.ts';
import { IOMMU_VDEVICE_ALLOC, offsetsOf } from '../uapi/index.ts';
import { BAD_USER_POINTER, DEVICE_NOT_FOUND, OTHER_IOMMU, VIOMMU_NOT_FOUND } from './check.ts';
import type { Kernel } from './kernel.ts';
import { iommuName } from './machine.ts';
import { addObject, getObject, moved, mustGet, nextId, removeObject } from './objects.ts';
import { type Refusal, reason } from './reason.ts';
import type { Context, Device, Vdevice } from './state.ts';
import { fieldOffset, fieldPage, respond, setU32, u32 } from './user-call.ts';
import { canRespond } from './user-copy.ts';
import { acquireViommu, releaseViommu } from './viommu-users.ts';
import { virtualKey } from './virtual-key.ts';

/** vDEVICEs: a device's name on a vIOMMU. viommu.c of iommufd. */

const ALLOC = offsetsOf(IOMMU_VDEVICE_ALLOC);

const DEVICE_HAS_VDEVICE = reason(
  'device-has-vdevice',
  'EEXIST',
  'viommu.c iommufd_vdevice_alloc_ioctl',
  'the device has a vDEVICE already, on this vIOMMU or another one',
);
const VIRTUAL_ID_TAKEN = reason(
  'virtual-id-taken',
  'EEXIST',
  'viommu.c iommufd_vdevice_alloc_ioctl',
  'another device has this virtual id on the vIOMMU',
);

export function vdeviceAlloc(kernel: Kernel, context: Context): Refusal {
  const { call } = kernel;
  const viommu = getObject(context, u32(call, ALLOC.viommu_id), 'viommu');
  if (viommu === undefined) return VIOMMU_NOT_FOUND;
  const device = getObject(context, u32(call, ALLOC.dev_id), 'device');
  if (device === undefined) return DEVICE_NOT_FOUND;
  if (viommu.driver !== device.driver || viommu.iommu !== iommuName(kernel, device)) return OTHER_IOMMU;
  if (device.vdevice !== 0) return DEVICE_HAS_VDEVICE;
  const virtPage = fieldPage(call, ALLOC.virt_id);
  const virtOffset = fieldOffset(call, ALLOC.virt_id);
  const key = virtualKey(virtPage, virtOffset);
  if (viommu.vdevices[key] !== undefined) return VIRTUAL_ID_TAKEN;
  if (!canRespond(kernel)) return BAD_USER_POINTER;
  const vdevice: Vdevice = {
    type: 'vdevice',
    id: nextId(context),
    users: 1,
    lifecycle: vdeviceLifecycle.initial,
    viommu: viommu.id,
    device: device.id,
    virtPage,
    virtOffset,
  };
  addObject(kernel, context, vdevice);
  viommu.vdevices[key] = vdevice.id;
  acquireViommu(viommu);
  device.vdevice = vdevice.id;
  setU32(call, ALLOC.out_vdevice_id, vdevice.id);
  respond(call, IOMMU_VDEVICE_ALLOC.sizeBytes);
  return null;
}

/** `iommufd_vdevice_destroy`: the id is free for another one. */
export function destroyVdevice(context: Context, vdevice: Vdevice): void {
  const viommu = mustGet(context, vdevice.viommu, 'viommu');
  delete viommu.vdevices[virtualKey(vdevice.virtPage, vdevice.virtOffset)];
  releaseViommu(viommu);
  mustGet(context, vdevice.device, 'device').vdevice = 0;
}

/**
 * `iommufd_device_remove_vdev`: the vDEVICE of a device that is unbound leaves its id behind as a tombstone.
 */
export function buryVdevice(kernel: Kernel, context: Context, device: Device): void {
  const vdevice = mustGet(context, device.vdevice, 'vdevice');
  const { event } = vdeviceLifecycle;
  vdevice.lifecycle = moved(
    vdeviceLifecycle.step(vdevice.lifecycle, event.DEVICE_UNBOUND),
    'burying a vDEVICE',
  );
  destroyVdevice(context, vdevice);
  removeObject(kernel, context, vdevice);
  context.tombstones[vdevice.id] = true;
}
