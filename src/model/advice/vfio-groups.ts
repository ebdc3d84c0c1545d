import type { AdviceTable } from './advice.ts';

/** Refusals of group descriptors, /dev/vfio/N, and of the ownership of groups. */
export const VFIO_GROUP_ADVICE: AdviceTable = {
  'group-open-elsewhere': [
    'another process, or the same one earlier, has the group open, or a device of it is bound by its own descriptor',
    'close the other descriptor, or share the one open descriptor of the group',
  ],
  'group-owned-elsewhere': [
    'a device of the same IOMMU group is bound to another iommufd, or the group was bound before it was set to a container',
    'bind all devices of a group to the same iommufd, and unbind them before the group goes to a container',
  ],
  'group-command-unknown': [
    'a command of the container or of a device is given to the descriptor of the group',
    'give it to the container, or to the descriptor that GET_DEVICE_FD returned',
  ],
  'group-status-argsz': ['argsz was not set', 'set argsz to the size of struct vfio_group_status'],
  'container-not-open': [
    'the container was closed before, or SET_CONTAINER got the number instead of a pointer to it',
    'keep the container open, and give a pointer to its descriptor',
  ],
  'group-has-container': [
    'SET_CONTAINER is repeated for a group that is set already',
    'go on with the container that it has, or UNSET_CONTAINER first',
  ],
  'container-descriptor-of-wrong-kind': [
    'the descriptor of the group, of a device or of another file is given as container',
    'give a descriptor of /dev/vfio/vfio or of /dev/iommu',
  ],
  'group-without-container': [
    'the device is asked for, or the container taken away, before SET_CONTAINER',
    'set the group to a container first',
  ],
  'group-container-in-use': [
    'a descriptor from GET_DEVICE_FD is still open, or a region of a device still mapped',
    'unmap the regions and close the devices of the group before UNSET_CONTAINER',
  ],
  'group-has-no-such-device': [
    'the name lacks the PCI domain (0000:), belongs to another group, or the device is not bound to vfio-pci',
    'give the name as in /sys/kernel/iommu_groups/N/devices, and bind the device to vfio-pci',
  ],
  'device-name-option-unknown': [
    'vf_token= follows the name of a device without a token, or an option is misspelt',
    'give the bare name, such as 0000:06:0d.0',
  ],
  'container-without-iommu': [
    'the device is asked for before VFIO_SET_IOMMU',
    'set the IOMMU type of the container once the group is set to it',
  ],
};
