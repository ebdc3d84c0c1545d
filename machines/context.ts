/**
 * The context: one open file of `/dev/iommu` (or of `/dev/vfio/vfio` in compatibility mode).
 * Source: iommufd_fops_open, iommufd_fops_release, iommufd_ctx_get in drivers/iommu/iommufd/main.c, Linux
 * 7.3-rc7.
 */
import { setup } from 'xstate';
import type { EventOf, MachineDefinition } from './definition.ts';
import { lifecycle } from './lifecycle.ts';

const eventGuards = {
  CALL: [],
  HOLDER_CALL: [],
  CLOSE: ['referenced'],
  LAST_REFERENCE_DROPPED: [],
} as const;

/**
 * - `CALL`: an ioctl or mmap on the context's own descriptor.
 * - `HOLDER_CALL`: a call on a file that holds the context: a bound device, a fault or event queue.
 * - `CLOSE`: the last descriptor of the file goes (a dup or a child of fork keeps it open). `referenced`: a
 *   bound device, an event descriptor, an emulated access or a mapping still holds the file.
 * - `LAST_REFERENCE_DROPPED`: the last of those holders goes after `CLOSE`.
 */
export type ContextEvent = EventOf<typeof eventGuards>;

const machine = setup({
  types: { events: {} as ContextEvent },
  guards: { referenced: ({ event }) => event.referenced === true },
}).createMachine({
  id: 'context',
  initial: 'open',
  states: {
    open: {
      on: {
        CALL: { target: 'open' },
        HOLDER_CALL: { target: 'open' },
        CLOSE: [{ guard: 'referenced', target: 'orphan' }, { target: 'released' }],
      },
    },
    // close() alone tears nothing down while something else holds the file: attachments live on, unreachable
    // by ioctl, and the devices still translate.
    orphan: {
      on: { HOLDER_CALL: { target: 'orphan' }, LAST_REFERENCE_DROPPED: { target: 'released' } },
    },
    released: { type: 'final' },
  },
});

/** Definition of the context's lifecycle. */
export const contextDefinition = {
  name: 'context',
  title: 'An open file of /dev/iommu',
  machine,
  eventGuards,
} as const satisfies MachineDefinition;

/** Lifecycle of a context. Source: iommufd_fops_release, main.c, Linux 7.3-rc7. */
export const contextLifecycle = lifecycle(contextDefinition);
