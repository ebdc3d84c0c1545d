/**
 * The device object: the binding of one physical device to one context. Binding again makes a new object.
 * Source: iommufd_device_bind, iommufd_device_unbind, iommufd_device_detach in device.c, Linux 7.3-rc7.
 */
import { setup } from 'xstate';
import type { EventOf, MachineDefinition } from './definition.ts';
import { lifecycle } from './lifecycle.ts';

const eventGuards = {
  BIND: [],
  USE: [],
  ATTACH: [],
  REPLACE: [],
  DETACH: ['last'],
  UNBIND: [],
  DESTROY: [],
} as const;

/**
 * - `BIND`: VFIO_DEVICE_BIND_IOMMUFD again on a device that is bound (EINVAL).
 * - `USE`: a call that only needs a bound device: IOMMU_HWPT_ALLOC, IOMMU_GET_HW_INFO, IOMMU_VIOMMU_ALLOC …
 * - `ATTACH`, `REPLACE`, `DETACH`: one slot of the device (RID, or RID and PASID) is filled, changed,
 *   emptied; `last`: no slot is left attached. Whether that slot may change is the attachment slot's answer.
 * - `UNBIND`: the driver lets go, when the device's descriptor is closed.
 * - `DESTROY`: IOMMU_DESTROY. The driver holds a user of the object, so it is always EBUSY.
 */
export type DeviceEvent = EventOf<typeof eventGuards>;

const machine = setup({
  types: { events: {} as DeviceEvent },
  guards: { last: ({ event }) => event.last === true },
}).createMachine({
  id: 'device',
  initial: 'bound',
  states: {
    bound: {
      on: {
        USE: { target: 'bound' },
        ATTACH: { target: 'attached' },
        UNBIND: { target: 'unbound' },
      },
    },
    // No UNBIND: each attachment holds a user, and iommufd_device_unbind warns if one is left. close() of the
    // device detaches its PASIDs in ascending order, then the RID, and unbinds after that.
    attached: {
      on: {
        USE: { target: 'attached' },
        ATTACH: { target: 'attached' },
        REPLACE: { target: 'attached' },
        DETACH: [{ guard: 'last', target: 'bound' }, { target: 'attached' }],
      },
    },
    unbound: { type: 'final' },
  },
});

/** Definition of the device's lifecycle. */
export const deviceDefinition = {
  name: 'device',
  title: 'A device bound to a context',
  machine,
  eventGuards,
} as const satisfies MachineDefinition;

/** Lifecycle of a bound device. Source: iommufd_device_unbind, device.c, Linux 7.3-rc7. */
export const deviceLifecycle = lifecycle(deviceDefinition);
