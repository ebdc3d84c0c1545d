/**
 * An I/O address space of the 2021 proposals (there called IOASID): it does nothing until it is attached, and
 * in May 2021 nothing either while only part of a group's devices is attached to it.
 * Sources: "/dev/ioasid uAPI proposal" of 2021-05-27, section 3; RFC of 2021-09-19, 10/20 and 14/20.
 */
import { setup } from 'xstate';
import type { EventOf, MachineDefinition } from './definition.ts';
import { lifecycle } from './lifecycle.ts';

const eventGuards = {
  ATTACH: ['whole'],
  DETACH: ['last', 'whole'],
  USE: [],
  BIND_TABLE: [],
  UNBIND_TABLE: [],
  FREE: [],
} as const;

/**
 * - `ATTACH`, `DETACH`: a device's slot is pointed at it, or taken away. `whole`: every group of which a
 *   device is attached is attached with all its devices. `last`: nothing is attached any more.
 * - `USE`: map, unmap, ask or invalidate.
 * - `BIND_TABLE`, `UNBIND_TABLE`: a page table or PASID table of the user becomes its translation.
 * - `FREE`: the user gives it up.
 */
export type ProposalIoasEvent = EventOf<typeof eventGuards>;

const machine = setup({
  types: { events: {} as ProposalIoasEvent },
  guards: {
    whole: ({ event }) => event.whole === true,
    last: ({ event }) => event.last === true,
    more: ({ event }) => event.last !== true,
    wholeAndMore: ({ event }) => event.whole === true && event.last !== true,
  },
}).createMachine({
  id: 'proposalIoas',
  initial: 'allocated',
  states: {
    allocated: {
      on: {
        ATTACH: [{ guard: 'whole', target: 'live' }, { target: 'partial' }],
        FREE: { target: 'freed' },
      },
    },
    // partial_devices of the sample objects: the address space refuses every command.
    partial: {
      on: {
        ATTACH: [{ guard: 'whole', target: 'live' }, { target: 'partial' }],
        DETACH: [
          { guard: 'last', target: 'allocated' },
          { guard: 'whole', target: 'live' },
          { target: 'partial' },
        ],
      },
    },
    live: {
      on: {
        ATTACH: [{ guard: 'whole', target: 'live' }, { target: 'partial' }],
        DETACH: [
          { guard: 'last', target: 'allocated' },
          { guard: 'whole', target: 'live' },
          { target: 'partial' },
        ],
        USE: { target: 'live' },
        BIND_TABLE: { target: 'bound' },
      },
    },
    // A table of the user is bound: it has to be unbound before the last device goes.
    bound: {
      on: {
        ATTACH: [{ guard: 'whole', target: 'bound' }, { target: 'boundPartial' }],
        USE: { target: 'bound' },
        UNBIND_TABLE: { target: 'live' },
        DETACH: [
          { guard: 'wholeAndMore', target: 'bound' },
          { guard: 'more', target: 'boundPartial' },
        ],
      },
    },
    // … and a group is attached with some of its devices: no command again, as in partial.
    boundPartial: {
      on: {
        ATTACH: [{ guard: 'whole', target: 'bound' }, { target: 'boundPartial' }],
        // Only where the last device is closed, which unbinds the table with it.
        UNBIND_TABLE: { target: 'partial' },
        DETACH: [
          { guard: 'wholeAndMore', target: 'bound' },
          { guard: 'more', target: 'boundPartial' },
        ],
      },
    },
    freed: { type: 'final' },
  },
});

/** Definition of the address space's lifecycle. */
export const proposalIoasDefinition = {
  name: 'proposalIoas',
  title: 'An I/O address space (proposals of 2021)',
  machine,
  eventGuards,
} as const satisfies MachineDefinition;

/** Lifecycle of an address space. Source: proposal of 2021-05-27, section 3. */
export const proposalIoasLifecycle = lifecycle(proposalIoasDefinition);
