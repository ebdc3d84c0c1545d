/** Which kernel is modelled: its feature level, fixes and configuration. */
export interface Profile {
  readonly name: string;
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
  pageBytes: 4096,
  hugeBytes: 2 * 1024 * 1024,
  tableSlots: 33,
  selftest: true,
};

export const PROFILES: readonly Profile[] = [LINUX_6_12];

export interface ProfileChoice {
  readonly profile: Profile;
  /** False when the trace's kernel has no profile of its own and the nearest one stands in. */
  readonly exact: boolean;
}

/**
 * The profile for a kernel release ("6.12.117") or a profile name ("linux-6.12"). A kernel without a profile
 * gets linux-6.12, and the answer says that it is not exact.
 */
export function chooseProfile(kernel: string | null, pageBytes: number): ProfileChoice {
  const wanted = kernel?.replace(/^linux-/, '') ?? '';
  const exact = /^6\.12(\.|$|-)/.test(wanted) && pageBytes === LINUX_6_12.pageBytes;
  return { profile: { ...LINUX_6_12, pageBytes, hugeBytes: hugeBytesFor(pageBytes) }, exact };
}

/** A huge page is one entry of the second level: PAGE_SIZE / 8 entries of PAGE_SIZE bytes. */
function hugeBytesFor(pageBytes: number): number {
  return (pageBytes / 8) * pageBytes;
}
