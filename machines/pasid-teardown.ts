/**
 * The way of a PASID on one device from its last use to its next owner. Each step makes the next one safe: a
 * step out of order may leave something of the last owner to the next.
 * Sources: "iommu/vt-d: Add page request draining support", V5 of 2020-05-12; "iommu: Add a page fault
 * handler", V12 of 2021-01-27; IOASID series V4 of 2021-02-27, 14/18.
 */
import { setup } from 'xstate';
import type { EventOf, MachineDefinition } from './definition.ts';
import { lifecycle } from './lifecycle.ts';

const eventGuards = {
  USE: [],
  STOP: [],
  CLEAR: [],
  INVALIDATE: [],
  DRAIN: [],
  FLUSH: [],
  PUT: [],
} as const;

/**
 * - `USE`: the device is given the PASID. `STOP`: its driver stopped the device's use of it.
 * - `CLEAR`: the entry of the PASID table is cleared. `INVALIDATE`: IOTLB and device TLB are invalidated.
 * - `DRAIN`: the page requests of the hardware's queue with this PASID are answered. `FLUSH`: so are those of
 *   the software queue.
 * - `PUT`: the reference is dropped: the number may go to the next owner.
 */
export type PasidTeardownEvent = EventOf<typeof eventGuards>;

const machine = setup({ types: { events: {} as PasidTeardownEvent } }).createMachine({
  id: 'pasidTeardown',
  initial: 'clean',
  states: {
    clean: { on: { USE: { target: 'inUse' }, PUT: { target: 'clean' } } },
    inUse: { on: { USE: { target: 'inUse' }, STOP: { target: 'stopped' } } },
    stopped: { on: { STOP: { target: 'stopped' }, CLEAR: { target: 'cleared' } } },
    cleared: { on: { CLEAR: { target: 'cleared' }, INVALIDATE: { target: 'invalidated' } } },
    invalidated: { on: { INVALIDATE: { target: 'invalidated' }, DRAIN: { target: 'drained' } } },
    drained: { on: { DRAIN: { target: 'drained' }, FLUSH: { target: 'flushed' } } },
    flushed: { on: { FLUSH: { target: 'flushed' }, PUT: { target: 'clean' }, USE: { target: 'inUse' } } },
  },
});

/** Definition of the teardown's order. */
export const pasidTeardownDefinition = {
  name: 'pasidTeardown',
  title: 'Teardown of a PASID on one device',
  machine,
  eventGuards,
} as const satisfies MachineDefinition;

/** Order of a PASID's teardown. Source: IOASID series V4, 14/18, and page request draining V5. */
export const pasidTeardownLifecycle = lifecycle(pasidTeardownDefinition);
