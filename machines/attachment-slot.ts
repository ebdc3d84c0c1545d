/**
 * The attachment slot: what one IOMMU group translates with, for its RIDs or for one PASID. The first device
 * attaches the whole group; members that follow are only booked, and must name the same HWPT.
 * Source: iommufd_hw_pagetable_attach, iommufd_device_do_replace, iommufd_hw_pagetable_detach in device.c,
 * 7.3-rc7.
 */
import { and, not, setup } from 'xstate';
import type { EventOf, MachineDefinition } from './definition.ts';
import { lifecycle } from './lifecycle.ts';

const eventGuards = {
  ATTACH: ['member', 'sameHwpt', 'compatible'],
  REPLACE: ['member', 'sameHwpt', 'compatible'],
  DETACH: ['member', 'last'],
} as const;

/**
 * - `member`: the device is already booked in this slot.
 * - `sameHwpt`: the HWPT named is the one the slot holds (false in a free slot).
 * - `compatible`: the HWPT fits PASID use of the group (iommufd_hwpt_pasid_compat, EINVAL): on a PASID it
 *   and the HWPT of the RID were allocated with IOMMU_HWPT_ALLOC_PASID; on the RID it was, if any PASID slot
 *   is held.
 * - `last`: the device that detaches is the only one booked.
 */
export type AttachmentSlotEvent = EventOf<typeof eventGuards>;

const machine = setup({
  types: { events: {} as AttachmentSlotEvent },
  guards: {
    member: ({ event }) => event.member === true,
    sameHwpt: ({ event }) => event.sameHwpt === true,
    compatible: ({ event }) => event.compatible === true,
    last: ({ event }) => event.last === true,
  },
}).createMachine({
  id: 'attachmentSlot',
  initial: 'free',
  states: {
    // REPLACE has nothing to replace (EINVAL); DETACH is never asked, VFIO answers 0 by itself.
    free: { on: { ATTACH: { guard: 'compatible', target: 'held' } } },
    held: {
      on: {
        // A member again is EBUSY, another HWPT is EINVAL. Compatibility was settled by the first device.
        ATTACH: { guard: and([not('member'), 'sameHwpt']), target: 'held' },
        // The same HWPT is a success that does nothing, before anything else is looked at.
        REPLACE: [
          { guard: and(['member', 'sameHwpt']), target: 'held' },
          { guard: and(['member', 'compatible']), target: 'held' },
        ],
        DETACH: [
          { guard: and(['member', 'last']), target: 'free' },
          { guard: 'member', target: 'held' },
        ],
      },
    },
  },
});

/** Definition of the attachment slot's lifecycle. */
export const attachmentSlotDefinition = {
  name: 'attachmentSlot',
  title: 'What a group translates with, for its RID or for one PASID',
  machine,
  eventGuards,
} as const satisfies MachineDefinition;

/** Lifecycle of an attachment slot. Source: struct iommufd_attach, device.c, Linux 7.3-rc7. */
export const attachmentSlotLifecycle = lifecycle(attachmentSlotDefinition);
