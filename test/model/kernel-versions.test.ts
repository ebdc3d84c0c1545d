import { describe, expect, test } from 'vitest';
import { commandsIn } from '../../src/model/dispatch.ts';
import { chooseProfile, createKernel, snapshotVersion, withoutSelftest } from '../../src/model/index.ts';
import { FEATURES } from '../../src/model/kernel-features.ts';
import { FIXES } from '../../src/model/kernel-fixes.ts';
import { NEWEST_SUBLEVEL, presenceIn, RELEASES, type VersionRule } from '../../src/model/kernel-versions.ts';
import { VERSION_RULES } from '../../src/model/profile.ts';
import {
  buildStruct,
  CMD,
  ERRNO,
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_INVALIDATE,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FILE,
  IOMMU_TEST_CMD,
  IOMMU_VIOMMU_ALLOC,
} from '../../src/uapi/index.ts';
import { startSession } from '../support/session.ts';

/** What a command answers to that struct. */
function errnoOf(kernel: string, cmd: number, arg: Uint8Array): number {
  const session = startSession(createKernel(chooseProfile(kernel, 4096).profile));
  session.open(3);
  return session.ioctl(3, cmd, arg).errno;
}

/** A struct of that size whose last byte is set. */
function tailed(arg: Uint8Array, size: number): Uint8Array {
  const longer = new Uint8Array(size);
  longer.set(arg.subarray(0, size));
  new DataView(longer.buffer).setUint32(0, size, true);
  longer[size - 1] = 1;
  return longer;
}

describe('a command', () => {
  const { ENOTTY, EFAULT, EINVAL, E2BIG, ENOENT } = ERRNO;
  const queue = buildStruct(IOMMU_FAULT_QUEUE_ALLOC, {});
  const hwpt = buildStruct(IOMMU_HWPT_ALLOC, {});

  test.each([
    ['6.2', CMD.IOMMU_HWPT_ALLOC, hwpt, ENOTTY],
    ['6.5', CMD.IOMMU_HWPT_ALLOC, hwpt, ENOTTY],
    ['6.6', CMD.IOMMU_HWPT_ALLOC, hwpt, ENOENT],
    ['6.8', CMD.IOMMU_FAULT_QUEUE_ALLOC, queue, ENOTTY],
    ['6.10', CMD.IOMMU_FAULT_QUEUE_ALLOC, queue, ENOTTY],
    ['6.11', CMD.IOMMU_FAULT_QUEUE_ALLOC, queue, 0],
    ['6.7', CMD.IOMMU_HWPT_INVALIDATE, buildStruct(IOMMU_HWPT_INVALIDATE, {}), ENOTTY],
    ['6.8', CMD.IOMMU_HWPT_INVALIDATE, buildStruct(IOMMU_HWPT_INVALIDATE, {}), ENOENT],
    ['6.12', CMD.IOMMU_IOAS_MAP_FILE, buildStruct(IOMMU_IOAS_MAP_FILE, {}), ENOTTY],
    ['6.13', CMD.IOMMU_IOAS_MAP_FILE, buildStruct(IOMMU_IOAS_MAP_FILE, {}), EINVAL],
  ])('of %s: %i', (kernel, cmd, arg, errno) => {
    expect(errnoOf(kernel, cmd, arg)).toBe(errno);
  });

  test.each([
    ['6.6', CMD.IOMMU_HWPT_ALLOC, hwpt, 24],
    ['6.7', CMD.IOMMU_HWPT_ALLOC, hwpt, 40],
    ['6.10', CMD.IOMMU_HWPT_ALLOC, hwpt, 40],
    ['6.11', CMD.IOMMU_HWPT_ALLOC, hwpt, 48],
    ['6.16', CMD.IOMMU_VIOMMU_ALLOC, buildStruct(IOMMU_VIOMMU_ALLOC, {}), 24],
    ['6.17', CMD.IOMMU_VIOMMU_ALLOC, buildStruct(IOMMU_VIOMMU_ALLOC, {}), 40],
    ['6.5', CMD.IOMMU_TEST_CMD, buildStruct(IOMMU_TEST_CMD, {}), 56],
    ['6.8', CMD.IOMMU_TEST_CMD, buildStruct(IOMMU_TEST_CMD, {}), 72],
  ])('of %s, %i, refuses what comes behind its struct', (kernel, cmd, arg, bytes) => {
    expect(errnoOf(kernel, cmd, tailed(arg, bytes + 8))).toBe(E2BIG);
    expect(errnoOf(kernel, cmd, tailed(arg, bytes))).not.toBe(E2BIG);
  });

  test('of the selftest has its smallest size too', () => {
    const short = buildStruct(IOMMU_TEST_CMD, { size: 52 }).slice(0, 52);
    expect(errnoOf('6.5', CMD.IOMMU_TEST_CMD, short)).toBe(ERRNO.EOPNOTSUPP);
    expect(errnoOf('6.8', CMD.IOMMU_TEST_CMD, short)).toBe(EINVAL);
  });

  test('beyond the table is unknown before any memory is read, a hole in it is not', () => {
    const { profile } = chooseProfile('6.8', 4096);
    const plain = startSession(createKernel(withoutSelftest(profile)));
    plain.open(3);
    const unreadable = new Uint8Array(0);
    expect(plain.ioctl(3, CMD.IOMMU_FAULT_QUEUE_ALLOC, unreadable).errno).toBe(ENOTTY);
    expect(plain.ioctl(3, CMD.IOMMU_HWPT_INVALIDATE, unreadable).errno).toBe(EFAULT);
    expect(errnoOf('6.8', CMD.IOMMU_FAULT_QUEUE_ALLOC, unreadable)).toBe(EFAULT);
    expect(errnoOf('6.8', CMD.IOMMU_FAULT_QUEUE_ALLOC, queue)).toBe(ENOTTY);
  });

  test('of a release is there in all later ones, and no struct shrinks', () => {
    let before = commandsIn(RELEASES[0]!);
    for (const release of RELEASES) {
      const now = new Map(commandsIn(release).map((entry) => [entry.cmd, entry]));
      for (const { cmd, bytes } of before) {
        expect(now.get(cmd)?.bytes, `${release} ${cmd}`).toBeGreaterThanOrEqual(bytes);
      }
      before = [...now.values()];
    }
    expect(before).toHaveLength(23);
  });
});

