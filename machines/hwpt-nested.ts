/**
 * The nested HWPT: a guest's first-stage table on top of a nest parent, or of a vIOMMU that has one.
 * Source: iommufd_hwpt_nested_alloc, iommufd_viommu_alloc_hwpt_nested in hw_pagetable.c, Linux 7.3-rc7.
 */
import { setup } from 'xstate';
import type { EventOf, MachineDefinition } from './definition.ts';
import { lifecycle } from './lifecycle.ts';

const eventGuards = {
  ACQUIRE_ATTACH: ['vdeviceReady'],
  ACQUIRE_NESTED: [],
  ACQUIRE_VIOMMU: [],
  RELEASE: ['last'],
  SET_DIRTY: [],
  GET_DIRTY: [],
  INVALIDATE: ['driverInvalidates'],
  DESTROY: [],
} as const;

/**
 * - `ACQUIRE_ATTACH`: a device is attached to it. `vdeviceReady`: the driver wants no vDEVICE (VT-d), or the
 *   device has one on the vIOMMU (SMMUv3; else ENOENT).
 * - `ACQUIRE_NESTED`, `ACQUIRE_VIOMMU`: it can be the parent of nothing (EINVAL, ENOENT).
 * - `RELEASE`: one attachment goes; `last`: none is left.
 * - `SET_DIRTY`, `GET_DIRTY`: dirty tracking looks for paging HWPTs only (ENOENT).
 * - `INVALIDATE`: `driverInvalidates`: its domain has `cache_invalidate_user` (else EOPNOTSUPP).
 */
export type HwptNestedEvent = EventOf<typeof eventGuards>;

const machine = setup({
  types: { events: {} as HwptNestedEvent },
  guards: {
    vdeviceReady: ({ event }) => event.vdeviceReady === true,
    last: ({ event }) => event.last === true,
    driverInvalidates: ({ event }) => event.driverInvalidates === true,
  },
}).createMachine({
  id: 'hwptNested',
  initial: 'idle',
  states: {
    idle: {
      on: {
        ACQUIRE_ATTACH: { guard: 'vdeviceReady', target: 'inUse' },
        INVALIDATE: { guard: 'driverInvalidates', target: 'idle' },
        DESTROY: { target: 'destroyed' },
      },
    },
    inUse: {
      on: {
        ACQUIRE_ATTACH: { guard: 'vdeviceReady', target: 'inUse' },
        INVALIDATE: { guard: 'driverInvalidates', target: 'inUse' },
        RELEASE: [{ guard: 'last', target: 'idle' }, { target: 'inUse' }],
      },
    },
    destroyed: { type: 'final' },
  },
});

/** Definition of the nested HWPT's lifecycle. */
export const hwptNestedDefinition = {
  name: 'hwptNested',
  title: "A guest's page table nested on one of the kernel's",
  machine,
  eventGuards,
} as const satisfies MachineDefinition;

/** Lifecycle of a nested HWPT. Source: iommufd_hwpt_nested_destroy, hw_pagetable.c, Linux 7.3-rc7. */
export const hwptNestedLifecycle = lifecycle(hwptNestedDefinition);
