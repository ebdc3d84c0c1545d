import type { AdviceTable } from './advice.ts';

/** Refusals of the proposals of 2021: descriptors, devices, address spaces. */
export const PROPOSAL_ADVICE: AdviceTable = {
  'proposal-no-such-call': [
    'the call belongs to another generation or another descriptor',
    'use the calls of the generation that the header names',
  ],
  'choice-argument-bad': [
    'an argument is missing, negative or written as text',
    'give every argument that the list of calls names',
  ],
  'proposal-not-an-iommu-descriptor': [
    'the descriptor of a device or of a VM is given',
    'give a descriptor of /dev/ioasid or /dev/iommu',
  ],
  'proposal-device-bound': ['the device is bound a second time', 'bind a device once to each descriptor'],
  'proposal-cookie-taken': ['two devices get the same cookie', 'give every device a cookie of its own'],
  'proposal-cookie-unknown': [
    'the device was closed, or the cookie is that of another descriptor',
    'bind the device first, with this cookie',
  ],
  'proposal-group-owned': [
    'the devices of one group are given to two users',
    'bind all devices of a group to one descriptor',
  ],
  'proposal-group-not-viable': [
    'a function of the group has still its own driver',
    'bind every device of the group to vfio-pci or pci-stub',
  ],
  'proposal-device-without-group': [
    'the device is behind no IOMMU',
    'use a device that is in an IOMMU group',
  ],
  'proposal-group-on-other-domain': [
    'the group is in a container of the old interface',
    'close the devices that were opened through the group',
  ],
  'proposal-device-not-bound': ['attach comes before bind', 'bind the device to the descriptor first'],
  'choice-unbind-attached': [
    'the device is unbound before it is detached',
    'detach it from every address space first',
  ],
  'proposal-ioasid-not-found': [
    'the number belongs to another descriptor, or was freed',
    'use the number that the allocation on this descriptor answered',
  ],
  'proposal-ioasid-in-use': ['a device is still attached', 'detach every device first'],
  'choice-free-parent': ['the parent is freed before its children', 'free the nested address spaces first'],
  'proposal-ioasid-not-attached': [
    'the address space is filled before anything is attached',
    'attach a device first',
  ],
  'proposal-group-partly-attached': [
    'one device of a group is attached, and another one is not yet',
    'attach every device of the group to this address space',
  ],
  'proposal-already-attached': ['the attach is repeated', 'attach once, and detach before attaching again'],
  'proposal-slot-taken': [
    'the device goes to another address space still, or two devices of one function use one PASID',
    'detach the other one first, or use another PASID',
  ],
  'proposal-parent-not-attached': [
    'the child is attached before its parent',
    'attach the device to the parent first',
  ],
  'proposal-nesting-across-descriptors': [
    'parent and child were made on two descriptors',
    'make and attach both on one descriptor',
  ],
  'choice-detach-parent': [
    'the parent is detached before the child',
    'detach the device from the nested address space first',
  ],
  'proposal-not-attached-here': [
    'the detach is repeated, or lacks the PASID of the attach',
    'detach with the same number and PASID as attached',
  ],
  'proposal-device-without-pasid': [
    'the device or the platform has no PASIDs',
    'look at the capabilities of the device first',
  ],
  'choice-guest-pasid-range': ['0 is used, which stands for requests without a PASID', 'use 1 to 2^20 - 1'],
  'proposal-pasid-delegated': [
    'the host is told of single PASIDs although the guest has the table',
    'bind the PASID table once, and let the guest write its entries',
  ],
  'proposal-pasid-taken': [
    'two VMs choose the same PASID on one function and nothing translates it',
    'let the driver of the mediated device translate, or choose another PASID',
  ],
  'choice-pasid-exhausted': ['PASIDs are not given back', 'detach address spaces that are no longer used'],
  'choice-enqcmd-mixed': [
    'a whole function and a mediated device with ENQCMD are given to one VM',
    'show the guest PASIDs on one class of the two only',
  ],
  'proposal-snoop-unenforceable': [
    'devices with and without enforced snooping share an address space',
    'make another address space without ENFORCE_SNOOP for this device',
  ],
  'proposal-device-incompatible': [
    'IOMMUs of two kinds are behind the devices',
    'make another address space for this device',
  ],
};
