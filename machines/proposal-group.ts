/**
 * The DMA of an IOMMU group in the 2021 proposals: blocked from the first bind until a device is attached,
 * back to blocked on the last detach, and to the default domain at the last unbind only.
 * Sources: "/dev/iommu uAPI proposal" of 2021-07-09, 1.3; RFC of 2021-09-19, 06/20
 * iommu_device_init_user_dma.
 */
import { setup } from 'xstate';
import type { EventOf, MachineDefinition } from './definition.ts';
import { lifecycle } from './lifecycle.ts';

const eventGuards = {
  BIND: ['viable'],
  UNBIND: ['last'],
  ATTACH: [],
  DETACH: ['last'],
} as const;

/**
 * - `BIND`, `UNBIND`: a device of the group joins or leaves a descriptor. `viable`: nobody else drives a
 *   device of the group. `last` of UNBIND: no device of the group is bound any more.
 * - `ATTACH`, `DETACH`: an address space is put behind a device of the group, or taken away. `last` of
 *   DETACH: no device of the group has one any more.
 */
export type ProposalGroupEvent = EventOf<typeof eventGuards>;

const machine = setup({
  types: { events: {} as ProposalGroupEvent },
  guards: {
    viable: ({ event }) => event.viable === true,
    last: ({ event }) => event.last === true,
  },
}).createMachine({
  id: 'proposalGroup',
  initial: 'default',
  states: {
    default: { on: { BIND: { guard: 'viable', target: 'blocked' } } },
    // All DMA of the group is blocked: the security context. Later binds are not asked about viability.
    blocked: {
      on: {
        BIND: { target: 'blocked' },
        UNBIND: [{ guard: 'last', target: 'default' }, { target: 'blocked' }],
        ATTACH: { target: 'attached' },
      },
    },
    // No way from here to the default domain but through blocked.
    attached: {
      on: {
        BIND: { target: 'attached' },
        UNBIND: { guard: ({ event }) => event.last !== true, target: 'attached' },
        ATTACH: { target: 'attached' },
        DETACH: [{ guard: 'last', target: 'blocked' }, { target: 'attached' }],
      },
    },
  },
});

/** Definition of the lifecycle of a group's DMA. */
export const proposalGroupDefinition = {
  name: 'proposalGroup',
  title: 'DMA of an IOMMU group (proposals of 2021)',
  machine,
  eventGuards,
} as const satisfies MachineDefinition;

/** Lifecycle of a group's DMA. Source: RFC of 2021-09-19, 06/20. */
export const proposalGroupLifecycle = lifecycle(proposalGroupDefinition);
