import { describe, expect, test } from 'vitest';
import { buildPasidHistory, findEvents, findTenures } from '../../../src/audit/index.ts';
import {
  chooseProfile,
  createKernel,
  execute,
  type Kernel,
  machineOf,
  NO_EFFECTS,
  proposalFindings,
} from '../../../src/model/index.ts';
import {
  type Call,
  EMPTY_HEADER,
  type JsonRecord,
  parseTopology,
  recordToCall,
} from '../../../src/trace/index.ts';
import { buildStruct, IOASID_ALLOC_REQUEST, IOASID_CMD } from '../../../src/uapi/index.ts';
import type { Store } from '../../../store/index.ts';
import { deviceAt, type ProposalSession, startProposal } from '../../support/proposal-session.ts';
import { withStored } from '../../support/stored.ts';

/** The end of a process: what its descriptors held, and the PASID that was bound to its address space. */

const [IOMMU, NIC, MDEV, KVM] = [3, 10, 11, 20];
const MAX = 0xfffff;
const DEVICES = [
  deviceAt('0000:01:00.0', 1, 'nic', { pasid: true }),
  deviceAt('0000:02:00.0', 2, 'dsa', { pasid: true, enqcmd: true }),
  deviceAt('mdev', 3, 'mdev', { parent: '0000:02:00.0', pasid: true, enqcmd: true }),
];

const exit = (s: ProposalSession, child = 100, pid = 1) =>
  s.record({ op: 'waitpid', child, status: 0, ret: child, errno: 0 }, pid);

describe('a process of May 2021 that exits', () => {
  const opened = (): ProposalSession => {
    const s = startProposal('proposal-2021-05', DEVICES);
    s.open(IOMMU, 'iommufd', '/dev/ioasid');
    s.open(KVM, 'kvm', '/dev/kvm');
    for (const [fd, node] of [
      [NIC, 'nic'],
      [MDEV, 'mdev'],
    ] as const) {
      s.open(fd, 'device', `/dev/vfio/devices/${node}`);
      s.call('VFIO_BIND_IOASID_FD', fd, { ioasid_fd: IOMMU });
    }
    s.call('IOASID_ALLOC', IOMMU);
    s.call('IOASID_CREATE_NESTING', IOMMU, { parent_ioasid: 0 });
    for (const fd of [NIC, MDEV]) {
      s.call('VFIO_ATTACH_IOASID', fd, { ioasid: 0 });
      s.call('VFIO_ATTACH_IOASID', fd, { ioasid: 1, user_pasid_flag: true, user_pasid: 7 });
    }
    s.call('KVM_MAP_PASID', KVM, { user_pasid: 7, ioasid_fd: IOMMU, ioasid: 1 });
    s.call('IOASID_BIND_PGTABLE', IOMMU, { ioasid: 1, addr: '0x200000', format: 'vtd' });
    return s;
  };

  test('leaves nothing: no entry, no number, no translation, groups back in their default domain', () => {
    const s = opened();
    exit(s);
    const { files, slots, groups, core, descriptors } = s.kernel.state.proposal!;
    expect({ files, slots, descriptors }).toEqual({ files: {}, slots: {}, descriptors: { 1: {} } });
    expect(
      Object.values(groups).map(({ bound, attached, lifecycle }) => [bound, attached, lifecycle]),
    ).toEqual([
      [0, 0, 0],
      [0, 0, 0],
    ]);
    expect(Object.values(core.spaces).flatMap(({ ids }) => Object.keys(ids))).toEqual([]);
    expect(core.sets).toEqual({});
    // The newest descriptor is that of the VM: it closes first, and no CPU keeps a stale translation.
    expect(proposalFindings(s.kernel).map(({ id }) => id)).toEqual([]);
  });

  test('keeps what a child inherited: it goes with the last of both', () => {
    const s = opened();
    s.record({ op: 'fork', child: 200, ret: 200, errno: 0 });
    exit(s, 200, 100);
    expect(Object.keys(s.kernel.state.proposal!.slots)).toHaveLength(4);
    s.record({ op: 'fork', child: 300, ret: 300, errno: 0 });
    exit(s, 100);
    expect(Object.keys(s.kernel.state.proposal!.slots)).toHaveLength(4);
    expect(s.call('IOASID_FREE', IOMMU, { ioasid: 0 }, 300).reason).toBe('proposal-ioasid-in-use');
    exit(s, 300);
    expect(s.kernel.state.proposal!.slots).toEqual({});
  });
});

test('July 2021: another process may bind the device once its owner has exited', () => {
  const s = startProposal('proposal-2021-07', DEVICES);
  const bind = (pid: number) => {
    s.open(IOMMU, 'iommufd', '/dev/iommu', pid);
    s.open(NIC, 'device', '/dev/vfio/devices/nic', pid);
    return s.call('VFIO_BIND_IOMMU_FD', NIC, { iommu_fd: IOMMU, cookie: '0x1' }, pid).reason;
  };
  expect([bind(100), bind(200)]).toEqual([null, 'proposal-group-owned']);
  exit(s, 100);
  expect(s.call('VFIO_BIND_IOMMU_FD', NIC, { iommu_fd: IOMMU, cookie: '0x1' }, 200).ret).toBe(0);
});

