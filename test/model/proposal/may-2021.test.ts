import { describe, expect, test } from 'vitest';
import {
  deviceAt,
  type ProposalReply,
  type ProposalSession,
  startProposal,
} from '../../support/proposal-session.ts';

/** May 2021: groups that are attached in part, and descriptors that close in another order. */

const [IOMMU, ONE, TWO, LONE] = [3, 10, 11, 12];
const DEVICES = [
  deviceAt('0000:01:00.0', 1, 'one'),
  deviceAt('0000:01:00.1', 1, 'two'),
  deviceAt('0000:02:00.0', 2, 'lone'),
];

function opened(): ProposalSession {
  const s = startProposal('proposal-2021-05', DEVICES);
  s.open(IOMMU, 'iommufd', '/dev/ioasid');
  for (const [fd, node] of [
    [ONE, 'one'],
    [TWO, 'two'],
    [LONE, 'lone'],
  ] as const) {
    s.open(fd, 'device', `/dev/vfio/devices/${node}`);
    s.call('VFIO_BIND_IOASID_FD', fd, { ioasid_fd: IOMMU });
  }
  s.call('IOASID_ALLOC', IOMMU);
  s.call('IOASID_CREATE_NESTING', IOMMU, { parent_ioasid: 0 });
  for (const fd of [ONE, TWO, LONE]) attach(s, fd, 0);
  return s;
}

const attach = (s: ProposalSession, fd: number, ioasid: number) =>
  s.call('VFIO_ATTACH_IOASID', fd, { ioasid });
const detach = (s: ProposalSession, fd: number, ioasid: number) =>
  s.call('VFIO_DETACH_IOASID', fd, { ioasid });
const bind = (s: ProposalSession) =>
  s.call('IOASID_BIND_PGTABLE', IOMMU, { ioasid: 1, addr: '0x200000', format: 'vtd' });
const unbind = (s: ProposalSession) => s.call('IOASID_UNBIND_PGTABLE', IOMMU, { ioasid: 1 });
/** Every command of an address space with a table. */
const commands = (s: ProposalSession): ProposalReply[] => [
  s.call('IOASID_GET_INFO', IOMMU, { ioasid: 1 }),
  s.call('IOASID_INVALIDATE_CACHE', IOMMU, { ioasid: 1, granularity: 'all' }),
  s.call('IOASID_MAP_DMA', IOMMU, { ioasid: 1, iova: '0x0', vaddr: '0x0', size: '0x1000' }),
  s.call('IOASID_UNMAP_DMA', IOMMU, { ioasid: 1, iova: '0x0', size: '0x1000' }),
  bind(s),
  unbind(s),
];
const reasons = (s: ProposalSession): (string | null)[] => [
  ...new Set(commands(s).map(({ reason }) => reason)),
];

describe('a group with a table of the user', () => {
  test('is not broken up while the table is bound: unbind first', () => {
    const s = opened();
    for (const fd of [ONE, TWO, LONE]) attach(s, fd, 1);
    expect(bind(s).ret).toBe(0);
    expect(detach(s, ONE, 1)).toMatchObject({ errno: 16, reason: 'choice-detach-bound-table' });
    expect([unbind(s).ret, detach(s, ONE, 1).ret]).toEqual([0, 0]);
    expect(reasons(s)).toEqual(['proposal-group-partly-attached']);
  });
  test('a device that is alone in its group may go', () => {
    const s = opened();
    for (const fd of [ONE, TWO, LONE]) attach(s, fd, 1);
    bind(s);
    expect(detach(s, LONE, 1).ret).toBe(0);
    expect(s.call('IOASID_INVALIDATE_CACHE', IOMMU, { ioasid: 1, granularity: 'all' }).ret).toBe(0);
  });
  test('a group that joins in part stops every command until all of it is there, or it leaves again', () => {
    const s = opened();
    attach(s, LONE, 1);
    bind(s);
    attach(s, ONE, 1);
    expect(reasons(s)).toEqual(['proposal-group-partly-attached']);
    expect(commands(s).every(({ errno }) => errno === 35)).toBe(true);
    expect(detach(s, ONE, 1).ret).toBe(0);
    expect(s.call('IOASID_INVALIDATE_CACHE', IOMMU, { ioasid: 1, granularity: 'all' }).ret).toBe(0);
    for (const fd of [ONE, TWO]) attach(s, fd, 1);
    expect(unbind(s).ret).toBe(0);
  });
  test('a closed device leaves the rest of its group without commands, and the last takes the table', () => {
    const s = opened();
    for (const fd of [ONE, TWO]) attach(s, fd, 1);
    bind(s);
    s.close(ONE, 'device');
    expect(reasons(s)).toEqual(['proposal-group-partly-attached']);
    s.close(TWO, 'device');
    expect(s.kernel.state.proposal!.files[1]!.spaces[1]).toMatchObject({ table: null, attachmentCount: 0 });
  });
});

describe('the descriptor of the IOMMU is closed first', () => {
  test('what nothing is attached to goes at once, the rest with its last device', () => {
    const s = opened();
    s.call('IOASID_ALLOC', IOMMU);
    attach(s, LONE, 1);
    s.close(IOMMU, 'iommufd');
    const spaces = (): string[] => Object.keys(s.kernel.state.proposal!.files[1]?.spaces ?? {});
    expect(spaces()).toEqual(['0', '1']);
    expect(attach(s, LONE, 2).reason).toBe('proposal-ioasid-not-found');
    detach(s, LONE, 1);
    expect(spaces()).toEqual(['0']);
    for (const fd of [ONE, TWO, LONE]) s.close(fd, 'device');
    expect(s.kernel.state.proposal!.files).toEqual({});
  });
  test('a parent stays for its child', () => {
    const s = opened();
    for (const fd of [ONE, TWO]) s.close(fd, 'device');
    attach(s, LONE, 1);
    s.close(IOMMU, 'iommufd');
    expect(detach(s, LONE, 0).reason).toBe('choice-detach-parent');
    detach(s, LONE, 1);
    detach(s, LONE, 0);
    expect(s.kernel.state.proposal!.files[1]!.spaces).toEqual({});
  });
});
