/**
 * The paging HWPT: a page table of the kernel that mirrors an IOAS. Manual ones come from IOMMU_HWPT_ALLOC
 * and stay until destroyed; automatic ones come from an attach to an IOAS and go with their last device.
 * Source: iommufd_hwpt_paging_alloc, iommufd_hw_pagetable_put, iommufd_device_auto_get_domain, Linux 7.3-rc7.
 */
import { setup } from 'xstate';
import type { EventOf, MachineDefinition } from './definition.ts';
import { lifecycle } from './lifecycle.ts';

const eventGuards = {
  FINALIZE: ['auto'],
  ABORT: [],
  ACQUIRE_ATTACH: [],
  ACQUIRE_NESTED: ['nestParent'],
  ACQUIRE_VIOMMU: ['nestParent'],
  RELEASE: ['last'],
  SET_DIRTY: ['dirtyTracking'],
  GET_DIRTY: ['dirtyTracking'],
  INVALIDATE: [],
  DESTROY: [],
} as const;

/**
 * - `FINALIZE`: construction is over and the id becomes visible. `auto`: an attach to an IOAS made it, and
 *   that device is already its first user. `ABORT`: construction failed.
 * - `ACQUIRE_ATTACH`: a device is attached to it, on its RID or on a PASID, by attach or by replace.
 * - `ACQUIRE_NESTED`, `ACQUIRE_VIOMMU`: a nested HWPT or a vIOMMU is made on it. `nestParent`: it was
 *   allocated with IOMMU_HWPT_ALLOC_NEST_PARENT.
 * - `RELEASE`: one user goes; `last`: no attachment, nested HWPT or vIOMMU is left.
 * - `SET_DIRTY`, `GET_DIRTY`: `dirtyTracking`: it was allocated with IOMMU_HWPT_ALLOC_DIRTY_TRACKING.
 * - `INVALIDATE`: IOMMU_HWPT_INVALIDATE, which only nested HWPTs and vIOMMUs take.
 */
export type HwptPagingEvent = EventOf<typeof eventGuards>;

const machine = setup({
  types: { events: {} as HwptPagingEvent },
  guards: {
    auto: ({ event }) => event.auto === true,
    nestParent: ({ event }) => event.nestParent === true,
    last: ({ event }) => event.last === true,
    dirtyTracking: ({ event }) => event.dirtyTracking === true,
  },
}).createMachine({
  id: 'hwptPaging',
  initial: 'constructing',
  states: {
    // The id is taken but looks non-existent (a reserved entry of the xarray) until iommufd_object_finalize.
    constructing: {
      on: {
        FINALIZE: [{ guard: 'auto', target: 'autoInUse' }, { target: 'idle' }],
        ABORT: { target: 'destroyed' },
      },
    },
    idle: {
      on: {
        ACQUIRE_ATTACH: { target: 'inUse' },
        ACQUIRE_NESTED: { guard: 'nestParent', target: 'inUse' },
        ACQUIRE_VIOMMU: { guard: 'nestParent', target: 'inUse' },
        SET_DIRTY: { guard: 'dirtyTracking', target: 'idle' },
        GET_DIRTY: { guard: 'dirtyTracking', target: 'idle' },
        DESTROY: { target: 'destroyed' },
      },
    },
    inUse: {
      on: {
        ACQUIRE_ATTACH: { target: 'inUse' },
        ACQUIRE_NESTED: { guard: 'nestParent', target: 'inUse' },
        ACQUIRE_VIOMMU: { guard: 'nestParent', target: 'inUse' },
        RELEASE: [{ guard: 'last', target: 'idle' }, { target: 'inUse' }],
        SET_DIRTY: { guard: 'dirtyTracking', target: 'inUse' },
        GET_DIRTY: { guard: 'dirtyTracking', target: 'inUse' },
      },
    },
    // An automatic HWPT has neither flags nor user data: it is no nest parent (iommufd_hwpt_nested_alloc
    // refuses auto_domain by name) and it tracks nothing. There is no idle automatic HWPT.
    autoInUse: {
      on: {
        ACQUIRE_ATTACH: { target: 'autoInUse' },
        RELEASE: [{ guard: 'last', target: 'destroyed' }, { target: 'autoInUse' }],
      },
    },
    destroyed: { type: 'final' },
  },
});

/** Definition of the paging HWPT's lifecycle. */
export const hwptPagingDefinition = {
  name: 'hwptPaging',
  title: 'A page table kept by the kernel for an IOAS',
  machine,
  eventGuards,
} as const satisfies MachineDefinition;

/** Lifecycle of a paging HWPT. Source: iommufd_hw_pagetable_put, iommufd_private.h, Linux 7.3-rc7. */
export const hwptPagingLifecycle = lifecycle(hwptPagingDefinition);
