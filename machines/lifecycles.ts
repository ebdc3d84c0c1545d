/** All lifecycles, in the order in which diagrams and listings show them. */
import { accessLifecycle } from './access.ts';
import { attachmentSlotLifecycle } from './attachment-slot.ts';
import { contextLifecycle } from './context.ts';
import { deviceLifecycle } from './device.ts';
import { faultQueueLifecycle } from './fault-queue.ts';
import { hwQueueLifecycle } from './hw-queue.ts';
import { hwptNestedLifecycle } from './hwpt-nested.ts';
import { hwptPagingLifecycle } from './hwpt-paging.ts';
import { ioasLifecycle } from './ioas.ts';
import { ioasidSetLifecycle } from './ioasid-set.ts';
import { pasidLifecycle } from './pasid.ts';
import { pasidTeardownLifecycle } from './pasid-teardown.ts';
import { proposalGroupLifecycle } from './proposal-group.ts';
import { proposalIoasLifecycle } from './proposal-ioas.ts';
import { vdeviceLifecycle } from './vdevice.ts';
import { veventqLifecycle } from './veventq.ts';
import { viommuLifecycle } from './viommu.ts';

/**
 * Every lifecycle by its name; the order is that of an object's way: context, address space, device,
 * attachment.
 */
export const lifecycles = Object.freeze({
  context: contextLifecycle,
  ioas: ioasLifecycle,
  hwptPaging: hwptPagingLifecycle,
  hwptNested: hwptNestedLifecycle,
  device: deviceLifecycle,
  attachmentSlot: attachmentSlotLifecycle,
  pasid: pasidLifecycle,
  access: accessLifecycle,
  faultQueue: faultQueueLifecycle,
  viommu: viommuLifecycle,
  vdevice: vdeviceLifecycle,
  veventq: veventqLifecycle,
  hwQueue: hwQueueLifecycle,
  ioasidSet: ioasidSetLifecycle,
  pasidTeardown: pasidTeardownLifecycle,
  proposalGroup: proposalGroupLifecycle,
  proposalIoas: proposalIoasLifecycle,
});

/** The name of a lifecycle. */
export type LifecycleName = keyof typeof lifecycles;
