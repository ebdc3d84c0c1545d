import { describe, expect, test } from 'vitest';
import { chooseProfile, createKernel } from '../../src/model/index.ts';
import {
  buildStruct,
  CMD,
  ERRNO,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_CHANGE_PROCESS,
  IOMMU_IOAS_MAP_FILE,
  IOMMU_IOAS_NOIOMMU_GET_PA,
  IOMMU_TEST_OP,
} from '../../src/uapi/index.ts';
import { startSession } from '../support/session.ts';

describe('the profile of a kernel', () => {
  test.each([
    ['6.12.117', 'linux-6.12', true],
    ['linux-6.12', 'linux-6.12', true],
    ['7.3.0-rc7', 'linux-7.3', true],
    ['linux-7.3', 'linux-7.3', true],
    ['linux-6.8', 'linux-6.8', true],
    ['6.8', 'linux-6.8', true],
    ['6.8.0', 'linux-6.8', true],
    ['6.12.117-amd64', 'linux-6.12', true],
    ['6.12.30', 'linux-6.12.30', true],
    ['linux-6.12.30', 'linux-6.12.30', true],
    ['6.12.0', 'linux-6.12.0', true],
    ['6.17', 'linux-6.17', true],
    ['7.2.13', 'linux-7.2', true],
    ['7.3.4', 'linux-7.3.4', true],
    // Nobody knows which fixes these have.
    ['6.12.118', 'linux-6.12', false],
    ['6.6.1', 'linux-6.6', false],
    ['6.17.9', 'linux-6.17.9', false],
    ['7.2.5', 'linux-7.2', false],
    // Nobody knows whether they have one of the features.
    ['6.13', 'linux-6.13', false],
    ['7.1', 'linux-7.1', false],
    ['6.8.0-31-generic', 'linux-6.8', false],
    ['6.13.0-rc3', 'linux-6.13', false],
    // No release of ours.
    ['5.15.203', 'linux-6.2', false],
    ['6.120.1', 'linux-6.19', false],
    ['8.1', 'linux-7.3', false],
    ['8.1.117', 'linux-7.3', false],
    ['custom', 'linux-6.12', false],
  ])('%s is %s (exact: %s)', (kernel, name, exact) => {
    const choice = chooseProfile(kernel, 4096);
    expect([choice.profile.name, choice.exact]).toEqual([name, exact]);
  });

  test('is not exact for another page size or no kernel', () => {
    expect(chooseProfile('7.3', 65536).exact).toBe(false);
    expect(chooseProfile(null, 4096)).toMatchObject({ profile: { name: 'linux-6.12' }, exact: false });
  });
});

describe('a command that came later', () => {
  const change = buildStruct(IOMMU_IOAS_CHANGE_PROCESS, {});
  const physical = buildStruct(IOMMU_IOAS_NOIOMMU_GET_PA, {});

  test('is unknown to linux-6.12', () => {
    const session = startSession();
    session.open(3);
    expect(session.ioctl(3, CMD.IOMMU_IOAS_CHANGE_PROCESS, change).errno).toBe(ERRNO.ENOTTY);
    expect(session.ioctl(3, CMD.IOMMU_IOAS_NOIOMMU_GET_PA, physical).errno).toBe(ERRNO.ENOTTY);
    expect(session.selftest(3, IOMMU_TEST_OP.PASID_DETACH, 1).errno).toBe(ERRNO.EOPNOTSUPP);
  });

  test('is there in linux-7.3', () => {
    const session = startSession(createKernel(chooseProfile('7.3', 4096).profile));
    session.open(3);
    expect(session.ioctl(3, CMD.IOMMU_IOAS_CHANGE_PROCESS, change).errno).toBe(0);
    expect(session.ioctl(3, CMD.IOMMU_IOAS_NOIOMMU_GET_PA, physical).errno).toBe(ERRNO.EOPNOTSUPP);
    expect(session.selftest(3, IOMMU_TEST_OP.PASID_DETACH, 1).errno).toBe(ERRNO.ENOENT);
  });
});

describe('mapping a file', () => {
  test('asks only whether the descriptor is open, as long as there is no domain', () => {
    const session = startSession(createKernel(chooseProfile('7.3', 4096).profile));
    session.open(3);
    session.ioctl(3, CMD.IOMMU_IOAS_ALLOC, buildStruct(IOMMU_IOAS_ALLOC, {}));
    const map = (fd: number): number => {
      const iova = 0x1000000n + BigInt(fd + 1) * 4096n;
      const fields = { flags: 7, ioas_id: 1, fd, start: 0n, length: 4096n, iova };
      return session.ioctl(3, CMD.IOMMU_IOAS_MAP_FILE, buildStruct(IOMMU_IOAS_MAP_FILE, fields)).errno;
    };
    expect([map(0), map(3), map(-1), map(77)]).toEqual([0, 0, ERRNO.EBADF, ERRNO.EBADF]);
    expect(session.selftest(3, IOMMU_TEST_OP.MOCK_DOMAIN, 1).errno).toBe(ERRNO.EINVAL);
  });
});