/** Applies records to a kernel of February 2021, and lets `use` look at the history of them. */
function history(records: readonly JsonRecord[], use: (store: Store, kernel: Kernel) => void): void {
  const topology = parseTopology({ iommu: 'vtd', instances: [{ name: 'iommu0' }], devices: DEVICES });
  const header = { ...EMPTY_HEADER, kernel: 'ioasid-v4', topology };
  const { profile } = chooseProfile(header.kernel, 4096);
  const kernel = createKernel(profile, true, NO_EFFECTS, machineOf(header));
  const calls = records.map((record, seq): Call => {
    const call = recordToCall({ pid: 100, generation: 'ioasid-v4', ...record }, seq)!;
    const { ret, errno, out = {} } = execute(kernel, call);
    return { ...call, ret, errno, ...(call.op === 'call' ? { out } : {}), replied: true } as Call;
  });
  withStored({ header, calls }, (store, traceId) => {
    expect(buildPasidHistory(store, traceId)).toMatchObject({ diverged: 0 });
    use(store, kernel);
  });
}

const core = (name: string, args: JsonRecord, pid = 100): JsonRecord => ({ op: 'call', name, args, pid });
const waitpid = (child: number): JsonRecord => ({
  op: 'waitpid',
  pid: 1,
  child,
  status: 0,
  ret: child,
  errno: 0,
});
const tenuresOf = (store: Store) => findTenures(store, 'test', {}, 'all', 99).rows;

describe('a process with a PASID of its own that exits', () => {
  const bonds = [
    core('ioasid_set_alloc', { token: 0, quota: 8, type: 1 }),
    core('iommu_sva_alloc_pasid', { set: 1, mm: 200, min: 1, max: MAX }),
    core('iommu_sva_alloc_pasid', { set: 1, mm: 200, min: 1, max: MAX }),
    core('pasid_use', { device: '0000:01:00.0', id: 1 }),
  ];

  test('gives it back with all its bonds, flushed, and without a step out of order', () => {
    history([...bonds, core('ioasid_find_set', { id: 1 }, 200), waitpid(200)], (store, kernel) => {
      expect(kernel.state.proposal!.core).toMatchObject({ bound: {}, sets: {} });
      expect(proposalFindings(kernel)).toEqual([]);
      expect(tenuresOf(store)).toMatchObject([{ pasid: 1, pid: 200, to_seq: 5, to_call: 'waitpid' }]);
      const ends = findEvents(store, 'test', {}, 99).rows.filter(({ seq }) => seq === 5);
      expect(ends.map(({ what }) => what)).toEqual(['flush', 'unbind', 'unbind', 'free']);
    });
  });

  test('lets the next process have the number, flushed by the kernel', () => {
    const again = core('iommu_sva_alloc_pasid', { set: 2, mm: 300, min: 1, max: MAX });
    const set = core('ioasid_set_alloc', { token: 0, quota: 8, type: 1 });
    history([...bonds, core('ioasid_find_set', { id: 1 }, 200), waitpid(200), set, again], (store) => {
      expect(tenuresOf(store)[1]).toMatchObject({ pasid: 1, pid: 300, previous: 1, reuse_flush: 'kernel' });
    });
  });

  test('and nothing happens to the PASIDs of others', () => {
    history([...bonds, core('ioasid_find_set', { id: 1 }, 300), waitpid(300)], (store, kernel) => {
      expect(kernel.state.proposal!.core.bound).toMatchObject({ 200: { refs: 2 } });
      expect(tenuresOf(store)).toMatchObject([{ to_seq: null, orphan_seq: null }]);
    });
  });
});

test('numbers in the set of a process that is gone are orphans: only the set’s maker could free them', () => {
  const records = [
    core('ioasid_set_alloc', { token: 200, quota: 8, type: 2 }),
    core('ioasid_alloc', { set: 1, min: 1, max: MAX }, 200),
    waitpid(200),
  ];
  history(records, (store) => {
    expect(tenuresOf(store)).toMatchObject([{ pasid: 1, to_seq: null, orphan_seq: 2 }]);
    expect(findEvents(store, 'test', {}, 99).rows.at(-1)).toMatchObject({ what: 'orphan', call: 'waitpid' });
  });
});

test('/dev/ioasid: exit closes the descriptor, which frees the numbers of the process and its set', () => {
  const request = Buffer.from(buildStruct(IOASID_ALLOC_REQUEST, { argsz: 16, min: 1, max: MAX })).toString(
    'hex',
  );
  const ioctl = {
    op: 'ioctl',
    fd: IOMMU,
    kind: 'iommufd',
    cmd: IOASID_CMD.IOASID_REQUEST_ALLOC,
    argp: '0x7ffc00001000',
    arg: request,
    out: request,
    mem: [],
  };
  const open = {
    op: 'open',
    fd: IOMMU,
    kind: 'iommufd',
    path: '/dev/ioasid',
    flags: '0x2',
    ret: IOMMU,
    errno: 0,
  };
  history([open, ioctl, ioctl, waitpid(100)], (store, kernel) => {
    expect(kernel.state.proposal!.core.sets).toEqual({});
    const ends = tenuresOf(store).map(({ pasid, to_call, orphan_seq }) => [pasid, to_call, orphan_seq]);
    expect(ends).toEqual([
      [1, 'waitpid', null],
      [2, 'waitpid', null],
    ]);
  });
});
