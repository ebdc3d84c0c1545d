import { about, type Check, inOrder, when } from './check.ts';
import * as if_ from './conditions.ts';

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

/** Pinning pages of any source: user memory, memory files. */
export const PIN: readonly Check[] = inOrder(when(if_.hasFilePages, 'file-not-pinnable'), PIN_USER);

/** io_pagetable.c iopt_table_add_domain: an IOAS gets one more page table, which takes in all its areas. */
export const ADD_DOMAIN: readonly Check[] = inOrder(
  'iommu-page-too-large',
  'areas-misaligned',
  'range-in-use',
  PIN,
  when(if_.hasGenericTable, 'map-without-permission'),
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
  'hole-in-range',
);

/** The driver's own, when a device changes its page table: its requester id, or a PASID of it. */
const DRIVER_RID = inOrder('domain-incompatible', when(if_.hasViommu, 'nested-without-vdevice'));
const DRIVER_PASID = inOrder('pasid-too-large', 'mock-pasid-fails');

/** device.c iommufd_device_change_pt with iommufd_device_do_attach; `target` is the field that names it. */
export function attach(target: string): readonly Check[] {
  return inOrder(
    'attach-target-not-found',
    'attach-target-of-wrong-type',
    'device-already-attached',
    'group-attached-elsewhere',
    when(if_.hasPasid, 'hwpt-not-pasid-compatible'),
    driver(),
    // An IOAS without an automatic page table that fits gets a new one, which is filled once it is attached.
    when(if_.names(target, 'ioas'), ADD_DOMAIN),
  );
}

/** device.c iommufd_device_change_pt with iommufd_device_do_replace: a new page table is filled first. */
export function replace(target: string): readonly Check[] {
  return inOrder(
    'attach-target-not-found',
    'attach-target-of-wrong-type',
    when(if_.names(target, 'ioas'), ADD_DOMAIN),
    'replace-not-attached',
    when(if_.hasPasid, 'hwpt-not-pasid-compatible'),
    driver(),
  );
}

function driver(): readonly Check[] {
  return inOrder(
    'page-table-of-other-driver',
    when(if_.not(if_.byPasid), DRIVER_RID),
    when(if_.byPasid, DRIVER_PASID),
  );
}

/** io_pagetable.c iopt_unmap_iova_range: area by area, lowest first. */
export const UNMAP_AREAS: readonly Check[] = inOrder(
  when(if_.hasViommu, 'area-locked'),
  'area-not-contained',
);
