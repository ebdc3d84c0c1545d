import {
  offsetsOf,
  unionOffsetsOf,
  VFIO_DEVICE_FEATURE,
  VFIO_FEATURE,
  VFIO_FEATURE_FLAGS,
} from '../../uapi/index.ts';
import type { Answer, Kernel } from '../kernel.ts';
import { type Refusal, reason } from '../reason.ts';
import { u32 } from '../user-call.ts';
import { copyPciStruct, type PciDevice } from './device.ts';
import { REGION } from './facts.ts';
import { checkEventfd } from './irq-set.ts';

/** VFIO_DEVICE_FEATURE: vfio_main.c vfio_ioctl_device_feature, then vfio_pci_core_ioctl_feature. */

const FEATURE = offsetsOf(VFIO_DEVICE_FEATURE);
const HEAD_BYTES = VFIO_DEVICE_FEATURE.sizeBytes;
const { GET, SET, PROBE } = VFIO_FEATURE_FLAGS;
const NUMBER = 0xffff;
const WAKEUP = unionOffsetsOf(VFIO_DEVICE_FEATURE, VFIO_FEATURE.LOW_POWER_ENTRY_WITH_WAKEUP);
const WAKEUP_BYTES = 8;
const UUID_BYTES = 16;
const DMABUF = unionOffsetsOf(VFIO_DEVICE_FEATURE, VFIO_FEATURE.DMA_BUF);
const DMABUF_BYTES = 16;

const BAD_FLAGS = reason(
  'vfio-feature-flags',
  'EINVAL',
  'vfio_main.c vfio_ioctl_device_feature',
  'an unknown flag, or GET and SET at once without PROBE',
);
const UNKNOWN_FEATURE = reason(
  'vfio-feature-unknown',
  'ENOTTY',
  'vfio_pci_core.c vfio_pci_core_ioctl_feature',
  'vfio-pci does not have this feature: it neither migrates devices nor logs their DMA',
);
const BAD_OPERATION = reason(
  'vfio-feature-operation',
  'EINVAL',
  'vfio.h vfio_check_feature',
  'the feature can not be got or set so, nothing was asked for, or its data does not fit argsz',
);
const NO_PRECOPY = reason(
  'vfio-feature-no-precopy',
  'EINVAL',
  'vfio_main.c vfio_ioctl_device_feature_migration_precopy_info_v2, 7.x',
  'the device does not migrate with pre-copy',
);
const DATA_FAULT = reason(
  'vfio-feature-data-unreadable',
  'EFAULT',
  'vfio_pci_core.c, each feature',
  'the data behind the struct can not be read',
);
const NO_EXPORT = reason(
  'vfio-feature-no-dmabuf',
  'EOPNOTSUPP',
  'vfio_pci_dmabuf.c vfio_pci_core_feature_dma_buf, 7.x',
  'the platform does not let the BARs of this device be exported',
);
const BAD_EXPORT = reason(
  'vfio-feature-dmabuf-form',
  'EINVAL',
  'vfio_pci_dmabuf.c vfio_pci_core_feature_dma_buf, 7.x',
  'no range, or a flag is set',
);
const EXPORT_NOT_BAR = reason(
  'vfio-feature-dmabuf-region',
  'ENODEV',
  'vfio_pci_dmabuf.c vfio_pci_core_feature_dma_buf, 7.x',
  'the region is no BAR',
);
const NEGATIVE_EVENTFD = reason(
  'vfio-feature-wakeup-descriptor',
  'EINVAL',
  'vfio_pci_core.c vfio_pci_core_pm_entry_with_wakeup',
  'the eventfd to wake up by is negative',
);
const ALREADY_LOW_POWER = reason(
  'vfio-feature-low-power-entered',
  'EINVAL',
  'vfio_pci_core.c vfio_pci_runtime_pm_entry',
  'the device may go to low power already',
);

