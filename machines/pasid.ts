/**
 * A PASID number, in whatever number space the generation gives it (per device, per set or system-wide: the
 * model keys it). Both generations share this machine: in the merged API the user picks the number and ATTACH
 * comes straight from `free`; in the 2020-2021 proposals an allocator hands it out first and takes it back.
 * Sources: iommu_attach_device_pasid in iommu.c, Linux 7.3-rc7; ioasid_alloc, ioasid_free, ioasid_put of the
 * series "IOASID extensions for guest SVA", V4 of 2021-02-27, its states FREE, IDLE, ACTIVE, FREE_PENDING.
 */
import { and, setup } from 'xstate';
import type { EventOf, MachineDefinition } from './definition.ts';
import { lifecycle } from './lifecycle.ts';

const eventGuards = {
  ALLOC: [],
  ATTACH: [],
  REPLACE: [],
  DETACH: ['last', 'flushed'],
  FREE: ['flushed', 'defers'],
  FLUSH: [],
} as const;

/**
 * - `ALLOC`, `FREE`: the allocator hands the number out or takes it back.
 * - `ATTACH`, `REPLACE`, `DETACH`: the number is put to use on a device (or takes a reference, in the 2021
 *   core), its address space is changed, it is taken out of use. `last`: it is in use nowhere any more.
 * - `FLUSH`: PASID cache, IOTLB and device TLB are invalidated for the number and its page requests are
 *   drained.
 * - `flushed`: at this moment no cache holds anything for the number.
 * - `defers`: the generation accepts a free while in use and waits for the last user (ioasid v4); the others
 *   refuse.
 */
export type PasidEvent = EventOf<typeof eventGuards>;

const machine = setup({
  types: { events: {} as PasidEvent },
  guards: {
    last: ({ event }) => event.last === true,
    flushed: ({ event }) => event.flushed === true,
    defers: ({ event }) => event.defers === true,
  },
}).createMachine({
  id: 'pasid',
  initial: 'free',
  states: {
    free: {
      on: {
        ALLOC: { target: 'allocated' },
        ATTACH: { target: 'attached' },
        FLUSH: { target: 'free' },
      },
    },
    // Handed out and in use nowhere (IDLE).
    allocated: {
      on: {
        ATTACH: { target: 'allocatedAttached' },
        FREE: [{ guard: 'flushed', target: 'free' }, { target: 'stale' }],
        FLUSH: { target: 'allocated' },
      },
    },
    // Handed out and in use (ACTIVE).
    allocatedAttached: {
      on: {
        ATTACH: { target: 'allocatedAttached' },
        REPLACE: { target: 'allocatedAttached' },
        DETACH: [{ guard: 'last', target: 'allocated' }, { target: 'allocatedAttached' }],
        FREE: { guard: 'defers', target: 'freePending' },
        FLUSH: { target: 'allocatedAttached' },
      },
    },
    // In use under a number the user picked: nobody allocated it, so nobody can free it.
    attached: {
      on: {
        ATTACH: { target: 'attached' },
        REPLACE: { target: 'attached' },
        DETACH: [
          { guard: and(['last', 'flushed']), target: 'free' },
          { guard: 'last', target: 'stale' },
          { target: 'attached' },
        ],
        FLUSH: { target: 'attached' },
      },
    },
    // Freed while in use: no new user (ioasid_get says EBUSY), a second free does nothing, the last user ends
    // it.
    freePending: {
      on: {
        FREE: { target: 'freePending' },
        DETACH: [
          { guard: and(['last', 'flushed']), target: 'free' },
          { guard: 'last', target: 'stale' },
          { target: 'freePending' },
        ],
        FLUSH: { target: 'freePending' },
      },
    },
    // Free for whoever asks, but something of the last owner may still be cached. The kernel does not refuse
    // the reuse, so neither does the machine: that it started here is what the audit reports.
    stale: {
      on: {
        ALLOC: { target: 'allocated' },
        ATTACH: { target: 'attached' },
        FLUSH: { target: 'free' },
      },
    },
  },
});

/** Definition of the PASID's lifecycle. */
export const pasidDefinition = {
  name: 'pasid',
  title: 'A PASID number, chosen by the user or handed out by an allocator',
  machine,
  eventGuards,
} as const satisfies MachineDefinition;

/** Lifecycle of a PASID. Sources: iommu_attach_device_pasid, Linux 7.3-rc7; ioasid_free, IOASID series V4. */
export const pasidLifecycle = lifecycle(pasidDefinition);
