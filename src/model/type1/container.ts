import { CMD, VFIO_EXTENSION } from '../../uapi/index.ts';
import { type Answer, createSpaceFor, type Kernel } from '../kernel.ts';
import { type Refusal, reason } from '../reason.ts';
import { dirtyPages } from './dirty-pages.ts';
import { attachToIommu, detachFromIommu, openIommu, releaseIommu } from './groups.ts';
import { getIommuInfo } from './info.ts';
import { mapDma } from './map.ts';
import type { Type1Container, Type1Group } from './state.ts';
import { unmapDma } from './unmap.ts';

export type { ReservedRegion, Type1Container, Type1Group } from './state.ts';

/**
 * /dev/vfio/vfio as vfio.ko serves it, with vfio_iommu_type1 as its one IOMMU driver (CONFIG_VFIO_NOIOMMU is
 * off): container.c.
 */

const NO_GROUP = reason(
  'type1-set-iommu-no-group',
  'EINVAL',
  'container.c vfio_ioctl_set_iommu',
  'no group is set to the container',
);
const ALREADY_SET = reason(
  'type1-set-iommu-again',
  'EINVAL',
  'container.c vfio_ioctl_set_iommu',
  'the IOMMU type of the container is set already',
);
const NO_DRIVER = reason(
  'type1-set-iommu-no-driver',
  'ENODEV',
  'container.c vfio_ioctl_set_iommu',
  'no IOMMU driver offers the extension that the IOMMU type is',
);
const NOT_A_TYPE = reason(
  'type1-set-iommu-not-a-type',
  'EINVAL',
  'vfio_iommu_type1.c vfio_iommu_type1_open',
  'the extension is offered, but is no IOMMU type',
);
const NO_IOMMU_YET = reason(
  'type1-no-iommu-yet',
  'EINVAL',
  'container.c vfio_fops_unl_ioctl',
  'the IOMMU type of the container is not set: it takes no commands of an IOMMU driver',
);
const UNKNOWN_COMMAND = reason(
  'type1-command-unknown',
  'ENOTTY',
  'vfio_iommu_type1.c vfio_iommu_type1_ioctl',
  'the IOMMU driver has no such command',
);

/**
 * Opens /dev/vfio/vfio. `key` names the container in effects; no context of iommufd may have it as its id.
 */
export function createType1Container(key: number): Type1Container {
  return { key, groups: [], iommu: null };
}

/** `vfio_fops_unl_ioctl`: one ioctl on the container's descriptor; `kernel.call` holds the user's struct. */
export function type1Ioctl(kernel: Kernel, container: Type1Container, cmd: number): Answer {
  const { iommu } = container;
  switch (cmd) {
    case CMD.VFIO_GET_API_VERSION:
      return null;
    case CMD.VFIO_CHECK_EXTENSION:
      kernel.call.ret = hasExtension(kernel, container, Number(kernel.call.argument)) ? 1 : 0;
      return null;
    case CMD.VFIO_SET_IOMMU:
      return setIommu(kernel, container);
    default:
      if (iommu === null) return NO_IOMMU_YET;
  }
  switch (cmd) {
    case CMD.VFIO_IOMMU_GET_INFO:
      return getIommuInfo(kernel, iommu);
    case CMD.VFIO_IOMMU_MAP_DMA:
      return mapDma(kernel, container, iommu);
    case CMD.VFIO_IOMMU_UNMAP_DMA:
      return unmapDma(kernel, container, iommu);
    case CMD.VFIO_IOMMU_DIRTY_PAGES:
      return dirtyPages(kernel, iommu);
    default:
      return UNKNOWN_COMMAND;
  }
}

/** `vfio_iommu_type1_check_extension`: what hangs on the attached groups is not there before SET_IOMMU. */
function hasExtension(kernel: Kernel, { iommu }: Type1Container, extension: number): boolean {
  switch (extension) {
    case VFIO_EXTENSION.TYPE1:
    case VFIO_EXTENSION.TYPE1v2:
    case VFIO_EXTENSION.UNMAP_ALL:
      return true;
    case VFIO_EXTENSION.TYPE1_NESTING:
      return !kernel.profile.has.withoutType1Nesting;
    case VFIO_EXTENSION.UPDATE_VADDR:
      return iommu !== null;
    case VFIO_EXTENSION.DMA_CC:
      return iommu?.domains.every(({ enforceCacheCoherency }) => enforceCacheCoherency) ?? false;
    default:
      return false;
  }
}

/** `vfio_ioctl_set_iommu`: the driver that offers the type attaches all groups, the newest first. */
function setIommu(kernel: Kernel, container: Type1Container): Refusal {
  const type = Number(kernel.call.argument);
  if (container.groups.length === 0) return NO_GROUP;
  if (container.iommu !== null) return ALREADY_SET;
  // The kernel asks without an IOMMU, which none is set here.
  if (!hasExtension(kernel, container, type)) return NO_DRIVER;
  if (type === VFIO_EXTENSION.UNMAP_ALL) return NOT_A_TYPE;
  const nesting = type === VFIO_EXTENSION.TYPE1_NESTING;
  const iommu = openIommu(kernel.profile.pageBytes, type !== VFIO_EXTENSION.TYPE1, nesting);
  for (const group of container.groups) {
    const refusal = attachToIommu(kernel, iommu, group);
    if (refusal !== null) return refusal;
  }
  container.iommu = { ...iommu, space: createSpaceFor(kernel) };
  return null;
}

/**
 * VFIO_GROUP_SET_CONTAINER's part: `vfio_container_attach_group`. That the group has no container yet and can
 * be taken from its drivers is for the caller to check. The container keeps a copy of the facts.
 */
export function attachGroup(kernel: Kernel, container: Type1Container, group: Type1Group): Refusal {
  const refusal = container.iommu === null ? null : attachToIommu(kernel, container.iommu, group);
  if (refusal !== null) return refusal;
  const reserved = group.reserved.map((region) => ({ ...region }));
  container.groups.unshift({ ...group, aperture: { ...group.aperture }, reserved });
  return null;
}

/** `vfio_group_detach_container`: with the last group the IOMMU goes, and all that was mapped. */
export function detachGroup(kernel: Kernel, container: Type1Container, groupId: number): void {
  const { iommu } = container;
  container.groups = container.groups.filter(({ id }) => id !== groupId);
  if (iommu === null) return;
  detachFromIommu(kernel, container, iommu, groupId, container.groups);
  if (container.groups.length > 0) return;
  releaseIommu(kernel, container, iommu);
  container.iommu = null;
}
