import { describe, expect, test } from 'vitest';
import { proposalFindings } from '../../../src/model/index.ts';
import type { JsonRecord } from '../../../src/trace/index.ts';
import { deviceAt, type ProposalSession, startProposal } from '../../support/proposal-session.ts';

/** Page requests, work of the CPU, and taking a PASID out of use: events of the hardware. */

const NIC = '0000:01:00.0';
const NVME = '0000:02:00.0';
const [IOMMU, DEVICE, OTHER, KVM] = [3, 10, 11, 20];

/** Two functions with a table of the user behind PASID 7, through July's calls. */
function july(): ProposalSession {
  const devices = [deviceAt(NIC, 1, 'nic', { pasid: true }), deviceAt(NVME, 2, 'nvme', { pasid: true })];
  const session = startProposal('proposal-2021-07', devices);
  session.open(IOMMU, 'iommufd', '/dev/iommu');
  for (const [fd, node, cookie] of [
    [DEVICE, 'nic', '0xd0'],
    [OTHER, 'nvme', '0xd1'],
  ] as const) {
    session.open(fd, 'device', `/dev/vfio/devices/${node}`);
    session.call('VFIO_BIND_IOMMU_FD', fd, { iommu_fd: IOMMU, cookie });
  }
  session.call('IOMMU_IOASID_ALLOC', IOMMU);
  const table = { user_pgtable: true, parent: 0, addr: '0x200000', format: 'vtd' };
  session.call('IOMMU_IOASID_ALLOC', IOMMU, table);
  for (const fd of [DEVICE, OTHER]) {
    session.call('VFIO_ATTACH_IOASID', fd, { iommu_fd: IOMMU, ioasid: 0 });
    const routing = { iommu_fd: IOMMU, ioasid: 1, vpasid_flag: true, vpasid: 7 };
    expect(session.call('VFIO_ATTACH_IOASID', fd, routing).ret).toBe(0);
  }
  return session;
}

const request = (session: ProposalSession, more: JsonRecord) =>
  session.call('iommu_page_request', -1, {
    device: NIC,
    pasid: 7,
    grpid: 1,
    addr: '0x1000',
    perm: 1,
    ...more,
  });
const read = (session: ProposalSession) => session.call('IOMMU_READ_FAULT', IOMMU).out;
const complete = (session: ProposalSession, more: JsonRecord) =>
  session.call('IOMMU_COMPLETE_FAULT', IOMMU, { ioasid: 1, cookie: '0xd0', code: 0, ...more });

describe('page requests', () => {
  test('wait for the last of their group, which is reported whole, in order', () => {
    const session = july();
    expect(request(session, { addr: '0x1000' }).out).toEqual({ waits: true });
    // Another group of the device, and the same group of another device, are others.
    request(session, { addr: '0x8000', grpid: 2 });
    request(session, { addr: '0x9000', device: NVME });
    expect(request(session, { addr: '0x2000', last: true }).out).toEqual({ reported: 1 });
    expect(read(session)).toEqual({ ioasid: 1, cookie: '0xd0', addr: ['0x1000', '0x2000'], perm: [1, 1] });
    expect(session.call('IOMMU_READ_FAULT', IOMMU).reason).toBe('choice-no-fault');
  });

  test('are forwarded by address space and cookie, and not by PASID', () => {
    const session = july();
    request(session, { last: true });
    request(session, { last: true, device: NVME });
    expect([read(session), read(session)]).toMatchObject([{ cookie: '0xd0' }, { cookie: '0xd1' }]);
  });

  test('are answered by cookie: one response for each group, to the number on the wire', () => {
    const session = july();
    request(session, { addr: '0x1000' });
    request(session, { last: true });
    request(session, { last: true, device: NVME, grpid: 5 });
    expect(complete(session, {}).reason).toBe('choice-no-fault');
    read(session);
    read(session);
    const second = complete(session, { cookie: '0xd1', code: 1 });
    expect(second.out).toEqual({ response: { rid: NVME, pasid: 7, grpid: 5, code: 1 } });
    expect(complete(session, {}).out).toEqual({ response: { rid: NIC, pasid: 7, grpid: 1, code: 0 } });
    expect(complete(session, {}).reason).toBe('choice-no-fault');
    expect(complete(session, { code: 3 }).reason).toBe('choice-fault-code');
  });

  test('whose device wants no PASID in the answer get none', () => {
    const session = july();
    request(session, { last: true, response_needs_pasid: false });
    read(session);
    expect(complete(session, {}).out).toEqual({ response: { rid: NIC, grpid: 1, code: 0 } });
  });

  test.each([
    ['a PASID that nothing is attached to', { pasid: 8 }, { rid: NIC, pasid: 8, grpid: 1, code: 1 }],
    ['a table of the kernel, which does not fault', { pasid: undefined }, { rid: NIC, grpid: 1, code: 1 }],
  ] as const)('of %s are answered INVALID at once', (_, more, response) => {
    expect(request(july(), { last: true, ...more } as JsonRecord).out).toEqual({ response });
  });

  test.each([
    ['a device that no queue knows', { device: '0000:09:00.0' }, 19, 'iopf-no-queue'],
    ['a fault that is no page request', { type: 'unrecoverable' }, 95, 'iopf-not-page-request'],
  ] as const)('are refused for %s', (_, more, errno, reason) => {
    expect(request(july(), { last: true, ...more })).toMatchObject({ errno, reason });
  });

  test('of unfinished groups are dropped when the queue overflows, whichever device they are from', () => {
    const session = july();
    request(session, { addr: '0x1000' });
    request(session, { device: NVME });
    request(session, { grpid: 4, last: true });
    expect(session.call('iommu_fault_overflow', -1, { device: NIC }).out).toEqual({ dropped: 2 });
    request(session, { addr: '0x2000', last: true });
    read(session);
    expect(read(session)).toMatchObject({ addr: ['0x2000'] });
  });

  test('have stop markers behind them, which need no answer', () => {
    const session = july();
    expect(session.call('iommu_stop_marker', -1, { device: NIC, pasid: 7 }).out).toEqual({ answered: false });
    expect(session.call('IOMMU_READ_FAULT', IOMMU).reason).toBe('choice-no-fault');
  });
});

