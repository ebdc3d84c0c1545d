import { offsetsOf, VFIO_DEVICE_GET_IRQ_INFO, VFIO_IRQ_INFO_FLAGS } from '../../uapi/index.ts';
import type { Answer, Kernel } from '../kernel.ts';
import type { Features } from '../profile.ts';
import { reason } from '../reason.ts';
import { setU32, u32 } from '../user-call.ts';
import { copyPciStruct, type PciDevice, unknownFact } from './device.ts';
import { IRQ, IRQ_INDEXES, type PciFacts } from './facts.ts';

/** VFIO_DEVICE_GET_IRQ_INFO: vfio_pci_ioctl_get_irq_info. */

const INFO = offsetsOf(VFIO_DEVICE_GET_IRQ_INFO);
const BYTES = VFIO_DEVICE_GET_IRQ_INFO.sizeBytes;
const { EVENTFD, MASKABLE, AUTOMASKED, NORESIZE } = VFIO_IRQ_INFO_FLAGS;

const BAD_IRQ = reason(
  'vfio-device-irq-missing',
  'EINVAL',
  'vfio_pci_core.c vfio_pci_ioctl_get_irq_info',
  'vfio-pci has no interrupt with this index, or not on this device',
);

export function getIrqInfo(kernel: Kernel, { facts }: PciDevice): Answer {
  const { call } = kernel;
  const malformed = copyPciStruct(kernel, BYTES);
  if (malformed !== null) return malformed;
  const index = u32(call, INFO.index);
  if (index >= IRQ_INDEXES) return BAD_IRQ;
  const count = irqCount(facts, kernel.profile.has, index);
  if (index === IRQ.ERR) {
    if (count === null) return 'not-modelled';
    if (count === 0) return BAD_IRQ;
  }
  setU32(call, INFO.count, count ?? 0);
  if (count === null) unknownFact(kernel, 'count', INFO.count, 4);
  let flags = EVENTFD | NORESIZE;
  if (index === IRQ.INTX) flags = EVENTFD | MASKABLE | AUTOMASKED;
  if (index === IRQ.MSIX) {
    if (facts.dynamicMsix === null) unknownFact(kernel, 'flags', INFO.flags, 4);
    else if (facts.dynamicMsix) flags = EVENTFD;
  }
  setU32(call, INFO.flags, flags);
  call.respondFrom = 0;
  call.respondEnd = BYTES;
  return null;
}

/** `vfio_pci_get_irq_count`; null when it is a fact not known yet. */
export function irqCount(facts: PciFacts, features: Features, index: number): number | null {
  if (index >= IRQ_INDEXES) return 0;
  if (index !== IRQ.ERR) return facts.irqs[index]!.count;
  if (features.pciErrorIrqEverywhere) return 1;
  return facts.express === null ? null : Number(facts.express);
}
