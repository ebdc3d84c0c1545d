import { VFIO_FEATURE, VFIO_IRQ_SET_FLAGS } from '../../uapi/index.ts';
import { IRQ, IRQ_INDEXES, REGION, REGION_SHIFT } from '../vfio-pci/facts.ts';
import { about, type Check, type Condition, inOrder, numberIn, when } from './check.ts';
import { not } from './conditions.ts';
import { viaGroup } from './vfio-conditions.ts';

/** What vfio-pci checks, in the kernel's order: vfio_pci_core.c, vfio_pci_intrs.c, vfio_pci_rdwr.c. */

const BOUND = inOrder('vfio-device-not-bound');
/** copy_from_user of the fixed part, then argsz. */
const HEAD = inOrder(BOUND, 'vfio-device-struct-unreadable', 'vfio-device-argsz-too-small');

/** What hardware and platform answer, once an earlier reply has told. */
const HARDWARE = inOrder(
  'vfio-hardware-invalid',
  'vfio-hardware-absent',
  'vfio-hardware-busy',
  'vfio-hardware-no-reset',
  'vfio-hardware-io',
);

const { DATA_NONE, DATA_BOOL, DATA_EVENTFD, ACTION_MASK, ACTION_UNMASK, ACTION_TRIGGER } = VFIO_IRQ_SET_FLAGS;
const ACTIONS = ACTION_MASK | ACTION_UNMASK | ACTION_TRIGGER;
const DATA_TYPES = DATA_NONE | DATA_BOOL | DATA_EVENTFD;
const U32_MAX = 0xffffffff;
const SET_IRQS_BYTES = 20;

const indexIs =
  (...indexes: readonly number[]): Condition =>
  (facts) =>
    indexes.includes(numberIn(facts, 'index'));
const actionIs =
  (action: number): Condition =>
  (facts) =>
    (numberIn(facts, 'flags') & ACTIONS) === action;
const dataIs =
  (type: number): Condition =>
  (facts) =>
    (numberIn(facts, 'flags') & DATA_TYPES) === type;
const isFormWrong: Condition = (facts) =>
  numberIn(facts, 'index') >= IRQ_INDEXES ||
  numberIn(facts, 'count') >= U32_MAX - numberIn(facts, 'start') ||
  (numberIn(facts, 'flags') & ~(DATA_TYPES | ACTIONS)) !== 0;
const isHeadShort: Condition = (facts) => numberIn(facts, 'argsz') < SET_IRQS_BYTES;
const INTX = indexIs(IRQ.INTX);
const MSI = indexIs(IRQ.MSI, IRQ.MSIX);
const EVENT = indexIs(IRQ.ERR, IRQ.REQ);

const SET_IRQS = inOrder(
  BOUND,
  'vfio-device-struct-unreadable',
  about('struct', 'vfio-device-argsz-too-small', isHeadShort),
  about('index, count or flags', 'vfio-irq-set-malformed', isFormWrong),
  'vfio-irq-range',
  about('type of data', 'vfio-irq-set-malformed', not(isFormWrong)),
  about('data', 'vfio-device-argsz-too-small', not(isHeadShort)),
  'vfio-irq-data-unreadable',
  'vfio-irq-action-missing',
  when(not(EVENT), 'vfio-irq-not-in-use'),
  when(INTX, when(actionIs(ACTION_MASK), 'vfio-irq-mask-by-event')),
  when(MSI, 'vfio-irq-no-vectors', 'vfio-irq-vector-not-allocated'),
  when(EVENT, when(dataIs(DATA_NONE), 'vfio-irq-no-event-set')),
  when(EVENT, when(not(dataIs(DATA_NONE)), 'vfio-irq-event-count', 'vfio-irq-event-descriptor')),
  when(dataIs(DATA_EVENTFD), 'vfio-device-not-an-eventfd'),
  when(INTX, when(actionIs(ACTION_TRIGGER), HARDWARE)),
);

const featureIs =
  (...features: readonly number[]): Condition =>
  (facts) =>
    features.includes(numberIn(facts, 'flags') & 0xffff);
const exports: Condition = ({ kernel }) => kernel.profile.has.pciExportsDmabuf;
const tellsPrecopy: Condition = ({ kernel }) => kernel.profile.has.pciPrecopyInfo2;
const DMABUF: Condition = (facts) => featureIs(VFIO_FEATURE.DMA_BUF)(facts) && exports(facts);
const PRECOPY: Condition = (facts) =>
  featureIs(VFIO_FEATURE.MIG_PRECOPY_INFOv2)(facts) && tellsPrecopy(facts);