/** A mediated device that ENQCMD reaches, with PASID 7 of the guest, and a whole function that it reaches. */
function shared(): ProposalSession {
  const devices = [
    deviceAt('mdev-1', 11, 'mdev', { parent: '0000:05:00.0', pasid: true, enqcmd: true }),
    deviceAt(NIC, 1, 'nic', { pasid: true, enqcmd: true }),
    deviceAt('mdev-2', 12, 'plain', { parent: '0000:05:00.0', pasid: true }),
  ];
  const session = startProposal('proposal-2021-07', devices);
  session.open(IOMMU, 'iommufd', '/dev/iommu');
  session.open(KVM, 'kvm', '/dev/kvm');
  session.call('IOMMU_IOASID_ALLOC', IOMMU);
  for (const [fd, node] of [
    [DEVICE, 'mdev'],
    [OTHER, 'plain'],
  ] as const) {
    session.open(fd, 'device', `/dev/vfio/devices/${node}`);
    session.call('VFIO_BIND_IOMMU_FD', fd, { iommu_fd: IOMMU, cookie: `0x${fd}` });
    session.call('VFIO_ATTACH_IOASID', fd, { iommu_fd: IOMMU, ioasid: 0 });
  }
  session.call('IOMMU_IOASID_ALLOC', IOMMU, { parent: 0 });
  session.call('VFIO_ATTACH_IOASID', DEVICE, { iommu_fd: IOMMU, ioasid: 1, vpasid_flag: true, vpasid: 7 });
  return session;
}

describe('work that a guest submits with ENQCMD', () => {
  const submit = (session: ProposalSession, device: string, pasid: number) =>
    session.call('enqcmd', KVM, { device, pasid }).out;

  test('is held back by the portal until translation is on, and sent under the number of the host', () => {
    const session = shared();
    expect(submit(session, 'mdev-1', 7)).toEqual({ portal: 'blocked' });
    session.call('KVM_ENABLE_CAP', KVM, { cap: 206 });
    expect(submit(session, 'mdev-1', 7)).toEqual({ fault: 'untranslated' });
    session.call('KVM_MAP_PASID', KVM, { user_pasid: 7, iommu_fd: IOMMU, ioasid: 1 });
    expect(submit(session, 'mdev-1', 7)).toEqual({ rid: '0000:05:00.0', pasid: 3 });
  });

  test('goes to a whole function unchanged', () => {
    expect(submit(shared(), NIC, 7)).toEqual({ rid: NIC, pasid: 7 });
  });

  test('reaches no device without a portal', () => {
    expect(submit(shared(), 'mdev-2', 7)).toEqual({ portal: 'none' });
  });
});

describe('mediated devices of a function that ENQCMD reaches through one of them', () => {
  test('all take their numbers from the pool of the system', () => {
    const { core } = shared().kernel.state.proposal!;
    expect(Object.keys(core.spaces)).toEqual(['system']);
    expect(Object.keys(core.spaces['system']!.ids)).toEqual(['1', '2', '3']);
  });
});

