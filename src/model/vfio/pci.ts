import { fileOf } from '../descriptors.ts';
import type { Kernel } from '../kernel.ts';
import type { OpenFile, Process } from '../state.ts';
import { NOT_OWNED, OWNED, type PciDevice } from '../vfio-pci/index.ts';
import { hasAccess, vfioDeviceOf } from './device-state.ts';

/** A device's descriptor as vfio-pci sees it. */
export function pciDevice(kernel: Kernel, process: Process, file: OpenFile): PciDevice {
  const vfio = vfioDeviceOf(kernel, file.object);
  return {
    facts: vfio.facts,
    open: vfio.open,
    openedByCdev: !file.viaGroup,
    granted: hasAccess(kernel, file),
    id: file.viaGroup || vfio.object === 0 ? null : vfio.object,
    descriptorKind: (fd) => fileOf(kernel, process, fd)?.kind ?? null,
    groupOf(fd) {
      const found = fileOf(kernel, process, fd);
      return found?.kind === 'group' ? found.object : null;
    },
    idOf: (address) => idOf(kernel, vfio.context, address),
  };
}

/** `vfio_iommufd_get_dev_id`. */
function idOf(kernel: Kernel, contextId: number, address: string): number | null {
  const device = kernel.machine.devices.find(({ bdf }) => bdf === address);
  const context = kernel.state.contexts[contextId];
  if (device === undefined || context === undefined) return null;
  const known = kernel.state.vfio.devices[device.index];
  if (known !== undefined && known.context === contextId) return known.object;
  return context.groups[device.group] === undefined ? NOT_OWNED : OWNED;
}