const WAKEUP = featureIs(VFIO_FEATURE.LOW_POWER_ENTRY_WITH_WAKEUP);
const POWER = featureIs(
  VFIO_FEATURE.LOW_POWER_ENTRY,
  VFIO_FEATURE.LOW_POWER_ENTRY_WITH_WAKEUP,
  VFIO_FEATURE.LOW_POWER_EXIT,
);
const TOKEN = featureIs(VFIO_FEATURE.PCI_VF_TOKEN);

const FEATURE = inOrder(
  HEAD,
  'vfio-feature-flags',
  when(DMABUF, 'vfio-feature-no-dmabuf'),
  when(PRECOPY, 'vfio-feature-no-precopy'),
  when((facts) => !DMABUF(facts) && !PRECOPY(facts) && !POWER(facts), 'vfio-feature-unknown'),
  when((facts) => DMABUF(facts) || POWER(facts) || TOKEN(facts), 'vfio-feature-operation'),
  when((facts) => DMABUF(facts) || WAKEUP(facts) || TOKEN(facts), 'vfio-feature-data-unreadable'),
  when(DMABUF, 'vfio-feature-dmabuf-form', 'vfio-feature-dmabuf-region'),
  when(WAKEUP, 'vfio-feature-wakeup-descriptor', 'vfio-device-not-an-eventfd'),
  when(POWER, 'vfio-feature-low-power-entered'),
);

const regionIs =
  (index: number): Condition =>
  ({ call }) =>
    'off' in call && call.off !== null && Number(call.off >> REGION_SHIFT) === index;
const TRANSFER = inOrder(
  'vfio-device-negative-offset',
  BOUND,
  'vfio-device-region-missing',
  when(regionIs(REGION.CONFIG), 'vfio-device-config-range'),
);
/** Of the other regions: BARs, the ROM, VGA. */
const PLACE = when(not(regionIs(REGION.CONFIG)), 'vfio-device-outside-region');

export const VFIO_PCI_ORDER: Readonly<Record<string, readonly Check[]>> = {
  'VFIO_DEVICE_GET_INFO on a device': HEAD,
  'VFIO_DEVICE_GET_REGION_INFO on a device': inOrder(HEAD, 'vfio-device-region-missing'),
  'VFIO_DEVICE_GET_IRQ_INFO on a device': inOrder(HEAD, 'vfio-device-irq-missing'),
  'VFIO_DEVICE_SET_IRQS on a device': SET_IRQS,
  'VFIO_DEVICE_RESET on a device': inOrder(BOUND, 'vfio-device-no-function-reset', HARDWARE),
  'VFIO_DEVICE_GET_PCI_HOT_RESET_INFO on a device': inOrder(
    HEAD,
    'vfio-device-no-bus-reset',
    'vfio-hot-reset-list-too-short',
  ),
  'VFIO_DEVICE_PCI_HOT_RESET on a device': inOrder(
    HEAD,
    'vfio-hot-reset-flags',
    'vfio-hot-reset-proof',
    'vfio-device-no-bus-reset',
    when(
      viaGroup,
      'vfio-hot-reset-too-many-groups',
      'vfio-hot-reset-groups-unreadable',
      'vfio-hot-reset-not-a-group',
    ),
    'vfio-hot-reset-not-owned',
    HARDWARE,
  ),
  'VFIO_DEVICE_IOEVENTFD on a device': inOrder(
    HEAD,
    'vfio-ioeventfd-form',
    'vfio-ioeventfd-place',
    'vfio-ioeventfd-msix-table',
    'vfio-ioeventfd-too-wide',
    'vfio-ioeventfd-exists',
    'vfio-ioeventfd-missing',
    'vfio-ioeventfd-too-many',
    'vfio-device-not-an-eventfd',
  ),
  'VFIO_DEVICE_FEATURE on a device': FEATURE,
  'another ioctl of a device': inOrder(BOUND, 'vfio-device-unknown-command'),
  'read of a device': inOrder(TRANSFER, PLACE),
  'write to a device': inOrder(TRANSFER, when(regionIs(REGION.ROM), 'vfio-device-rom-write'), PLACE),
  'mmap of a device': inOrder(
    BOUND,
    'vfio-device-region-missing',
    'vfio-device-mmap-private',
    'vfio-device-mmap-region',
    'vfio-device-mmap-range',
  ),
};