export function deviceFeature(kernel: Kernel, device: PciDevice): Answer {
  const { call } = kernel;
  const malformed = copyPciStruct(kernel, HEAD_BYTES);
  if (malformed !== null) return malformed;
  const flags = u32(call, FEATURE.flags);
  if ((flags & ~(NUMBER | GET | SET | PROBE)) !== 0) return BAD_FLAGS;
  if ((flags & (GET | SET | PROBE)) === (GET | SET)) return BAD_FLAGS;
  switch (flags & NUMBER) {
    case VFIO_FEATURE.LOW_POWER_ENTRY:
      return setFeature(flags, call.userSize, 0, () => enterLowPower(device, 'on'));
    case VFIO_FEATURE.LOW_POWER_ENTRY_WITH_WAKEUP:
      return setFeature(flags, call.userSize, WAKEUP_BYTES, () => enterUntilWakeup(kernel, device));
    case VFIO_FEATURE.LOW_POWER_EXIT:
      return setFeature(flags, call.userSize, 0, () => exitLowPower(device));
    case VFIO_FEATURE.PCI_VF_TOKEN:
      return setVfToken(kernel, device, flags);
    case VFIO_FEATURE.DMA_BUF:
      return kernel.profile.has.pciExportsDmabuf ? exportDmabuf(kernel, device, flags) : UNKNOWN_FEATURE;
    case VFIO_FEATURE.MIG_PRECOPY_INFOv2:
      return kernel.profile.has.pciPrecopyInfo2 ? NO_PRECOPY : UNKNOWN_FEATURE;
    default:
      return UNKNOWN_FEATURE;
  }
}

/** `vfio_check_feature` of a feature that can be set only. */
function setFeature(flags: number, argsz: number, dataBytes: number, set: () => Answer): Answer {
  if ((flags & GET) !== 0) return BAD_OPERATION;
  if ((flags & PROBE) !== 0) return null;
  if ((flags & SET) === 0 || argsz - HEAD_BYTES < dataBytes) return BAD_OPERATION;
  return set();
}

/** Only a physical function that makes virtual ones has a token. */
function setVfToken(kernel: Kernel, { facts }: PciDevice, flags: number): Answer {
  const { arg, userSize } = kernel.call;
  if (facts.vfToken === null) return 'not-modelled';
  if (!facts.vfToken) return UNKNOWN_FEATURE;
  return setFeature(flags, userSize, UUID_BYTES, () =>
    arg.length < HEAD_BYTES + UUID_BYTES ? DATA_FAULT : null,
  );
}

/** `vfio_pci_core_feature_dma_buf`, as far as it makes none. Before all other checks the platform decides. */
function exportDmabuf(kernel: Kernel, { facts }: PciDevice, flags: number): Answer {
  const { arg, userSize } = kernel.call;
  if (facts.exportsDmabuf === null) return 'not-modelled';
  if (!facts.exportsDmabuf) return NO_EXPORT;
  if ((flags & SET) !== 0) return BAD_OPERATION;
  if ((flags & PROBE) !== 0) return null;
  if ((flags & GET) === 0 || userSize - HEAD_BYTES < DMABUF_BYTES) return BAD_OPERATION;
  if (arg.length < HEAD_BYTES + DMABUF_BYTES) return DATA_FAULT;
  const asked = new DataView(arg.buffer, arg.byteOffset);
  const rangeCount = asked.getUint32(DMABUF.nr_ranges, true);
  if (rangeCount === 0 || asked.getUint32(DMABUF.flags, true) !== 0) return BAD_EXPORT;
  return asked.getUint32(DMABUF.region_index, true) > REGION.BAR5 ? EXPORT_NOT_BAR : 'not-modelled';
}

function enterLowPower({ open }: PciDevice, how: 'on' | 'until-wakeup'): Answer {
  if (open.lowPower === 'on') return ALREADY_LOW_POWER;
  // Waking up leaves low power, and whether the device slept is not seen.
  if (open.lowPower === 'until-wakeup') return 'not-modelled';
  open.lowPower = how;
  return null;
}

function enterUntilWakeup(kernel: Kernel, device: PciDevice): Answer {
  const { arg } = kernel.call;
  if (arg.length < HEAD_BYTES + WAKEUP_BYTES) return DATA_FAULT;
  const fd = new DataView(arg.buffer, arg.byteOffset).getInt32(WAKEUP.wakeup_eventfd, true);
  if (fd < 0) return NEGATIVE_EVENTFD;
  return checkEventfd(device, fd) ?? enterLowPower(device, 'until-wakeup');
}

function exitLowPower({ open }: PciDevice): Refusal {
  open.lowPower = 'off';
  return null;
}
