/**
 * The access: software access of a driver to an IOAS, for an emulated device (mdev), a hardware queue or the
 * selftest.
 * Source: iommufd_access_create, _attach, _replace, _detach, _destroy in device.c, Linux 7.3-rc7.
 */
import { setup } from 'xstate';
import type { EventOf, MachineDefinition } from './definition.ts';
import { lifecycle } from './lifecycle.ts';

const eventGuards = {
  ATTACH: [],
  REPLACE: [],
  DETACH: [],
  PIN: [],
  READ_WRITE: [],
  DESTROY: [],
  CLOSE: [],
} as const;

/**
 * - `ATTACH`: to an IOAS (attached already: EINVAL with a warning). `REPLACE`: by another IOAS or the same
 *   one, which does nothing (not attached: ENOENT). `DETACH`: back to no IOAS.
 * - `PIN`, `READ_WRITE`: iommufd_access_pin_pages, iommufd_access_rw; without an IOAS ENOENT.
 * - `DESTROY`: IOMMU_DESTROY. The driver holds a user of the object, so it is always EBUSY.
 * - `CLOSE`: the driver destroys it; that detaches it first.
 */
export type AccessEvent = EventOf<typeof eventGuards>;

const machine = setup({ types: { events: {} as AccessEvent } }).createMachine({
  id: 'access',
  initial: 'created',
  states: {
    created: { on: { ATTACH: { target: 'attached' }, CLOSE: { target: 'destroyed' } } },
    attached: {
      on: {
        REPLACE: { target: 'attached' },
        DETACH: { target: 'created' },
        PIN: { target: 'attached' },
        READ_WRITE: { target: 'attached' },
        CLOSE: { target: 'destroyed' },
      },
    },
    destroyed: { type: 'final' },
  },
});

/** Definition of the access's lifecycle. */
export const accessDefinition = {
  name: 'access',
  title: "A driver's software access to an IOAS",
  machine,
  eventGuards,
} as const satisfies MachineDefinition;

/** Lifecycle of an access. Source: iommufd_access_change_ioas, device.c, Linux 7.3-rc7. */
export const accessLifecycle = lifecycle(accessDefinition);
