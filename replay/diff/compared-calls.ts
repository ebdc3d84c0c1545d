import type { Call } from '../../src/trace/index.ts';
import { CMD } from '../../src/uapi/index.ts';
import { kvmName } from './kvm-fields.ts';

/** Descriptors through which nobody decides about DMA. */
const OTHERS: ReadonlySet<string> = new Set(['?', 'kvm', 'kvm-vfio', 'memfd']);
/** Descriptors of KVM, and of its device that is told of those of VFIO. */
const OF_KVM: ReadonlySet<string> = new Set(['kvm', 'kvm-vfio']);

/**
 * Which calls a comparison looks at. What decides about DMA is: everything on descriptors of iommufd, groups
 * and containers, what a device answers and is told, and what KVM is told of devices. What the guest does to
 * the device is not, unless it is asked for: how often a driver polls a register is another number in every
 * run. Neither are notes, nor how a process lays out its memory: that shows in what it maps for the device.
 */
export function isCompared(call: Call, traffic: boolean): boolean {
  switch (call.op) {
    case 'ioctl':
      if (call.kind === 'device' && call.cmd === CMD.VFIO_DEVICE_SET_IRQS) return traffic;
      return !OTHERS.has(call.kind) || kvmName(call) !== null;
    case 'open':
    case 'close':
      return !OTHERS.has(call.kind) || OF_KVM.has(call.kind);
    case 'read':
    case 'write':
      return call.kind === 'device' ? traffic : !OTHERS.has(call.kind);
    case 'pread':
    case 'pwrite':
      return traffic;
    case 'mmap':
      return call.fd >= 0 && call.kind === 'device' && traffic;
    case 'call':
      return true;
    default:
      return false;
  }
}
