/**
 * The vEVENTQ: events of one type of a vIOMMU, read on a descriptor of their own.
 * Source: iommufd_veventq_alloc, iommufd_eventq_fops_release in eventq.c, Linux 7.3-rc7.
 */
import { setup } from 'xstate';
import type { EventOf, MachineDefinition } from './definition.ts';
import { lifecycle } from './lifecycle.ts';

const eventGuards = {
  REPORT: [],
  READ: [],
  CLOSE_FD: [],
  DESTROY: [],
} as const;

/**
 * - `REPORT`: the driver reports an event of this type; also when nobody can read it any more.
 * - `READ`: read on the descriptor. `CLOSE_FD`: its last copy is closed.
 * - `DESTROY`: IOMMU_DESTROY; EBUSY while the descriptor is open.
 */
export type VeventqEvent = EventOf<typeof eventGuards>;

const machine = setup({ types: { events: {} as VeventqEvent } }).createMachine({
  id: 'veventq',
  initial: 'open',
  states: {
    open: {
      on: { REPORT: { target: 'open' }, READ: { target: 'open' }, CLOSE_FD: { target: 'closed' } },
    },
    closed: { on: { REPORT: { target: 'closed' }, DESTROY: { target: 'destroyed' } } },
    destroyed: { type: 'final' },
  },
});

/** Definition of the vEVENTQ's lifecycle. */
export const veventqDefinition = {
  name: 'veventq',
  title: 'A queue of events of a vIOMMU with a descriptor',
  machine,
  eventGuards,
} as const satisfies MachineDefinition;

/** Lifecycle of a vEVENTQ. Source: iommufd_veventq_alloc, eventq.c, Linux 7.3-rc7. */
export const veventqLifecycle = lifecycle(veventqDefinition);