const STEPS = ['use', 'stop', 'clear_entry', 'invalidate', 'drain', 'flush'] as const;
type Step = (typeof STEPS)[number];

/** Uses PASID 1 as the steps say, and puts and frees it. */
function tearDown(steps: readonly Step[]): ProposalSession {
  const session = startProposal('ioasid-v4', [deviceAt(NIC, 1, 'nic')]);
  session.call('ioasid_set_alloc', -1, { token: 100, quota: 4, type: 2 });
  session.call('ioasid_alloc', -1, { set: 1, min: 1, max: 9 });
  for (const step of steps) session.call(`pasid_${step}`, -1, { device: NIC, id: 1 });
  session.call('ioasid_free', -1, { set: 1, id: 1 });
  return session;
}

describe('taking a PASID out of use', () => {
  test('in its order is no finding', () => {
    expect(proposalFindings(tearDown(STEPS).kernel)).toEqual([]);
    expect(proposalFindings(tearDown([]).kernel)).toEqual([]);
  });

  test.each(STEPS.slice(1))('without %s is a finding', (left) => {
    const findings = proposalFindings(tearDown(STEPS.filter((step) => step !== left)).kernel);
    expect(findings.map(({ id }) => id)).toEqual(['pasid-teardown-order']);
    expect(findings[0]!.seq).toBeGreaterThan(2);
  });

  test.each(STEPS.slice(1, -1).map((step, index) => [step, STEPS[index + 2]!] as const))(
    'with %s after %s is a finding',
    (first, second) => {
      const steps = STEPS.map((step) => (step === first ? second : step === second ? first : step));
      const findings = proposalFindings(tearDown(steps).kernel);
      expect(findings.length).toBeGreaterThan(0);
      expect(new Set(findings.map(({ id }) => id))).toEqual(new Set(['pasid-teardown-order']));
    },
  );

  test('while a CPU still translates to it is a finding of its own', () => {
    const session = shared();
    session.call('KVM_ENABLE_CAP', KVM, { cap: 206 });
    session.call('KVM_MAP_PASID', KVM, { user_pasid: 7, iommu_fd: IOMMU, ioasid: 1 });
    const routing = { iommu_fd: IOMMU, ioasid: 1, vpasid_flag: true, vpasid: 7 };
    session.call('VFIO_DETACH_IOASID', DEVICE, routing);
    expect(proposalFindings(session.kernel).map(({ id }) => id)).toEqual(['kvm-translation-stale']);
  });
});

describe('the allocation that the review of September asked for', () => {
  const alloc = (session: ProposalSession, args: JsonRecord) =>
    session.call('IOMMU_IOASID_ALLOC', IOMMU, args);
  const start = () => {
    const session = startProposal('rfc-2021-09', [deviceAt(NIC, 1, 'nic')]);
    session.open(IOMMU, 'iommufd', '/dev/iommu');
    return session;
  };

  test('answers the number in the struct, from 1 on, with parent, format and hints', () => {
    const session = start();
    const root = alloc(session, { flags: 3, base_iova_hint: '0x1000', max_iova_hint: '0xffffffffff' });
    expect(root).toMatchObject({ ret: 0, out: { ioas_id: 1 } });
    const child = { parent_ios_id: 1, format: 1, user_page_directory: '0x200000' };
    expect(alloc(session, child).out).toEqual({ ioas_id: 2 });
    const spaces = Object.values(session.kernel.state.proposal!.files).flatMap((file) =>
      Object.values(file.spaces),
    );
    expect(spaces).toMatchObject([
      { id: 1, parent: null, kind: 'kernel', addressWidth: 40, enforcesSnoop: true },
      { id: 2, parent: 1, kind: 'user-table', table: { address: '0x200000', format: '1' } },
    ]);
  });

  test.each([
    ['an unknown flag', { flags: 4 }, 'choice-argument-bad'],
    [
      'a base above the last address',
      { flags: 2, base_iova_hint: '0x2000', max_iova_hint: '0x1000' },
      'choice-argument-bad',
    ],
    ['flags of a format that has none', { format_flags: 1 }, 'choice-argument-bad'],
    ['an unknown parent', { parent_ios_id: 9 }, 'proposal-ioasid-not-found'],
    [
      'a table of the user without a parent',
      { format: 1, user_page_directory: '0x1000' },
      'proposal-alloc-attributes',
    ],
  ] as const)('refuses %s', (_, args, reason) => {
    expect(alloc(start(), args)).toMatchObject({ ret: -1, errno: 22, reason });
  });
});