describe('a profile', () => {
  test('keeps its features in later releases, and its fixes in later point releases', () => {
    for (const [name, rule] of Object.entries(FEATURES) as [string, VersionRule][]) {
      const has = RELEASES.map((release) => presenceIn(rule, release, NEWEST_SUBLEVEL[release] ?? 0));
      const order = has.map((presence) => ['no', 'unknown', 'yes'].indexOf(presence));
      expect(order, name).toEqual([...order].sort());
      expect(has.includes('yes'), name).toBe(true);
    }
    for (const rule of Object.values(FIXES) as VersionRule[]) {
      for (const [release, sublevel] of Object.entries(rule.backports ?? {})) {
        expect(presenceIn(rule, release, sublevel - 1)).toBe('no');
        expect(presenceIn(rule, release, sublevel)).toBe('yes');
        expect(presenceIn(rule, release, sublevel + 1)).toBe('yes');
      }
    }
  });

  test('has a name and a snapshot version of its own when its features differ', () => {
    const kernels = [
      ...RELEASES,
      ...Array.from({ length: 118 }, (_, sublevel) => `6.12.${sublevel}`),
      ...['6.17.8', '6.17.9', '7.3.3', '7.3.4'],
    ];
    const byVersion = new Map<string, string>();
    for (const kernel of kernels) {
      const { profile } = chooseProfile(kernel, 4096);
      const facts = JSON.stringify([profile.release, profile.has, profile.lastTestOp]);
      const version = snapshotVersion(profile);
      expect(byVersion.get(version) ?? facts, version).toBe(facts);
      byVersion.set(version, facts);
    }
    expect(new Set(byVersion.values()).size).toBeGreaterThan(RELEASES.length);
  });

  test('of 6.12 and 7.3 has what it had when there were no others', () => {
    const has = (kernel: string): string[] => {
      const features = Object.entries(chooseProfile(kernel, 4096).profile.has);
      return features.filter(([, isThere]) => isThere).map(([name]) => name);
    };
    expect(has('6.12')).toEqual(has('6.12.117'));
    const before612 = [
      'mockDevice',
      'vfioCdev',
      'mockTellsDevice',
      'alignsInfoCaps',
      'nesting',
      'faultQueues',
      'capsIovaAlignment',
    ];
    const fixes612 = [
      'replaceNeedsAttachment',
      'hwInfoPasid',
      'refusesFaultOnNestParent',
      'emptyUnmapSucceeds',
    ];
    const late612 = ['answersWriteFault', 'boundsInvalidation', 'strictFaultRead', 'refusesEmptyBitmap'];
    expect(has('6.12')).toEqual([...before612, ...fixes612, ...late612]);
    const all = Object.keys(VERSION_RULES);
    expect(has('7.3')).toEqual(all.filter((name) => name !== 'refusesEmptyBitmap'));
    expect(has('7.3.4')).toEqual(all);
    expect(chooseProfile('7.3', 4096).profile).toMatchObject({ hugeBytes: 2 ** 21, lastTestOp: 23 });
  });
});

describe('MAP of a user range that wraps, of length 0', () => {
  const arg = buildStruct(IOMMU_IOAS_MAP, { flags: 6, ioas_id: 1, user_va: 2n ** 64n - 4096n, length: 0n });
  const wrapping = buildStruct(IOMMU_IOAS_MAP, {
    flags: 6,
    ioas_id: 1,
    user_va: 2n ** 64n - 4096n,
    length: 2n ** 64n - 2n,
  });

  test.each([
    ['6.12', ERRNO.EINVAL],
    ['7.3', ERRNO.EOVERFLOW],
  ])('tells on %s what is checked first', (kernel, errno) => {
    const session = startSession(createKernel(chooseProfile(kernel, 4096).profile));
    session.open(3);
    session.ioctl(3, CMD.IOMMU_IOAS_ALLOC, buildStruct(IOMMU_IOAS_ALLOC, {}));
    expect(session.ioctl(3, CMD.IOMMU_IOAS_MAP, wrapping).errno).toBe(errno);
    expect(session.ioctl(3, CMD.IOMMU_IOAS_MAP, arg).errno).toBe(ERRNO.EINVAL);
  });
});
