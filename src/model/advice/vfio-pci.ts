import type { AdviceTable } from './advice.ts';

/** Refusals of vfio-pci: regions, interrupts, resets and features of a device. */
export const VFIO_PCI_ADVICE: AdviceTable = {
  'vfio-device-unknown-command': [
    'ATTACH or DETACH is given to a descriptor from a group, or the command is of another bus driver',
    'attach by the container of the group, or open the device as /dev/vfio/devices/vfioN',
  ],
  'vfio-device-struct-unreadable': [
    'the pointer is wrong, or less memory than argsz is mapped behind it',
    'give a pointer to the whole struct',
  ],
  'vfio-device-argsz-too-small': [
    'argsz was not set, or does not include the data that count asks for',
    'set argsz to the size of the struct plus its data',
  ],
  'vfio-device-region-missing': [
    'the index is counted past num_regions of GET_INFO, or VGA is asked of a device that is no display',
    'ask for indexes below num_regions only, and take EINVAL for VGA as absent',
  ],
  'vfio-device-irq-missing': [
    'the index is past the request interrupt, or that of errors is asked of a device that is not PCI Express',
    'ask for indexes below num_irqs of GET_INFO, and take EINVAL as absent',
  ],
  'vfio-device-not-an-eventfd': [
    'the eventfd was closed and its number reused, or another descriptor is passed',
    'give a descriptor of eventfd(), or -1 to take one away',
  ],
  'vfio-device-no-bus-reset': [
    'the device sits on the root bus, or its bridge can not reset what is below it',
    'use VFIO_DEVICE_RESET, or do without',
  ],
  'vfio-device-no-function-reset': [
    'the device has neither FLR nor another reset of its own; GET_INFO lacks the RESET flag',
    'use a hot reset of the bus when all its functions are owned, or do without',
  ],
  'vfio-device-negative-offset': [
    'the offset is computed from a region that GET_REGION_INFO did not fill in',
    'add to the offset that GET_REGION_INFO answers',
  ],
  'vfio-device-config-range': [
    'the extended config space is read on a device that has the first 256 bytes only',
    'stay below the size of the config region',
  ],
  'vfio-device-outside-region': [
    'the access lies behind the end of a BAR, or the BAR or ROM is not there',
    'stay below the size that GET_REGION_INFO answers; skip regions of size 0',
  ],
  'vfio-device-rom-write': [
    'all regions are treated as writable',
    'look at the WRITE flag of GET_REGION_INFO',
  ],
  'vfio-device-mmap-private': ['MAP_PRIVATE is given', 'map with MAP_SHARED'],
  'vfio-device-mmap-region': [
    'config space, the ROM or a BAR of ports or of less than a page is mapped',
    'map regions with the MMAP flag only; read and write the others',
  ],
  'vfio-device-mmap-range': [
    'the length is rounded up to more than the pages of the region',
    'map no more than the size that GET_REGION_INFO answers',
  ],
  'vfio-irq-set-malformed': [
    'two of DATA_NONE, DATA_BOOL and DATA_EVENTFD are set, or none, or the index is that of no interrupt',
    'set exactly one type of data and an index below num_irqs',
  ],
  'vfio-irq-range': [
    'more vectors are asked for than GET_IRQ_INFO counts, or the device has no such kind of interrupt',
    'keep start + count within count of GET_IRQ_INFO',
  ],
  'vfio-irq-data-unreadable': [
    'argsz says more data than is mapped behind the struct',
    'give the array of eventfds or bools behind the struct',
  ],
  'vfio-irq-action-missing': [
    'MSI is to be masked as INTx can be, or several actions are set at once',
    'set exactly one action; mask vectors in the table of the device',
  ],
  'vfio-irq-not-in-use': [
    'the interrupt is masked, triggered or switched off before it was switched on, or INTx, MSI and MSI-X are mixed',
    'switch the other kind off by count 0 with DATA_NONE, then this one on by eventfds',
  ],
  'vfio-irq-mask-by-event': [
    'an eventfd is given to mask INTx, where only unmasking takes one',
    'mask by DATA_NONE or DATA_BOOL',
  ],
  'vfio-irq-no-vectors': [
    'MSI or MSI-X is to be switched on with a count of 0',
    'give at least one vector; an eventfd of -1 holds a place',
  ],
  'vfio-irq-vector-not-allocated': [
    'a vector above those of the first call is set, on MSI or on a platform that can not add MSI-X vectors',
    'switch off, then on again with all vectors; NORESIZE of GET_IRQ_INFO says whether that is needed',
  ],
  'vfio-irq-no-event-set': [
    'the error or request interrupt is triggered or taken away before an eventfd was set',
    'set the eventfd first; nothing needs to be taken away',
  ],
  'vfio-irq-event-count': ['count is left at 0 for the error or request interrupt', 'set count to 1'],
  'vfio-irq-event-descriptor': [
    'the errno of a failed eventfd() is passed on as a descriptor',
    'check what eventfd() returned, and give -1 to take the eventfd away',
  ],
  'vfio-hot-reset-list-too-short': [
    'the first of two calls, which asks for the count only',
    'call again with argsz for count entries',
  ],
  'vfio-hot-reset-flags': ['flags were not cleared', 'set flags to 0'],
  'vfio-hot-reset-proof': [
    'count is 0 on a descriptor from a group, or groups are given on one of /dev/vfio/devices',
    'give the groups of all functions, or none when the devices are bound to an iommufd',
  ],
  'vfio-hot-reset-too-many-groups': [
    'count is larger than the functions that the reset hits',
    'give each group once: GET_PCI_HOT_RESET_INFO lists them',
  ],
  'vfio-hot-reset-groups-unreadable': [
    'count says more descriptors than are behind the struct',
    'give an array of count group descriptors',
  ],
  'vfio-hot-reset-not-a-group': [
    'descriptors of devices or containers are given instead of groups',
    'give descriptors of /dev/vfio/N',
  ],
  'vfio-hot-reset-not-owned': [
    'another function of the bus belongs to another program, or to another driver than vfio-pci',
    'bind all functions that GET_PCI_HOT_RESET_INFO lists to vfio-pci, and take all of them',
  ],
  'vfio-ioeventfd-form': [
    'the size is missing from the flags, or a failed eventfd() is passed on',
    'set exactly one of SIZE_8 to SIZE_64, and a descriptor, or -1 to take it away',
  ],
  'vfio-ioeventfd-place': [
    'the offset is that within the BAR, without the offset of the region',
    'add to the offset that GET_REGION_INFO answers, and stay inside the BAR',
  ],
  'vfio-ioeventfd-too-wide': [
    'this kernel does not write eight bytes to a BAR at once',
    'use SIZE_32 or below',
  ],
  'vfio-ioeventfd-msix-table': [
    'a doorbell shares its page with the MSI-X table, or the offset is wrong',
    'handle writes to the table in the program',
  ],
  'vfio-ioeventfd-exists': [
    'the same write is registered twice, for instance after the guest moved its BAR',
    'take the old one away by a descriptor of -1 first',
  ],
  'vfio-ioeventfd-missing': [
    'it was taken away before, or registered with other data or size',
    'give exactly offset, data and size of the registration',
  ],
  'vfio-ioeventfd-too-many': [
    'one is registered per data value of a doorbell',
    'take away those that are no longer used; 1000 is the limit per device',
  ],
  'vfio-feature-flags': [
    'the number of the feature does not fit 16 bits, or GET and SET are both set',
    'set GET or SET; add PROBE to ask which of them there are',
  ],
  'vfio-feature-unknown': [
    'migration or DMA logging is asked of vfio-pci, or the feature is of a newer kernel',
    'ask by PROBE, and take ENOTTY as absent; migration needs a driver for the device',
  ],
  'vfio-feature-operation': [
    'a feature that can be set only is read, PROBE, GET and SET are all missing, or argsz has no room for the data',
    'ask by PROBE which operations there are, and add the size of the data to argsz',
  ],
  'vfio-feature-no-precopy': [
    'pre-copy is asked of a device that vfio-pci can not migrate',
    'read the MIGRATION feature first',
  ],
  'vfio-feature-data-unreadable': [
    'argsz says more than is mapped behind the struct',
    'give the data of the feature behind the struct',
  ],
  'vfio-feature-no-dmabuf': [
    'the platform or the device does not offer peer-to-peer DMA',
    'map the BAR by mmap instead',
  ],
  'vfio-feature-dmabuf-form': [
    'nr_ranges is 0, or flags were not cleared',
    'give at least one range, and flags of 0',
  ],
  'vfio-feature-dmabuf-region': [
    'the ROM, the config space or a region of the driver is to be exported',
    'export BARs only',
  ],
  'vfio-feature-wakeup-descriptor': [
    'a failed eventfd() is passed on',
    'give an eventfd, or use LOW_POWER_ENTRY without one',
  ],
  'vfio-feature-low-power-entered': ['low power is entered twice', 'leave it by LOW_POWER_EXIT in between'],
  'vfio-hardware-invalid': [
    'the device or platform lacks what the call needs, as an earlier call has shown',
    'do without it on this machine',
  ],
  'vfio-hardware-absent': [
    'the device has no such line or function, as an earlier call has shown',
    'use MSI or MSI-X where INTx is missing',
  ],
  'vfio-hardware-busy': [
    'a line of INTx is shared with another driver and the device can not mask it, as an earlier call has shown',
    'use MSI or MSI-X, or unbind the other driver',
  ],
  'vfio-hardware-no-reset': [
    'every way to reset the device failed before',
    'do without the reset, or reset the whole slot',
  ],
  'vfio-hardware-io': [
    'the device did not answer the same call before',
    'look at the kernel log: the device may be broken or powered off',
  ],
};
