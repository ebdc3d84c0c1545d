import { addFile } from '../descriptors.ts';
import { apertureOf, EVERYTHING } from '../drivers/facts.ts';
import { DRIVERS } from '../drivers/index.ts';
import type { Kernel } from '../kernel.ts';
import { type Refusal, reason } from '../reason.ts';
import type { OpenFile, Process, VfioGroup } from '../state.ts';
import {
  attachGroup,
  createType1Container,
  detachGroup,
  type Type1Container,
  type Type1Group,
} from '../type1/container.ts';
import { claimGroup, refuseGroupClaim, releaseClaim } from './owners.ts';

/** /dev/vfio/vfio of the classic driver, and the groups that are set to it: container.c of vfio. */

const NO_IOMMU = reason(
  'container-without-iommu',
  'EINVAL',
  'container.c vfio_group_use_container',
  'the container of the group has no IOMMU type yet',
);

export function openContainer(kernel: Kernel, process: Process, fd: number): void {
  const key = kernel.state.nextContext;
  kernel.state.nextContext += 1;
  kernel.state.vfio.containers[key] = createType1Container(key);
  addFile(kernel, process, fd, 'container', 0, key);
}

export function containerOf(kernel: Kernel, key: number): Type1Container {
  const container = kernel.state.vfio.containers[key];
  if (container === undefined) throw new Error(`there is no container ${key}`);
  return container;
}

/** A container file is gone; groups that are set to it keep it. */
export function closeContainerFile(kernel: Kernel, file: OpenFile): void {
  dropUnused(kernel, file.object);
}

function dropUnused(kernel: Kernel, key: number): void {
  const isOpen = Object.values(kernel.state.files).some(
    ({ kind, object }) => kind === 'container' && object === key,
  );
  if (!isOpen && containerOf(kernel, key).groups.length === 0) delete kernel.state.vfio.containers[key];
}

/** `vfio_container_attach_group`. */
export function setContainer(kernel: Kernel, id: number, group: VfioGroup, file: OpenFile): Refusal {
  const claim = refuseGroupClaim(kernel, id);
  if (claim !== null) return claim;
  const facts = groupFacts(kernel, id);
  const refusal = attachGroup(kernel, containerOf(kernel, file.object), facts);
  if (refusal !== null) return refusal;
  claimGroup(kernel, id, 0);
  group.container = file.object;
  return null;
}

/** `vfio_group_detach_container`. */
export function dropContainer(kernel: Kernel, id: number, group: VfioGroup): void {
  const key = group.container;
  detachGroup(kernel, containerOf(kernel, key), id);
  releaseClaim(kernel, id);
  group.container = 0;
  dropUnused(kernel, key);
}

/** Whether a device of the group can be opened: `vfio_group_use_container`. */
export function refuseContainer(kernel: Kernel, group: VfioGroup): Refusal {
  return containerOf(kernel, group.container).iommu === null ? NO_IOMMU : null;
}

/** The first descriptor of a device holds the container and the group's file. */
export function useContainer(group: VfioGroup, file: OpenFile): void {
  group.containerUsers += 1;
  file.descriptors += 1;
}

function groupFacts(kernel: Kernel, id: number): Type1Group {
  const members = kernel.machine.devices.filter(({ group }) => group === id);
  const [first] = members;
  if (first === undefined) return unlistedGroup(kernel, id);
  const { iommu } = first;
  const reserved = members.flatMap(({ reserved: ranges }) => ranges);
  return {
    id,
    aperture: { ...apertureOf(kernel, iommu) },
    pageSizes: iommu.pageSizes ?? kernel.profile.pageBytes,
    enforceCacheCoherency: DRIVERS[iommu.driver].enforcesCoherency(kernel, { physical: first.index }),
    reserved: reserved.filter(
      (range, at) =>
        reserved.findIndex((o) => o.startPage === range.startPage && o.startOffset === range.startOffset) ===
        at,
    ) as Type1Group['reserved'],
    domainKind: iommu.driver === 'smmuv3' ? iommu.name : iommu.driver,
    isolatedMsi: true,
    canNest: iommu.driver === 'smmuv3',
  };
}

/** A group that the topology does not list: nothing of its IOMMU is known. */
function unlistedGroup(kernel: Kernel, id: number): Type1Group {
  kernel.call.rests.push({ owner: `group ${id}`, fact: 'topology' });
  return {
    id,
    aperture: EVERYTHING,
    pageSizes: kernel.profile.pageBytes,
    enforceCacheCoherency: false,
    reserved: [],
    domainKind: '',
    isolatedMsi: true,
    canNest: false,
  };
}
