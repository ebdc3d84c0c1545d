import { reason } from '../reason.ts';
import type { PciDevice } from './device.ts';
import { IRQ } from './facts.ts';
import {
  checkEventfd,
  DATA_EVENTFD,
  DATA_NONE,
  eventfdAt,
  IRQ_NOT_IN_USE,
  type IrqDecision,
  type IrqSet,
  NOTHING,
} from './irq-set.ts';

/** The one action on MSI and MSI-X: vfio_pci_intrs.c vfio_pci_set_msi_trigger. */

const NO_VECTORS = reason(
  'vfio-irq-no-vectors',
  'ERANGE',
  'msi.c pci_alloc_irq_vectors',
  'switching MSI or MSI-X on takes at least one vector',
);
const VECTOR_NOT_ALLOCATED = reason(
  'vfio-irq-vector-not-allocated',
  'EINVAL',
  'vfio_pci_intrs.c vfio_msi_alloc_irq',
  'the vector was not allocated when the interrupt was switched on, and none can be added now',
);

export function triggerMsi(device: PciDevice, set: IrqSet): IrqDecision {
  const { open } = device;
  const isOn = open.irqType === set.index;
  if (isOn && set.count === 0 && set.type === DATA_NONE) return () => switchOff(device);
  if (!isOn && open.irqType !== null) return IRQ_NOT_IN_USE;
  if (set.type !== DATA_EVENTFD) return isOn ? NOTHING : IRQ_NOT_IN_USE;
  return isOn ? setVectors(device, set) : switchOn(device, set);
}

function switchOff({ open }: PciDevice): number {
  open.irqType = null;
  open.vectors = 0;
  return 0;
}

function switchOn(device: PciDevice, set: IrqSet): IrqDecision {
  const { open, facts } = device;
  const wanted = set.start + set.count;
  if (wanted === 0) return NO_VECTORS;
  const { limit, allocated } = facts.irqs[set.index]!;
  // The number that could be had is the return value, and nothing is switched on.
  if (limit !== null && wanted > limit) return () => limit;
  // Several MSI vectors at once need an interrupt domain that has them: interrupt remapping, on x86.
  if (set.index === IRQ.MSI && wanted > Math.max(1, allocated)) return 'not-modelled';
  const bad = badEventfd(device, set);
  if (bad !== null) return bad;
  return () => {
    open.irqType = set.index;
    open.vectors = wanted;
    return 0;
  };
}

function setVectors(device: PciDevice, set: IrqSet): IrqDecision {
  const { open, facts } = device;
  for (let position = 0; position < set.count; position += 1) {
    const fd = eventfdAt(set, position);
    if (fd < 0) continue;
    if (set.start + position >= open.vectors) {
      if (set.index === IRQ.MSI) return VECTOR_NOT_ALLOCATED;
      if (facts.dynamicMsix === null) return 'not-modelled';
      if (!facts.dynamicMsix) return VECTOR_NOT_ALLOCATED;
    }
    const refusal = checkEventfd(device, fd);
    if (refusal !== null) return refusal;
  }
  return NOTHING;
}

/** A vector's eventfd that is none undoes the whole switching on. */
function badEventfd(device: PciDevice, set: IrqSet): ReturnType<typeof checkEventfd> {
  for (let position = 0; position < set.count; position += 1) {
    const fd = eventfdAt(set, position);
    const refusal = fd < 0 ? null : checkEventfd(device, fd);
    if (refusal !== null) return refusal;
  }
  return null;
}
