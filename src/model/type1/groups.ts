import { NONE, someArea } from '../area-table.ts';
import type { IovaRange } from '../iova-space.ts';
import type { Kernel } from '../kernel.ts';
import { type Refusal, reason } from '../reason.ts';
import {
  compareLasts,
  compareStarts,
  compareStartToLast,
  excludeReserved,
  expandToDomains,
  partAbove,
  partBelow,
  resizeToAperture,
} from './iova-list.ts';
import { findMapping, mappingsOf, removeMapping } from './mappings.ts';
import type { Type1Container, Type1Domain, Type1Group, Type1Iommu } from './state.ts';

/** Groups and domains of a container's IOMMU: vfio_iommu_type1.c _open, _release, _attach_, _detach_group. */

const ADDRESS_INVALID = reason(
  'type1-attach-vaddr-invalid',
  'EBUSY',
  'vfio_iommu_type1.c vfio_iommu_type1_attach_group',
  'the user address of a mapping is invalidated: a new domain could not pin',
);
const NO_NESTING = reason(
  'type1-attach-no-nesting',
  'EINVAL',
  'iommu.c iommu_enable_nesting; before Linux 6.13',
  "TYPE1_NESTING was set, and the IOMMU's driver can not enable it",
);
const APERTURE_CONFLICT = reason(
  'type1-attach-aperture-conflict',
  'EINVAL',
  'vfio_iommu_type1.c vfio_iommu_aper_conflict',
  'the aperture has no IOVA in common with the container, or a mapping lies outside of it',
);
const RESERVED_CONFLICT = reason(
  'type1-attach-reserved-conflict',
  'EINVAL',
  'vfio_iommu_type1.c vfio_iommu_resv_conflict',
  'a mapping lies in a reserved region of the group',
);
const NOTHING_USABLE = reason(
  'type1-attach-no-iova-left',
  'EINVAL',
  'vfio_iommu_type1.c vfio_iommu_resv_exclude',
  'apertures and reserved regions leave no usable IOVA',
);
const MSI_NOT_ISOLATED = reason(
  'type1-attach-msi-not-isolated',
  'EPERM',
  'vfio_iommu_type1.c vfio_iommu_type1_attach_group',
  'there is no interrupt remapping, and allow_unsafe_interrupts is off',
);

/** `dma_entry_limit`: the module's default. */
const MAPPINGS_MAX = 65535;

/** `vfio_iommu_type1_open`; it gets its IovaSpace when it is known that it stays. */
export function openIommu(pageBytes: number, v2: boolean, nesting: boolean): Type1Iommu {
  return {
    v2,
    nesting,
    space: 0,
    domains: [],
    iovas: [],
    pageSizes: 2 ** 64 - pageBytes,
    pageBytes,
    available: MAPPINGS_MAX,
    invalidAddresses: 0,
    tracking: false,
    strayBits: {},
  };
}

/** `vfio_iommu_type1_release`: all that is mapped goes. */
export function releaseIommu(kernel: Kernel, container: Type1Container, iommu: Type1Iommu): void {
  removeAll(kernel, container, iommu);
  kernel.spaces.delete(iommu.space);
}

function removeAll(kernel: Kernel, container: Type1Container, iommu: Type1Iommu): void {
  const slots: number[] = [];
  someArea(mappingsOf(kernel, iommu).areas, (slot) => {
    slots.push(slot);
    return false;
  });
  for (const slot of slots) removeMapping(kernel, container, iommu, slot);
}

/**
 * `vfio_iommu_type1_attach_group`, as far as it can be refused by what the model knows; every check comes
 * before the first change.
 */
