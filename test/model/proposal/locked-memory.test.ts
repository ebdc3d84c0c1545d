import { describe, expect, test } from 'vitest';
import { deviceAt, type ProposalSession, startProposal } from '../../support/proposal-session.ts';
import {
  attached,
  DEVICE,
  map,
  IOMMU as RFC_IOMMU,
  attach as rfcAttach,
  unmap,
} from '../../support/rfc-2021-09-session.ts';

/**
 * RLIMIT_MEMLOCK in each generation that pins: the row of the reference's table 4.4, and what its sections
 * 2.2, 2.3 and 3 say of who is charged. 8 pages may be locked.
 */

const ENOMEM = 12;
const [IOMMU, NIC, SOFT] = [3, 10, 11];
const PAGE = 0x1000;
const DEVICES = [
  deviceAt('0000:01:00.0', 1, 'nic', { pasid: true }),
  deviceAt('soft', -1, 'soft', { parent: '0000:01:00.0', software: true }),
];

function limited(
  s: ProposalSession,
  pages = 8,
  more: Readonly<Record<string, string[]>> = {},
): ProposalSession {
  const memlock = `0x${(pages * PAGE).toString(16)}`;
  s.record({ op: 'note', kind: 'limits', memlock, uid: 1000, capabilities: [], ...more });
  return s;
}

const lockedBy = (s: ProposalSession, pid = 100): number =>
  s.kernel.state.locked.spaces[s.kernel.state.processes[pid]!.mm] ?? 0;
const hex = (pages: number): string => `0x${(pages * PAGE).toString(16)}`;

describe('May 2021', () => {
  const opened = (more = {}): ProposalSession => {
    const s = startProposal('proposal-2021-05', DEVICES);
    s.open(IOMMU, 'iommufd', '/dev/ioasid');
    for (const [fd, node] of [
      [NIC, 'nic'],
      [SOFT, 'soft'],
    ] as const) {
      s.open(fd, 'device', `/dev/vfio/devices/${node}`);
      s.call('VFIO_BIND_IOASID_FD', fd, { ioasid_fd: IOMMU });
    }
    s.call('IOASID_ALLOC', IOMMU);
    return limited(s, 8, more);
  };
  const attach = (s: ProposalSession, fd: number, ioasid = 0) => s.call('VFIO_ATTACH_IOASID', fd, { ioasid });
  const mapAt = (s: ProposalSession, iova: number, pages: number, ioasid = 0, vaddr = 0x100, pid = 100) =>
    s.call('IOASID_MAP_DMA', IOMMU, { ioasid, iova: hex(iova), vaddr: hex(vaddr), size: hex(pages) }, pid);
  const unmapAt = (s: ProposalSession, iova: number, pages: number) =>
    s.call('IOASID_UNMAP_DMA', IOMMU, { ioasid: 0, iova: hex(iova), size: hex(pages) });

  test('a map beyond RLIMIT_MEMLOCK is ENOMEM, and locks nothing', () => {
    const s = opened();
    attach(s, NIC);
    expect(mapAt(s, 0, 8).ret).toBe(0);
    expect(mapAt(s, 8, 1)).toMatchObject({ errno: ENOMEM, reason: 'type1v2-locked-memory' });
    expect(lockedBy(s)).toBe(8);
  });
  test('a page that two address spaces map counts twice', () => {
    const s = opened();
    s.call('IOASID_ALLOC', IOMMU);
    attach(s, NIC);
    mapAt(s, 0, 4);
    mapAt(s, 4, 4);
    expect(lockedBy(s)).toBe(8);
  });
  test('an unmap gives the pages back', () => {
    const s = opened();
    attach(s, NIC);
    mapAt(s, 0, 8);
    unmapAt(s, 0, 8);
    expect(lockedBy(s)).toBe(0);
    expect(mapAt(s, 0, 8).ret).toBe(0);
  });
  test('CAP_IPC_LOCK lifts the limit, and the pages count all the same', () => {
    const s = opened({ capabilities: ['IPC_LOCK'] });
    attach(s, NIC);
    expect(mapAt(s, 0, 100).ret).toBe(0);
    expect(lockedBy(s)).toBe(100);
  });
  test('a mapping of a nested address space is not charged: its parent is', () => {
    const s = opened();
    attach(s, NIC);
    s.call('IOASID_CREATE_NESTING', IOMMU, { parent_ioasid: 0 });
    attach(s, NIC, 1);
    mapAt(s, 0, 8);
    expect(mapAt(s, 0, 8, 1).ret).toBe(0);
    expect(lockedBy(s)).toBe(8);
  });
  test('registered memory is charged once, when it is registered', () => {
    const s = opened();
    attach(s, NIC);
    expect(s.call('IOASID_REGISTER_MEMORY', IOMMU, { vaddr: hex(0x100), size: hex(8) }).ret).toBe(0);
    expect(lockedBy(s)).toBe(8);
    expect([mapAt(s, 0, 8).ret, mapAt(s, 8, 8).ret]).toEqual([0, 0]);
    expect(lockedBy(s)).toBe(8);
  });
  test('a registration beyond the limit is ENOMEM', () => {
    const s = opened();
    const more = { vaddr: hex(0x100), size: hex(9) };
    expect(s.call('IOASID_REGISTER_MEMORY', IOMMU, more)).toMatchObject({
      errno: ENOMEM,
      reason: 'choice-memory-limit',
    });
    expect(lockedBy(s)).toBe(0);
  });
  test('unregistering gives the pages back, and so does the end of the descriptor', () => {
    const s = opened();
    const range = { vaddr: hex(0x100), size: hex(8) };
    s.call('IOASID_REGISTER_MEMORY', IOMMU, range);
    s.call('IOASID_UNREGISTER_MEMORY', IOMMU, range);
    expect(lockedBy(s)).toBe(0);
    s.call('IOASID_REGISTER_MEMORY', IOMMU, range);
    for (const fd of [NIC, SOFT]) s.close(fd, 'device');
    s.close(IOMMU, 'iommufd');
    expect(lockedBy(s)).toBe(0);
  });
  test('the mappings go with the last device, and their pages are given back', () => {
    const s = opened();
    attach(s, NIC);
    mapAt(s, 0, 8);
    s.call('VFIO_DETACH_IOASID', NIC, { ioasid: 0 });
    expect(lockedBy(s)).toBe(0);
  });
  test('a device mediated by software pins by itself: the first behind an IOMMU is charged for all', () => {
    const s = opened();
    attach(s, SOFT);
    expect(mapAt(s, 0, 9).ret).toBe(0);
    expect(lockedBy(s)).toBe(0);
    expect(attach(s, NIC)).toMatchObject({ errno: ENOMEM, reason: 'choice-attach-memory-limit' });
    unmapAt(s, 0, 9);
    mapAt(s, 0, 8);
    expect(attach(s, NIC).ret).toBe(0);
    expect(lockedBy(s)).toBe(8);
    s.call('VFIO_DETACH_IOASID', NIC, { ioasid: 0 });
    expect(lockedBy(s)).toBe(0);
  });
  test('a child is charged for what it maps, under the limit that it inherited', () => {
    const s = opened();
    attach(s, NIC);
    mapAt(s, 0, 8);
    s.record({ op: 'fork', child: 200, ret: 200, errno: 0 });
    expect(mapAt(s, 8, 8, 0, 0x100, 200).ret).toBe(0);
    expect(mapAt(s, 16, 1, 0, 0x100, 200)).toMatchObject({ errno: ENOMEM });
    expect([lockedBy(s), lockedBy(s, 200)]).toEqual([8, 8]);
  });
});

