import type { AdviceTable } from './advice.ts';

/** Refusals of binding and attaching devices by their own descriptors, /dev/vfio/devices/vfioN. */
export const VFIO_DEVICE_ADVICE: AdviceTable = {
  'vfio-device-argsz-or-flags': [
    'argsz was left at 0, PASID is set on a kernel before 6.15 or without room for it, or iommufd is -1',
    'clear the struct, set argsz to its size, and use only flags that this kernel has',
  ],
  'bind-through-group': [
    'a descriptor from VFIO_GROUP_GET_DEVICE_FD is bound like one of /dev/vfio/devices',
    'open /dev/vfio/devices/vfioN instead, or give the iommufd to the group by SET_CONTAINER',
  ],
  'bind-while-group-open': [
    'the same or another process holds /dev/vfio/N of the group open',
    'close the group first: group and device descriptors exclude each other for the whole group',
  ],
  'device-bound-twice': [
    'BIND is repeated on the same descriptor, perhaps to move the device to another iommufd',
    'close the descriptor and open the device anew to bind it again',
  ],
  'device-open-elsewhere': [
    'the device was opened twice and the other descriptor is bound; opening alone never excludes anybody',
    'close the descriptor that is bound, or use that one',
  ],
  'bind-token-not-needed': [
    'a VF token is configured for a physical function, or for a virtual one whose physical function has none',
    'leave out TOKEN and the UUID for this device',
  ],
  'bind-descriptor-not-open': [
    'the iommufd was closed before, or the descriptor number is of another process',
    'open /dev/iommu first and give its descriptor',
  ],
  'bind-descriptor-no-iommufd': [
    'the number of a container, a group or the device itself is given as iommufd',
    'give a descriptor of /dev/iommu',
  ],
  'vfio-pasid-out-of-range': [
    'a PASID is not set up or comes from a guest unchecked; real ones have 20 bits at most',
    'keep PASIDs below 2^out_max_pasid_log2 of GET_HW_INFO',
  ],
  'vfio-device-not-bound': [
    'the device was opened as /dev/vfio/devices/vfioN, and a command came before VFIO_DEVICE_BIND_IOMMUFD',
    'bind the descriptor to an iommufd before anything else',
  ],
  'pasid-unsupported': [
    'the driver of the IOMMU attaches page tables to whole devices only',
    'attach the device without PASID',
  ],
};
