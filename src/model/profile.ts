import { IOMMUFD_IOCTLS, LAST_TEST_OP } from '../uapi/index.ts';
import { FEATURES, type FeatureName } from './kernel-features.ts';
import { FIXES, type FixName } from './kernel-fixes.ts';
import {
  isRecorded,
  type KernelVersion,
  levelOf,
  NEWEST_SUBLEVEL,
  parseKernel,
  presenceIn,
  RELEASES,
  type Release,
  type VersionRule,
} from './kernel-versions.ts';
import { isGeneration } from './proposal/generation.ts';

/** Every feature and fix by name: what it means stands in kernel-features.ts and kernel-fixes.ts. */
export const VERSION_RULES: Readonly<Record<FeatureName | FixName, VersionRule>> = { ...FEATURES, ...FIXES };

/** What a kernel can do or has fixed, by name: handlers ask for these and never compare versions. */
export type Features = Readonly<Record<FeatureName | FixName, boolean>>;

/** Which kernel is modelled: its feature level, fixes and configuration. */
export interface Profile {
  /** Different for kernels with different features or fixes: snapshots are kept under it. */
  readonly name: string;
  /** Decides which commands there are and how long their structs. */
  readonly release: Release;
  readonly has: Features;
  readonly pageBytes: number;
  /**
   * Cap of the automatic IOVA's alignment. HPAGE_SIZE with CONFIG_TRANSPARENT_HUGEPAGE, else the page size;
   * older kernels have no cap.
   */
  readonly hugeBytes: number;
  /** Slots of the ioctl table from 0x80 on; 33 with CONFIG_IOMMUFD_TEST. */
  readonly tableSlots: number;
  /** CONFIG_IOMMUFD_TEST. */
  readonly selftest: boolean;
  /** Newest operation of IOMMU_TEST_CMD. */
  readonly lastTestOp: number;
}

export interface ProfileChoice {
  readonly profile: Profile;
  /** False when not all is known of the trace's kernel and the nearest profile stands in. */
  readonly exact: boolean;
}

/** Stands in for a kernel that nobody named. */
const DEFAULT_RELEASE = '6.12';
/** With the selftest's command, 0x3ba0. */
const TEST_TABLE_SLOTS = 33;
const NO_CAP = 2 ** 63;

/**
 * The profile for a kernel release ("6.12.117") or a profile name ("linux-6.12"). A kernel of which not all
 * is known gets the nearest release, without the fixes that it may have got, and the answer says that it is
 * not exact.
 */
export function chooseProfile(kernel: string | null, pageBytes: number): ProfileChoice {
  if (isGeneration(kernel))
    return { profile: { ...profileOf(DEFAULT_RELEASE, 0, pageBytes), name: kernel }, exact: true };
  const named = kernel === null ? null : parseKernel(kernel);
  const release = named === null ? DEFAULT_RELEASE : nearestRelease(named.level);
  const isNamed = named !== null && levelOf(release) === named.level;
  const newest = NEWEST_SUBLEVEL[release] ?? 0;
  const sublevel = (isNamed ? named.sublevel : null) ?? newest;
  const profile = profileOf(release, sublevel, pageBytes);
  return { profile, exact: isNamed && isKnown(release, named) && pageBytes === 4096 };
}

/** The same kernel built without CONFIG_IOMMUFD_TEST: its table ends behind its newest command. */
export function withoutSelftest(profile: Profile): Profile {
  const name = `${profile.name} without selftest`;
  return { ...profile, name, selftest: false, tableSlots: tableSlotsIn(profile.release) };
}

/** Slots that the commands of a release take, without the selftest's. */
export function tableSlotsIn(release: Release): number {
  const commands = IOMMUFD_IOCTLS.filter(({ since }) => levelOf(since) <= levelOf(release));
  return Math.max(...commands.map(({ cmd }) => (cmd & 0xff) - 0x80)) + 1;
}

function isKnown(release: Release, { sublevel, differs }: KernelVersion): boolean {
  const point = sublevel ?? NEWEST_SUBLEVEL[release] ?? 0;
  const isUnknown = NAMES.some((name) => presenceIn(VERSION_RULES[name], release, point) === 'unknown');
  return !differs && !isUnknown && isRecorded(release, sublevel);
}

/** The newest release that is not newer, else the oldest. */
function nearestRelease(level: number): Release {
  return RELEASES.findLast((release) => levelOf(release) <= level) ?? RELEASES[0]!;
}

function profileOf(release: Release, sublevel: number, pageBytes: number): Profile {
  const has = featuresOf(release, sublevel);
  const usual = featuresOf(release, NEWEST_SUBLEVEL[release] ?? 0);
  const isUsual = NAMES.every((name) => has[name] === usual[name]);
  return {
    name: `linux-${release}${isUsual ? '' : `.${sublevel}`}`,
    release,
    has,
    pageBytes,
    hugeBytes: has.capsIovaAlignment ? hugeBytesFor(pageBytes) : NO_CAP,
    tableSlots: TEST_TABLE_SLOTS,
    selftest: true,
    lastTestOp: LAST_TEST_OP.findLast(({ since }) => levelOf(since) <= levelOf(release))!.op,
  };
}

const NAMES = Object.keys(VERSION_RULES) as (FeatureName | FixName)[];

function featuresOf(release: Release, sublevel: number): Features {
  const entries = NAMES.map((name) => [name, presenceIn(VERSION_RULES[name], release, sublevel) === 'yes']);
  return Object.fromEntries(entries) as Features;
}

/** A huge page is one entry of the second level: PAGE_SIZE / 8 entries of PAGE_SIZE bytes. */
function hugeBytesFor(pageBytes: number): number {
  return (pageBytes / 8) * pageBytes;
}
