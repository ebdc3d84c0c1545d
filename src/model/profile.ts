/** Kernel releases whose tables of commands and struct sizes the model has. */
export type Release = '6.12' | '7.3';

/** What a kernel can do or has fixed, by name: handlers ask for these and never compare versions. */
export interface Features {
  /** Attachments by PASID: HWPT_ALLOC_PASID, and the selftest's PASID operations. */
  readonly pasid: boolean;
  /** vIOMMUs and all that hangs on them: pt_id and hwpt_id of other commands may name one. */
  readonly viommu: boolean;
  /** A paging HWPT may name a fault queue, not only a nested one. */
  readonly faultOnPaging: boolean;
  /** GET_HW_INFO takes the type asked for as an input. */
  readonly hwInfoInputType: boolean;
  /** GET_HW_INFO tells when a device can not use PCI ATS. */
  readonly reportsMissingAts: boolean;
  /** GET_DIRTY_BITMAP refuses a length of zero (a fix that 6.12.117 has and 7.3-rc7 has not). */
  readonly refusesEmptyBitmap: boolean;
  /**
   * The mock IOMMU uses the generic page table: every page size from its own up, user data on a paging HWPT.
   */
  readonly genericMockTable: boolean;
  /** The mock's nested data has the type of page table behind the IOTLB value: 8 bytes, at least 4. */
  readonly nestedDataHasTable: boolean;
  /** Devices have descriptors of their own, which BIND, ATTACH and DETACH. */
  readonly vfioCdev: boolean;
  /** ATTACH and DETACH take a PASID. */
  readonly vfioPasid: boolean;
  /** BIND takes a token of a virtual function. */
  readonly vfioToken: boolean;
  /** VT-d prefers first-stage tables for user space. */
  readonly vtdFirstStage: boolean;
  /** Mapping a dma-buf, and the selftest's operations that make and revoke one. */
  readonly dmabuf: boolean;
}

/** Which kernel is modelled: its feature level, fixes and configuration. */
export interface Profile {
  readonly name: string;
  /** Decides which commands there are and how long their structs. */
  readonly release: Release;
  readonly has: Features;
  readonly pageBytes: number;
  /**
   * HPAGE_SIZE with CONFIG_TRANSPARENT_HUGEPAGE, else the page size: cap of the automatic IOVA's alignment.
   */
  readonly hugeBytes: number;
  /** Slots of the ioctl table from 0x80 on; 33 with CONFIG_IOMMUFD_TEST. */
  readonly tableSlots: number;
  /** CONFIG_IOMMUFD_TEST. */
  readonly selftest: boolean;
}

const LINUX_6_12: Profile = {
  name: 'linux-6.12',
  release: '6.12',
  has: {
    pasid: false,
    viommu: false,
    faultOnPaging: false,
    hwInfoInputType: false,
    reportsMissingAts: false,
    refusesEmptyBitmap: true,
    genericMockTable: false,
    nestedDataHasTable: false,
    vfioCdev: true,
    vfioPasid: false,
    vfioToken: false,
    vtdFirstStage: false,
    dmabuf: false,
  },
  pageBytes: 4096,
  hugeBytes: 2 * 1024 * 1024,
  tableSlots: 33,
  selftest: true,
};

const LINUX_7_3: Profile = {
  ...LINUX_6_12,
  name: 'linux-7.3',
  release: '7.3',
  has: {
    pasid: true,
    viommu: true,
    faultOnPaging: true,
    hwInfoInputType: true,
    reportsMissingAts: true,
    refusesEmptyBitmap: false,
    genericMockTable: true,
    nestedDataHasTable: true,
    vfioCdev: true,
    vfioPasid: true,
    vfioToken: true,
    vtdFirstStage: true,
    dmabuf: true,
  },
};

/** Oldest first. */
export const PROFILES: readonly Profile[] = [LINUX_6_12, LINUX_7_3];

export interface ProfileChoice {
  readonly profile: Profile;
  /** False when the trace's kernel has no profile of its own and the nearest one stands in. */
  readonly exact: boolean;
}

/**
 * The profile for a kernel release ("6.12.117") or a profile name ("linux-6.12"). A kernel without a profile
 * gets the newest one that is not newer, else the oldest, and the answer says that it is not exact.
 */
export function chooseProfile(kernel: string | null, pageBytes: number): ProfileChoice {
  const wanted = levelOf(kernel?.replace(/^linux-/, '') ?? '');
  let chosen = PROFILES[0]!;
  for (const profile of PROFILES) if (levelOf(profile.release) <= wanted) chosen = profile;
  const exact = levelOf(chosen.release) === wanted && pageBytes === chosen.pageBytes;
  return { profile: { ...chosen, pageBytes, hugeBytes: hugeBytesFor(pageBytes) }, exact };
}

/** "6.12.117" as a number that grows with the release; 0 when it is none. */
export function levelOf(release: string): number {
  const parts = /^(\d+)\.(\d+)(?!\d)/.exec(release);
  return parts === null ? 0 : Number(parts[1]) * 1000 + Number(parts[2]);
}

/** A huge page is one entry of the second level: PAGE_SIZE / 8 entries of PAGE_SIZE bytes. */
function hugeBytesFor(pageBytes: number): number {
  return (pageBytes / 8) * pageBytes;
}
