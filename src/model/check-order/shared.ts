import { about, type Check, type Condition, inOrder, when } from './check.ts';
import * as if_ from './conditions.ts';
import { DRIVER_ATTACH, isReadOnlyParent, newTableNeedsPermission } from './drivers.ts';
import { deviceRangeInUse } from './reserved.ts';
import { driverIs } from './vfio-conditions.ts';

/** Runs of checks that several commands share. */

/** main.c iommufd_fops_ioctl, before the command's own. */
export const DISPATCHER: readonly Check[] = inOrder(
  about('size', 'struct-unreadable'),
  'command-unknown',
  'struct-too-small',
  'struct-tail-not-zero',
  about('struct', 'struct-unreadable'),
);

/** Writing the struct back: iommufd_ucmd_respond. */
export const ANSWER: Check = about('answer', 'user-buffer-fault');

/** pages.c iopt_alloc_user_pages, iopt_alloc_pages: user memory, before the IOAS is looked at. */
export const USER_PAGES: readonly Check[] = inOrder(
  when(if_.hasFilePages, 'user-address-wraps'),
  'length-zero',
  'length-too-long',
  when(if_.not(if_.hasFilePages), 'user-address-wraps'),
);

/** io_pagetable.c iopt_check_iova: an IOVA that the caller chose. */
export const FIXED_IOVA: readonly Check[] = inOrder(
  'iova-misaligned',
  'iova-wraps',
  'iova-in-reserved-range',
  'iova-already-mapped',
);

/** io_pagetable.c iopt_alloc_area_pages: the place in the IOAS. */
export const PLACE: readonly Check[] = inOrder(
  'length-misaligned',
  when(if_.automatic, 'length-half-of-space', 'user-va-misaligned', 'no-iova-space'),
  when(if_.fixed, FIXED_IOVA),
);

/** pages.c pfn_reader_user_pin: user memory. */
export const PIN_USER: readonly Check[] = inOrder('page-range-wraps', 'user-memory-not-pinnable');

/** pages.c do_update_pinned: after the pages are pinned and mapped. */
export const CHARGE: readonly Check[] = inOrder(
  when(if_.countsBy('user'), 'locked-memory-of-user'),
  when(if_.countsBy('mm'), 'locked-memory-of-process'),
);

/** Pinning pages of any source: user memory, memory files. */
export const PIN: readonly Check[] = inOrder(when(if_.hasFilePages, 'file-not-pinnable'), PIN_USER);

/** What the page tables that are filled say of a mapping without permissions, and of a read-only one. */
export function protection(needsPermission: Condition, needsWrite: Condition): readonly Check[] {
  return inOrder(when(needsPermission, 'map-without-permission'), when(needsWrite, 'nest-parent-read-only'));
}

/** io_pagetable.c iopt_table_add_domain: an IOAS gets one more page table, which takes in all its areas. */
export const ADD_DOMAIN: readonly Check[] = inOrder(
  'iommu-page-too-large',
  'areas-misaligned',
  about('aperture', 'range-in-use', if_.not(deviceRangeInUse)),
  PIN,
  protection(newTableNeedsPermission, isReadOnlyParent),
  CHARGE,
);

/** device.c iommufd_access_pin_pages, pages.c iopt_area_add_access: area by area. */
export const PIN_BY_ACCESS: readonly Check[] = inOrder(
  'access-length-zero',
  'access-range-wraps',
  'access-not-attached',
  'pin-not-page-aligned',
  'area-permission-missing',
  when(if_.hasFilePages, 'access-pins-dmabuf'),
  PIN,
  CHARGE,
  'hole-in-range',
);

/** device.c iommufd_device_attach_reserved_iova: what the device reserves; the mock ones reserve nothing. */
const DEVICE_RANGES = when(
  if_.not(driverIs('mock')),
  when(if_.not(if_.byPasid), about('device', 'range-in-use', deviceRangeInUse)),
);

/** An IOAS without an automatic page table that fits gets a new one: the driver may have none. */
const NEW_TABLE = when(driverIs('vtd'), 'vtd-flags-unsupported');

/** device.c iommufd_device_change_pt with iommufd_device_do_attach. */
export function attach(toIoas: Condition): readonly Check[] {
  return inOrder(
    'attach-target-not-found',
    'attach-target-of-wrong-type',
    when(toIoas, NEW_TABLE),
    'device-already-attached',
    'group-attached-elsewhere',
    DEVICE_RANGES,
    when(if_.hasPasid, 'hwpt-not-pasid-compatible'),
    DRIVER_ATTACH,
    // A new page table is filled once it is attached.
    when(toIoas, ADD_DOMAIN),
  );
}

/** device.c iommufd_device_change_pt with iommufd_device_do_replace: a new page table is filled first. */
export function replace(toIoas: Condition): readonly Check[] {
  return inOrder(
    'attach-target-not-found',
    'attach-target-of-wrong-type',
    when(toIoas, NEW_TABLE, ADD_DOMAIN),
    'replace-not-attached',
    DEVICE_RANGES,
    when(if_.hasPasid, 'hwpt-not-pasid-compatible'),
    DRIVER_ATTACH,
  );
}

/** io_pagetable.c iopt_unmap_iova_range: area by area, lowest first. */
export const UNMAP_AREAS: readonly Check[] = inOrder(
  when(if_.hasViommu, 'area-locked'),
  'area-not-contained',
);
