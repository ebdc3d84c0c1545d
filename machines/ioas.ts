/**
 * The IOAS: an I/O address space. What is mapped in it is the model's business; only its users decide its
 * life.
 * Source: iommufd_ioas_alloc_ioctl in ioas.c, iommufd_object_remove in main.c, Linux 7.3-rc7.
 */
import { setup } from 'xstate';
import type { EventOf, MachineDefinition } from './definition.ts';
import { lifecycle } from './lifecycle.ts';

const eventGuards = {
  MAP: [],
  UNMAP: [],
  COPY: [],
  ALLOW_IOVAS: [],
  LIST_IOVAS: [],
  SET_OPTION: [],
  RESERVE: [],
  UNRESERVE: [],
  ACQUIRE: [],
  RELEASE: ['last'],
  DESTROY: [],
} as const;

/**
 * - `MAP`, `UNMAP`, `COPY` (as source or destination), `ALLOW_IOVAS`, `LIST_IOVAS`, `SET_OPTION`: the ioctls.
 * - `RESERVE`, `UNRESERVE`: reserved ranges of a device or an aperture come and go.
 * - `ACQUIRE`, `RELEASE`: a paging HWPT on it or an attached access takes or drops its user; `last`: none is
 *   left.
 * - `DESTROY`: IOMMU_DESTROY, and the pass over all objects when the context is released.
 */
export type IoasEvent = EventOf<typeof eventGuards>;

const machine = setup({
  types: { events: {} as IoasEvent },
  guards: { last: ({ event }) => event.last === true },
}).createMachine({
  id: 'ioas',
  initial: 'idle',
  states: {
    // Areas are no users: an IOAS full of mappings is destroyed and its areas are unmapped with it.
    idle: {
      on: {
        MAP: { target: 'idle' },
        UNMAP: { target: 'idle' },
        COPY: { target: 'idle' },
        ALLOW_IOVAS: { target: 'idle' },
        LIST_IOVAS: { target: 'idle' },
        SET_OPTION: { target: 'idle' },
        RESERVE: { target: 'idle' },
        UNRESERVE: { target: 'idle' },
        ACQUIRE: { target: 'inUse' },
        DESTROY: { target: 'destroyed' },
      },
    },
    inUse: {
      on: {
        MAP: { target: 'inUse' },
        UNMAP: { target: 'inUse' },
        COPY: { target: 'inUse' },
        ALLOW_IOVAS: { target: 'inUse' },
        LIST_IOVAS: { target: 'inUse' },
        SET_OPTION: { target: 'inUse' },
        RESERVE: { target: 'inUse' },
        UNRESERVE: { target: 'inUse' },
        ACQUIRE: { target: 'inUse' },
        RELEASE: [{ guard: 'last', target: 'idle' }, { target: 'inUse' }],
      },
    },
    destroyed: { type: 'final' },
  },
});

/** Definition of the IOAS's lifecycle. */
export const ioasDefinition = {
  name: 'ioas',
  title: 'An I/O address space',
  machine,
  eventGuards,
} as const satisfies MachineDefinition;

/**
 * Lifecycle of an IOAS. `DESTROY` refused in `inUse` is EBUSY. Source: iommufd_object_remove, main.c,
 * 7.3-rc7.
 */
export const ioasLifecycle = lifecycle(ioasDefinition);
