/**
 * The fault queue: I/O page faults of the HWPTs that name it, read and answered on a descriptor of its own.
 * Two things keep it alive, and they are independent: the open descriptor and those HWPTs.
 * Source: iommufd_fault_alloc, iommufd_eventq_fops_release, iommufd_fault_destroy in eventq.c, Linux 7.3-rc7.
 */
import { setup } from 'xstate';
import type { EventOf, MachineDefinition } from './definition.ts';
import { lifecycle } from './lifecycle.ts';

const eventGuards = {
  ACQUIRE: [],
  RELEASE: ['last'],
  REPORT: [],
  READ: [],
  RESPOND: [],
  CLOSE_FD: [],
  DESTROY: [],
} as const;

/**
 * - `ACQUIRE`, `RELEASE`: a HWPT allocated with IOMMU_HWPT_FAULT_ID_VALID takes or drops its user; `last`:
 *   none left.
 * - `REPORT`: a fault of a device attached to such a HWPT arrives.
 * - `READ`, `RESPOND`: read and write on the descriptor. `CLOSE_FD`: its last copy is closed.
 * - `DESTROY`: IOMMU_DESTROY; EBUSY while the descriptor is open or a HWPT uses the queue.
 */
export type FaultQueueEvent = EventOf<typeof eventGuards>;

const machine = setup({
  types: { events: {} as FaultQueueEvent },
  guards: { last: ({ event }) => event.last === true },
}).createMachine({
  id: 'faultQueue',
  initial: 'open',
  states: {
    open: {
      on: {
        ACQUIRE: { target: 'openInUse' },
        READ: { target: 'open' },
        RESPOND: { target: 'open' },
        CLOSE_FD: { target: 'closed' },
      },
    },
    openInUse: {
      on: {
        ACQUIRE: { target: 'openInUse' },
        RELEASE: [{ guard: 'last', target: 'open' }, { target: 'openInUse' }],
        REPORT: { target: 'openInUse' },
        READ: { target: 'openInUse' },
        RESPOND: { target: 'openInUse' },
        CLOSE_FD: { target: 'closedInUse' },
      },
    },
    closed: { on: { ACQUIRE: { target: 'closedInUse' }, DESTROY: { target: 'destroyed' } } },
    // Faults still arrive here and nobody can answer them: they wait until detach or destruction says
    // INVALID.
    closedInUse: {
      on: {
        ACQUIRE: { target: 'closedInUse' },
        RELEASE: [{ guard: 'last', target: 'closed' }, { target: 'closedInUse' }],
        REPORT: { target: 'closedInUse' },
      },
    },
    destroyed: { type: 'final' },
  },
});

/** Definition of the fault queue's lifecycle. */
export const faultQueueDefinition = {
  name: 'faultQueue',
  title: 'A queue of I/O page faults with a descriptor',
  machine,
  eventGuards,
} as const satisfies MachineDefinition;

/** Lifecycle of a fault queue. Source: iommufd_fault_alloc, eventq.c, Linux 7.3-rc7. */
export const faultQueueLifecycle = lifecycle(faultQueueDefinition);
