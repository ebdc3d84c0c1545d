/**
 * The vDEVICE: what a bound device is called on a vIOMMU. It never outlives the device.
 * Source: iommufd_vdevice_alloc_ioctl, iommufd_vdevice_destroy in viommu.c, iommufd_device_remove_vdev in
 * device.c, Linux 7.3-rc7.
 */
import { setup } from 'xstate';
import type { EventOf, MachineDefinition } from './definition.ts';
import { lifecycle } from './lifecycle.ts';

const eventGuards = {
  DEVICE_UNBOUND: [],
  DESTROY: [],
} as const;

/**
 * - `DEVICE_UNBOUND`: the device goes first: the vDEVICE is taken down with it, and its id stays taken until
 *   the context is released, so that IOMMU_DESTROY of it is ENOENT and names no newer object.
 * - `DESTROY`: IOMMU_DESTROY, also while a nested HWPT of the vIOMMU is attached.
 */
export type VdeviceEvent = EventOf<typeof eventGuards>;

const machine = setup({ types: { events: {} as VdeviceEvent } }).createMachine({
  id: 'vdevice',
  initial: 'live',
  states: {
    live: { on: { DEVICE_UNBOUND: { target: 'tombstone' }, DESTROY: { target: 'destroyed' } } },
    tombstone: { type: 'final' },
    destroyed: { type: 'final' },
  },
});

/** Definition of the vDEVICE's lifecycle. */
export const vdeviceDefinition = {
  name: 'vdevice',
  title: "A device's name on a vIOMMU",
  machine,
  eventGuards,
} as const satisfies MachineDefinition;

/** Lifecycle of a vDEVICE. Source: iommufd_vdevice_destroy, viommu.c, Linux 7.3-rc7. */
export const vdeviceLifecycle = lifecycle(vdeviceDefinition);
