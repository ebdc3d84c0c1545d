/** What vfio-pci answers on a device descriptor, apart from binding and attaching. */

export { NOT_OWNED, OWNED, type PciDevice } from './device.ts';
export { createPciFacts, type PciFacts } from './facts.ts';
export { vfioPciIoctl } from './ioctl.ts';
export { learnPciFacts, learnPciReply } from './learn.ts';
export { learnPciRead } from './learn-regions.ts';
export { type PciMapping, vfioPciMmap } from './mmap.ts';
export { createPciOpenState, type PciOpenState } from './open-state.ts';
export { type PciTransfer, type PciTransferred, vfioPciTransfer } from './transfer.ts';
