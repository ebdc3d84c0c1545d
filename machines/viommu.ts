/**
 * The vIOMMU: a slice of a physical IOMMU that a guest sees, on top of a nest parent.
 * Source: iommufd_viommu_alloc_ioctl, iommufd_viommu_destroy in viommu.c, Linux 7.3-rc7.
 */
import { setup } from 'xstate';
import type { EventOf, MachineDefinition } from './definition.ts';
import { lifecycle } from './lifecycle.ts';

const eventGuards = {
  ACQUIRE: [],
  RELEASE: ['last'],
  INVALIDATE: ['driverInvalidates'],
  DESTROY: [],
} as const;

/**
 * - `ACQUIRE`, `RELEASE`: a nested HWPT, vDEVICE, vEVENTQ, HW queue or mapped window takes or drops its user;
 *   `last`: none is left.
 * - `INVALIDATE`: IOMMU_HWPT_INVALIDATE that names it. `driverInvalidates`: the driver has
 *   `cache_invalidate` (else EOPNOTSUPP).
 * - `DESTROY`: IOMMU_DESTROY; EBUSY while it is in use.
 */
export type ViommuEvent = EventOf<typeof eventGuards>;

const machine = setup({
  types: { events: {} as ViommuEvent },
  guards: {
    last: ({ event }) => event.last === true,
    driverInvalidates: ({ event }) => event.driverInvalidates === true,
  },
}).createMachine({
  id: 'viommu',
  initial: 'idle',
  states: {
    idle: {
      on: {
        ACQUIRE: { target: 'inUse' },
        INVALIDATE: { guard: 'driverInvalidates', target: 'idle' },
        DESTROY: { target: 'destroyed' },
      },
    },
    inUse: {
      on: {
        ACQUIRE: { target: 'inUse' },
        RELEASE: [{ guard: 'last', target: 'idle' }, { target: 'inUse' }],
        INVALIDATE: { guard: 'driverInvalidates', target: 'inUse' },
      },
    },
    destroyed: { type: 'final' },
  },
});

/** Definition of the vIOMMU's lifecycle. */
export const viommuDefinition = {
  name: 'viommu',
  title: "A guest's slice of a physical IOMMU",
  machine,
  eventGuards,
} as const satisfies MachineDefinition;

/** Lifecycle of a vIOMMU. Source: iommufd_viommu_destroy, viommu.c, Linux 7.3-rc7. */
export const viommuLifecycle = lifecycle(viommuDefinition);
