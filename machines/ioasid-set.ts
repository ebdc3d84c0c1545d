/**
 * A set of IOASIDs: the numbers of one user (a process, a subsystem) under one quota.
 * Source: ioasid_set_alloc, ioasid_set_free, ioasid_free_all_in_set of the series "IOASID extensions for
 * guest SVA", V4 of 2021-02-27.
 */
import { setup } from 'xstate';
import type { EventOf, MachineDefinition } from './definition.ts';
import { lifecycle } from './lifecycle.ts';

const eventGuards = {
  TAKE: [],
  RECLAIM: ['last'],
  FREE_ALL: [],
  FREE: [],
} as const;

/**
 * - `TAKE`: a number is allocated in the set. `RECLAIM`: one went back to the allocator. `last`: it was the
 *   only one left.
 * - `FREE_ALL`: every number is about to be freed; those in use wait for their last user.
 * - `FREE`: the owner gives up the set itself.
 */
export type IoasidSetEvent = EventOf<typeof eventGuards>;

const machine = setup({
  types: { events: {} as IoasidSetEvent },
  guards: {
    last: ({ event }) => event.last === true,
  },
}).createMachine({
  id: 'ioasidSet',
  initial: 'empty',
  states: {
    // Made and not used yet: it lives until it is freed, or loses its last number.
    empty: {
      on: {
        TAKE: { target: 'live' },
        FREE_ALL: { target: 'empty' },
        FREE: { target: 'dead' },
      },
    },
    live: {
      on: {
        TAKE: { target: 'live' },
        RECLAIM: [{ guard: 'last', target: 'dead' }, { target: 'live' }],
        FREE_ALL: { target: 'closing' },
      },
    },
    // After FREE_ALL only put is legal.
    closing: {
      on: {
        RECLAIM: [{ guard: 'last', target: 'dead' }, { target: 'closing' }],
        FREE_ALL: { target: 'closing' },
      },
    },
    dead: { type: 'final' },
  },
});

/** Definition of the set's lifecycle. */
export const ioasidSetDefinition = {
  name: 'ioasidSet',
  title: 'A set of IOASIDs (ioasid V4)',
  machine,
  eventGuards,
} as const satisfies MachineDefinition;

/** Lifecycle of a set. Source: ioasid_set_alloc and ioasid_free of the IOASID series V4. */
export const ioasidSetLifecycle = lifecycle(ioasidSetDefinition);
