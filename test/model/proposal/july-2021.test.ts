import { describe, expect, test } from 'vitest';
import { deviceAt, type ProposalSession, startProposal } from '../../support/proposal-session.ts';

/** July 2021: who may share an address space, and what the hardware is told of mediated devices. */

const [IOMMU, FIRST] = [3, 10];
const PARENT = '0000:05:00.0';

/** The devices, bound in order with cookies from 0xd0 on. */
function opened(devices: readonly ReturnType<typeof deviceAt>[]): ProposalSession {
  const s = startProposal('proposal-2021-07', devices);
  s.open(IOMMU, 'iommufd', '/dev/iommu');
  devices.forEach(({ path }, index) => {
    s.open(FIRST + index, 'device', path as string);
    const cookie = `0x${(0xd0 + index).toString(16)}`;
    s.call('VFIO_BIND_IOMMU_FD', FIRST + index, { iommu_fd: IOMMU, cookie });
  });
  return s;
}

const attach = (s: ProposalSession, fd: number, ioasid = 0, vpasid: number | null = null) =>
  s.call('VFIO_ATTACH_IOASID', fd, {
    iommu_fd: IOMMU,
    ioasid,
    ...(vpasid === null ? {} : { vpasid_flag: true, vpasid }),
  });

describe('the snoop matrix', () => {
  const both = [
    deviceAt('0000:01:00.0', 1, 'enforced'),
    deviceAt('0000:02:00.0', 2, 'not', { enforce_snoop: false }),
  ];
  test.each([
    ['an IOMMU that enforces, an address space that asks', 0, true, null],
    ['an IOMMU that enforces, an address space that does not', 0, false, null],
    ['an IOMMU that can not, an address space that asks', 1, true, 'proposal-snoop-unenforceable'],
    ['an IOMMU that can not, an address space that does not', 1, false, null],
  ])('%s', (_, index, enforce_snoop, reason) => {
    const s = opened(both);
    s.call('IOMMU_IOASID_ALLOC', IOMMU, { enforce_snoop });
    expect(attach(s, FIRST + index).reason).toBe(reason);
  });
  test('any device may be attached to an address space that does not enforce, whatever is there', () => {
    const s = opened(both);
    s.call('IOMMU_IOASID_ALLOC', IOMMU);
    expect([attach(s, FIRST).ret, attach(s, FIRST + 1).ret]).toEqual([0, 0]);
  });
});

describe('a mediated device', () => {
  const mediated = (node: string, group: number) =>
    deviceAt(node, group, node, { parent: PARENT, pasid: true });
  const start = (): ProposalSession => {
    const s = opened([mediated('one', 1), mediated('two', 2)]);
    s.call('IOMMU_IOASID_ALLOC', IOMMU);
    s.call('IOMMU_IOASID_ALLOC', IOMMU, { user_pgtable: true, parent: 0, addr: '0x200000', format: 'vtd' });
    for (const fd of [FIRST, FIRST + 1]) {
      attach(s, fd);
      attach(s, fd, 1, 7);
    }
    return s;
  };
  const request = (s: ProposalSession, device: string, pasid: number, last = true) =>
    s.call('iommu_page_request', -1, { device, pasid, grpid: 1, addr: '0x1000', perm: 1, last });

  test('is found by the function and the PASID that a page request has', () => {
    const s = start();
    // Host PASIDs in the order of the attaches: 1 and 2 of the first, 3 and 4 of the second.
    expect(request(s, PARENT, 4).out).toEqual({ reported: 1 });
    expect(s.call('IOMMU_READ_FAULT', IOMMU).out).toMatchObject({ ioasid: 1, cookie: '0xd1' });
    expect(s.call('IOMMU_COMPLETE_FAULT', IOMMU, { ioasid: 1, cookie: '0xd1', code: 0 }).out).toEqual({
      response: { rid: PARENT, pasid: 4, grpid: 1, code: 0 },
    });
  });
  test('shares the list of unfinished groups with the others of its function', () => {
    const s = start();
    request(s, 'one', 2, false);
    expect(request(s, PARENT, 2).out).toEqual({ reported: 1 });
    expect(s.call('IOMMU_READ_FAULT', IOMMU).out).toMatchObject({ addr: ['0x1000', '0x1000'] });
  });
  test('of which a PASID belongs to nobody, or the function is unknown, has no reader', () => {
    const s = start();
    expect(request(s, PARENT, 9).out).toEqual({ response: { rid: PARENT, pasid: 9, grpid: 1, code: 1 } });
    const wrong = { device: 'one', pasid: 'two', grpid: 1, addr: '0x1000' };
    expect(s.call('iommu_page_request', -1, wrong).reason).toBe('choice-argument-bad');
    expect(request(s, '0000:99:00.0', 9)).toMatchObject({ errno: 19, reason: 'iopf-no-queue' });
  });
  test('is invalidated by the number on the wire, for its function', () => {
    const s = start();
    const flush = (more: object) =>
      s.call('IOMMU_INVALIDATE_CACHE', IOMMU, { ioasid: 1, cache: 'iotlb', ...more });
    const one = flush({ granularity: 'per-pasid', cookie: '0xd1', vpasid: 7 });
    expect(one.out).toEqual({ hardware: [{ rid: PARENT, cache: 'iotlb', pasid: 4 }] });
    const all = flush({ granularity: 'range' }).out['hardware'];
    expect(all).toEqual([2, 4].map((pasid) => ({ rid: PARENT, cache: 'iotlb', pasid })));
    expect(flush({ granularity: 'all' }).reason).toBe('choice-argument-bad');
    expect(flush({ granularity: 'range', vpasid: 'seven' }).reason).toBe('choice-argument-bad');
  });
});