export function attachToIommu(kernel: Kernel, iommu: Type1Iommu, group: Type1Group): Refusal {
  if (iommu.invalidAddresses > 0) return ADDRESS_INVALID;
  if (iommu.nesting && !group.canNest) return NO_NESTING;
  if (hasApertureConflict(kernel, iommu, group.aperture)) return APERTURE_CONFLICT;
  const isMapped = group.reserved.some(
    (region) => region.kind !== 'direct-relaxable' && isAnyMapped(kernel, iommu, region),
  );
  if (isMapped) return RESERVED_CONFLICT;
  const iovas = excludeReserved(resizeToAperture(iommu.iovas, group.aperture), group.reserved);
  if (iovas.length === 0) return NOTHING_USABLE;
  if (!group.isolatedMsi) return MSI_NOT_ISOLATED;
  const shared = iommu.domains.find(
    ({ kind, enforceCacheCoherency }) =>
      kind === group.domainKind && enforceCacheCoherency === group.enforceCacheCoherency,
  );
  if (shared !== undefined) shared.groups.push(group.id);
  else {
    iommu.domains.unshift(domainFor(group));
    updatePageSizes(kernel, iommu);
  }
  iommu.iovas = iovas;
  return null;
}

function domainFor(group: Type1Group): Type1Domain {
  return {
    kind: group.domainKind,
    enforceCacheCoherency: group.enforceCacheCoherency,
    aperture: { ...group.aperture },
    pageSizes: group.pageSizes,
    groups: [group.id],
  };
}

function isAnyMapped(kernel: Kernel, iommu: Type1Iommu, range: IovaRange): boolean {
  if (iommu.available === MAPPINGS_MAX) return false;
  const { startPage, startOffset, lastPage, lastOffset } = range;
  return findMapping(kernel, iommu, startPage, startOffset, lastPage, lastOffset) !== NONE;
}

/** `vfio_iommu_aper_conflict`. */
function hasApertureConflict(kernel: Kernel, iommu: Type1Iommu, aperture: IovaRange): boolean {
  const first = iommu.iovas[0];
  const last = iommu.iovas.at(-1);
  if (first === undefined || last === undefined) return false;
  if (compareStartToLast(aperture, last) > 0 || compareStartToLast(first, aperture) > 0) return true;
  if (compareStarts(aperture, first) > 0 && isAnyMapped(kernel, iommu, partBelow(first, aperture)))
    return true;
  return compareLasts(aperture, last) < 0 && isAnyMapped(kernel, iommu, partAbove(last, aperture));
}

/** `vfio_update_pgsize_bitmap`: sizes that all domains have, those below a CPU page folded into one. */
function updatePageSizes(kernel: Kernel, iommu: Type1Iommu): void {
  const page = BigInt(kernel.profile.pageBytes);
  let sizes = 2n ** 64n - 1n;
  for (const domain of iommu.domains) sizes &= BigInt(domain.pageSizes);
  if ((sizes & (page - 1n)) !== 0n) sizes = (sizes & ~(page - 1n)) | page;
  iommu.pageSizes = Number(sizes);
  iommu.pageBytes = Number(sizes & -sizes);
}

/**
 * `vfio_iommu_type1_detach_group`. `left` are the groups that stay attached: what they reserve stays
 * reserved, what only this one reserved can be used again.
 */
export function detachFromIommu(
  kernel: Kernel,
  container: Type1Container,
  iommu: Type1Iommu,
  groupId: number,
  left: readonly Type1Group[],
): void {
  let iovas: IovaRange[] = [...iommu.iovas];
  const domain = iommu.domains.find(({ groups }) => groups.includes(groupId));
  if (domain !== undefined) {
    domain.groups = domain.groups.filter((id) => id !== groupId);
    if (domain.groups.length === 0) {
      if (iommu.domains.length === 1) removeAll(kernel, container, iommu);
      iommu.domains = iommu.domains.filter((other) => other !== domain);
      iovas = expandToDomains(iovas, iommu.domains);
      updatePageSizes(kernel, iommu);
    }
  }
  // vfio_iommu_resv_refresh: the whole list anew between its two ends; a list that came out empty is dropped.
  const first = iovas[0];
  const last = iovas.at(-1);
  if (first === undefined || last === undefined) return;
  const { startPage, startOffset } = first;
  const { lastPage, lastOffset } = last;
  const regions = left.flatMap(({ reserved }) => reserved);
  const refreshed = excludeReserved([{ startPage, startOffset, lastPage, lastOffset }], regions);
  if (refreshed.length > 0) iommu.iovas = refreshed;
}
