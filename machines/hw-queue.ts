/**
 * The HW queue: a queue in guest memory that the hardware reads by itself. Queues are made in ascending and
 * destroyed in descending order of their index.
 * Source: iommufd_hw_queue_alloc_ioctl, iommufd_hw_queue_destroy in viommu.c, iommufd_hw_queue_depend in
 * iommufd.h, Linux 7.3-rc7.
 */
import { setup } from 'xstate';
import type { EventOf, MachineDefinition } from './definition.ts';
import { lifecycle } from './lifecycle.ts';

const eventGuards = {
  ACQUIRE: [],
  RELEASE: [],
  DESTROY: [],
} as const;

/**
 * - `ACQUIRE`, `RELEASE`: the queue of the next index is made or destroyed.
 * - `DESTROY`: IOMMU_DESTROY; EBUSY while the next queue depends on it.
 */
export type HwQueueEvent = EventOf<typeof eventGuards>;

const machine = setup({ types: { events: {} as HwQueueEvent } }).createMachine({
  id: 'hwQueue',
  initial: 'idle',
  states: {
    idle: { on: { ACQUIRE: { target: 'inUse' }, DESTROY: { target: 'destroyed' } } },
    inUse: { on: { RELEASE: { target: 'idle' } } },
    destroyed: { type: 'final' },
  },
});

/** Definition of the HW queue's lifecycle. */
export const hwQueueDefinition = {
  name: 'hwQueue',
  title: 'A queue of a vIOMMU that the hardware reads from guest memory',
  machine,
  eventGuards,
} as const satisfies MachineDefinition;

/** Lifecycle of a HW queue. Source: iommufd_hw_queue_destroy, viommu.c, Linux 7.3-rc7. */
export const hwQueueLifecycle = lifecycle(hwQueueDefinition);
