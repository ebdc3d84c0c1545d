/** Releases and kernel names: what a kernel string means, and whether a release has a feature or a fix. */

/** Linux releases with iommufd whose tables of commands and struct sizes the model has, oldest first. */
export const RELEASES = [
  ...['6.2', '6.3', '6.4', '6.5', '6.6', '6.7', '6.8', '6.9', '6.10', '6.11', '6.12', '6.13', '6.14'],
  ...['6.15', '6.16', '6.17', '6.18', '6.19', '7.0', '7.1', '7.2', '7.3'],
] as const;
export type Release = string;

/**
 * Newest point release whose fixes are known, by release: a bare "6.12" means 6.12.117. 7.3 is that of
 * 7.3-rc7. Releases that are not listed are known as they were tagged, and a bare name means just that.
 */
export const NEWEST_SUBLEVEL: Readonly<Record<Release, number>> = { '6.12': 117, '7.2': 13 };

/** Point releases whose fixes are known one by one, with the newest of them. */
const RECORDED_UP_TO: Readonly<Record<Release, number>> = { '6.12': 117, '7.3': 4 };

/** From when on kernels have something. */
export interface VersionRule {
  /** First release that has it from the start; null when no release here has. */
  readonly since: Release | null;
  /** First release of which nobody looked whether it has it, when that is before `since`. */
  readonly unknownFrom?: Release;
  /** First point release with it, by the older release that got it back-ported. */
  readonly backports?: Readonly<Record<Release, number>>;
  readonly says: string;
  /** Where the kernel decides it; and how the version is known, if not from the tagged trees. */
  readonly source: string;
}

/** Unknown counts as 'no' in a profile: the older rule. */
export type Presence = 'yes' | 'no' | 'unknown';

/** "6.12.117" as a number that grows with the release; 0 when it is none. */
export function levelOf(release: string): number {
  const parts = /^(\d+)\.(\d+)(?!\d)/.exec(release);
  return parts === null ? 0 : Number(parts[1]) * 1000 + Number(parts[2]);
}

/** Whether a point release has what the rule is about. */
export function presenceIn(rule: VersionRule, release: Release, sublevel: number): Presence {
  const backport = rule.backports?.[release];
  if (backport !== undefined) return sublevel >= backport ? 'yes' : 'no';
  const level = levelOf(release);
  if (rule.since !== null && level >= levelOf(rule.since)) return 'yes';
  return rule.unknownFrom !== undefined && level >= levelOf(rule.unknownFrom) ? 'unknown' : 'no';
}

/** What a kernel string names. */
export interface KernelVersion {
  readonly level: number;
  /** Null when only the release is named. */
  readonly sublevel: number | null;
  /**
   * A release candidate, or a distribution's own count as in "6.8.0-31-generic", which says that there are
   * other fixes in it than the point release has.
   */
  readonly differs: boolean;
}

/** Reads "6.12.117", "6.12.117-amd64", "7.3.0-rc7", "6.8" or "linux-6.8"; null when it is none of these. */
export function parseKernel(text: string): KernelVersion | null {
  const parts = /^(?:linux-)?(\d+)\.(\d+)(?:\.(\d+))?(?![\d.])(.*)$/.exec(text);
  if (parts === null) return null;
  const [, major, minor, sublevel, rest] = parts;
  return {
    level: levelOf(`${major}.${minor}`),
    sublevel: sublevel === undefined ? null : Number(sublevel),
    // 7.3 is known as its seventh candidate.
    differs: /^-(rc)?\d/.test(rest!) && !(major === '7' && minor === '3' && rest === '-rc7'),
  };
}

/** Whether all fixes of that point release are known. */
export function isRecorded(release: Release, sublevel: number | null): boolean {
  if (sublevel === null || sublevel === (NEWEST_SUBLEVEL[release] ?? 0)) return true;
  return sublevel <= (RECORDED_UP_TO[release] ?? 0);
}