describe('July 2021', () => {
  const opened = (): ProposalSession => {
    const s = startProposal('proposal-2021-07', DEVICES);
    s.open(IOMMU, 'iommufd', '/dev/iommu');
    s.open(NIC, 'device', '/dev/vfio/devices/nic');
    s.call('VFIO_BIND_IOMMU_FD', NIC, { iommu_fd: IOMMU, cookie: '0x1' });
    s.call('IOMMU_IOASID_ALLOC', IOMMU);
    return limited(s);
  };
  const attach = (s: ProposalSession, isDetach = false) =>
    s.call(isDetach ? 'VFIO_DETACH_IOASID' : 'VFIO_ATTACH_IOASID', NIC, { iommu_fd: IOMMU, ioasid: 0 });
  const mapAt = (s: ProposalSession, iova: number, pages: number, pid = 100) =>
    s.call('IOMMU_MAP_DMA', IOMMU, { ioasid: 0, iova: hex(iova), vaddr: hex(0x100), size: hex(pages) }, pid);

  test('a map beyond RLIMIT_MEMLOCK is ENOMEM while a device is attached', () => {
    const s = opened();
    attach(s);
    expect(mapAt(s, 0, 9)).toMatchObject({ errno: ENOMEM, reason: 'type1v2-locked-memory' });
    expect(mapAt(s, 0, 8).ret).toBe(0);
  });
  test('before the first attach nothing is pinned: the attach is refused then, and changes nothing', () => {
    const s = opened();
    expect(mapAt(s, 0, 9).ret).toBe(0);
    expect(lockedBy(s)).toBe(0);
    expect(attach(s)).toMatchObject({ errno: ENOMEM, reason: 'choice-attach-memory-limit' });
    expect(s.kernel.state.proposal!.slots).toEqual({});
    expect(s.kernel.state.proposal!.groups[1]).toMatchObject({ bound: 1, attached: 0 });
  });
  test('the mappings stay with the last detach, and their pages are given back until the next attach', () => {
    const s = opened();
    mapAt(s, 0, 8);
    const counts = [false, true, false].map((isDetach) => {
      attach(s, isDetach);
      return lockedBy(s);
    });
    expect(counts).toEqual([8, 0, 8]);
  });
  test('nobody can be charged for what a process mapped that is gone', () => {
    const s = opened();
    s.record({ op: 'fork', child: 200, ret: 200, errno: 0 });
    mapAt(s, 0, 1, 200);
    s.record({ op: 'waitpid', child: 200, status: 0, ret: 200, errno: 0 });
    expect(attach(s)).toMatchObject({ errno: 3, reason: 'choice-attach-mapper-gone' });
  });
});

describe('September 2021', () => {
  test('RLIMIT_MEMLOCK exceeded: a map is ENOMEM', () => {
    const s = limited(attached());
    expect(map(s, { size: 0x9000n })).toMatchObject({ errno: ENOMEM, reason: 'type1v2-locked-memory' });
    expect(map(s, { size: 0x8000n }).ret).toBe(0);
  });
  test('an unmap, and the last detach, give the pages back', () => {
    const s = limited(attached());
    map(s);
    unmap(s);
    expect(lockedBy(s)).toBe(0);
    map(s);
    rfcAttach(s, DEVICE, {}, true);
    expect([lockedBy(s), RFC_IOMMU]).toEqual([0, 3]);
  });
});
