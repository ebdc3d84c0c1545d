import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  buildPasidHistory,
  findEvents,
  findHolders,
  findScopes,
  findTenures,
} from '../../src/audit/index.ts';
import {
  chooseProfile,
  createKernel,
  execute,
  type Kernel,
  machineOf,
  NO_EFFECTS,
} from '../../src/model/index.ts';
import {
  type Call,
  EMPTY_HEADER,
  type JsonRecord,
  parseTopology,
  recordToCall,
} from '../../src/trace/index.ts';
import type { Store } from '../../store/index.ts';
import { deviceAt } from '../support/proposal-session.ts';
import { withStored } from '../support/stored.ts';

/** What the history answers for generations that allocate PASIDs: told stories, and random ones. */

const NIC = '0000:01:00.0';
const ALL = Number.MAX_SAFE_INTEGER;

interface Story {
  readonly kernel: Kernel;
  readonly calls: Call[];
  readonly header: typeof EMPTY_HEADER;
  /** Makes a call and answers its return value. */
  say(name: string, args: JsonRecord, fd?: number): number;
  open(fd: number, kind: string, path: string): void;
  /** Numbers that the core has out after each call, by its seq. */
  readonly held: string[][];
}

function begin(generation: string, devices: readonly JsonRecord[] = []): Story {
  const topology = parseTopology({ iommu: 'vtd', instances: [{ name: 'iommu0' }], devices });
  const header = { ...EMPTY_HEADER, kernel: generation, topology, pageSizeBytes: 4096 };
  const { profile } = chooseProfile(generation, 4096);
  const kernel = createKernel(profile, true, NO_EFFECTS, machineOf(header));
  const calls: Call[] = [];
  const held: string[][] = [];
  const run = (record: JsonRecord): number => {
    const request = recordToCall({ pid: 100, ...record }, calls.length)!;
    const { ret, errno, out } = execute(kernel, request);
    calls.push({
      ...request,
      replied: true,
      ret,
      errno,
      ...(request.op === 'call' ? { out: out ?? {} } : {}),
    } as Call);
    const spaces = Object.entries(kernel.state.proposal?.core.spaces ?? {});
    held.push(spaces.flatMap(([scope, { ids }]) => Object.keys(ids).map((id) => `${scope} ${id}`)).sort());
    return ret;
  };
  return {
    kernel,
    calls,
    header,
    held,
    say: (name, args, fd = -1) => run({ op: 'call', generation, name, ...(fd < 0 ? {} : { fd }), args }),
    open: (fd, kind, path) => void run({ op: 'open', fd, kind, path, flags: '0x2', ret: fd, errno: 0 }),
  };
}

function asked<T>({ header, calls }: Story, ask: (store: Store, traceId: number) => T): T {
  return withStored({ header, calls }, (store, traceId) => {
    expect(buildPasidHistory(store, traceId).diverged).toBe(0);
    return ask(store, traceId);
  });
}

describe('a number of the core that is handed out again', () => {
  const story = (): Story => {
    const told = begin('ioasid-v4', [deviceAt(NIC, 1, 'nic')]);
    told.say('ioasid_set_alloc', { token: 100, quota: 2, type: 2 });
    const alloc = (): number => told.say('ioasid_alloc', { set: 1, min: 1, max: 9 });
    alloc();
    alloc();
    // The quota is reached: refused.
    alloc();
    told.say('ioasid_attach_data', { id: 1, owner: 'vt-d', devices: [NIC] });
    told.say('ioasid_detach_data', { id: 1 });
    told.say('ioasid_free', { set: 1, id: 1 });
    // Handed out again before anybody flushed, and then after a flush.
    alloc();
    told.say('pasid_use', { device: NIC, id: 1 });
    for (const step of ['stop', 'clear_entry', 'invalidate', 'drain', 'flush'])
      told.say(`pasid_${step}`, { device: NIC, id: 1 });
    told.say('ioasid_free', { set: 1, id: 1 });
    alloc();
    return told;
  };

  test('is told with the distance, and whether it was flushed before', () => {
    const reused = asked(story(), (store) => ({
      all: findTenures(store, 'test', {}, 'reused', ALL).rows,
      unflushed: findTenures(store, 'test', {}, 'reused-unflushed', ALL).rows,
    }));
    expect(reused.all).toMatchObject([
      { pasid: 1, previous: 1, reuse_calls: 1, reuse_flush: 'none' },
      { pasid: 1, previous: 3, reuse_calls: 1, reuse_flush: 'kernel' },
    ]);
    expect(reused.unflushed.map(({ tenure }) => tenure)).toEqual([3]);
  });

  test('leaves leaks, quota pressure and high-water marks of set, process and system', () => {
    const { leaked, scopes } = asked(story(), (store) => ({
      leaked: findTenures(store, 'test', {}, 'leaked', ALL).rows,
      scopes: findScopes(store, 'test'),
    }));
    expect(leaked.map(({ pasid }) => pasid)).toEqual([2, 1]);
    expect(scopes).toMatchObject([
      { kind: 'system', quota: 0xfffff, tenures: 4, held: 2, high_water: 2, refused: 1 },
      { kind: 'set', scope: 'process 100', quota: 2, held: 2, high_water: 2, refused: 1 },
      { kind: 'process', scope: '100', held: 2, high_water: 2, refused: 1 },
    ]);
  });

  test('answers to filters by PASID, device and process', () => {
    asked(story(), (store) => {
      const whats = (filter: object): string[] =>
        findEvents(store, 'test', filter, ALL).rows.map(({ what }) => what);
      expect(whats({ pasid: 2 })).toEqual(['alloc']);
      expect(whats({ device: NIC })).toContain('clear');
      expect(whats({ device: NIC, pasid: 2 })).toEqual([]);
      expect(whats({ pid: 100 })).toHaveLength(findEvents(store, 'test', {}, ALL).count);
      expect(whats({ pid: 7 })).toEqual([]);
      expect(findTenures(store, 'test', { device: '01:00.0' }, 'all', ALL).count).toBe(2);
    });
  });
});

describe('a number that is freed while it is used', () => {
  test('is held until the last user lets go, and the process of SVA is the holder', () => {
    const told = begin('ioasid-v4');
    told.say('ioasid_set_alloc', { token: 0, quota: 4, type: 1 });
    expect(told.say('iommu_sva_alloc_pasid', { set: 1, mm: 42, min: 1, max: 9 })).toBe(1);
    told.say('ioasid_get', { set: 1, id: 1 });
    told.say('ioasid_free', { set: 1, id: 1 });
    told.say('ioasid_put', { set: 1, id: 1 });
    asked(told, (store, traceId) => {
      expect(findHolders(store, traceId, 3)).toMatchObject([{ pasid: 1, pid: 42, from_seq: 1, to_seq: 4 }]);
      expect(findHolders(store, traceId, 4)).toEqual([]);
      const whats = findEvents(store, 'test', {}, ALL).rows.map(({ what }) => what);
      expect(whats).toEqual(['alloc', 'bind', 'free-pending', 'free']);
    });
  });
});

type Step = { readonly what: number; readonly a: number; readonly b: number };
const steps = fc.array(
  fc.record({ what: fc.nat({ max: 9 }), a: fc.nat({ max: 5 }), b: fc.nat({ max: 3 }) }),
  {
    minLength: 10,
    maxLength: 40,
  },
);

/** Devices of every kind: whole, mediated with and without ENQCMD. */
const DEVICES = [
  deviceAt(NIC, 1, 'd0', { pasid: true }),
  deviceAt('mdev-1', 2, 'd1', { parent: '0000:05:00.0', pasid: true, enqcmd: true }),
  deviceAt('mdev-2', 3, 'd2', { parent: '0000:06:00.0', pasid: true, enqcmd: true }),
  deviceAt('mdev-3', 4, 'd3', { parent: '0000:07:00.0', pasid: true }),
];
const [IOMMU, KVM] = [3, 4];

function tellMay(told: Story, { what, a, b }: Step): void {
  const fd = 10 + b;
  const routed = { ioasid: a % 3, user_pasid_flag: true, user_pasid: 1 + a };
  const calls: readonly (readonly [string, JsonRecord, number])[] = [
    ['VFIO_ATTACH_IOASID', { ioasid: 0 }, fd],
    ['VFIO_ATTACH_IOASID', routed, fd],
    ['VFIO_DETACH_IOASID', routed, fd],
    ['VFIO_DETACH_IOASID', { ioasid: 0 }, fd],
    ['IOASID_CREATE_NESTING', { parent_ioasid: 0 }, IOMMU],
    ['IOASID_BIND_PGTABLE', { ioasid: a % 3, addr: '0x1000', format: 'vtd' }, IOMMU],
    ['IOASID_UNBIND_PGTABLE', { ioasid: a % 3 }, IOMMU],
    ['KVM_MAP_PASID', { user_pasid: 1 + a, ioasid_fd: IOMMU, ioasid: a % 3 }, KVM],
    ['KVM_UNMAP_PASID', { user_pasid: 1 + a, ioasid_fd: IOMMU }, KVM],
    ['VFIO_ATTACH_IOASID', { ioasid: a % 3 }, fd],
  ];
  told.say(...calls[what]!);
}

function tellCore(told: Story, { what, a, b }: Step): void {
  const [set, id] = [1 + (b % 2), 1 + a];
  const calls: readonly (readonly [string, JsonRecord])[] = [
    ['ioasid_alloc', { set, min: 1, max: 6 }],
    ['ioasid_get', { set, id }],
    ['ioasid_put', { set, id }],
    ['ioasid_free', { set, id }],
    ['ioasid_attach_data', { id, owner: 'vt-d', devices: [NIC] }],
    ['ioasid_detach_data', { id }],
    ['ioasid_attach_spid', { id, spid: 70 + b }],
    ['ioasid_queue_work', {}],
    ['iommu_sva_alloc_pasid', { set: 2, mm: 50 + b, min: 1, max: 6 }],
    ['iommu_sva_free_pasid', { mm: 50 + b }],
  ];
  // Sets die with their last number: as many are made as are needed.
  const { sets } = told.kernel.state.proposal?.core ?? { sets: {} };
  if (Object.keys(sets).length === 0) told.say('ioasid_set_alloc', { token: 0, quota: 4, type: 1 });
  told.say(...calls[what]!);
}

function checkHolders(told: Story): void {
  asked(told, (store, traceId) => {
    for (const [seq, expected] of told.held.entries()) {
      const rows = findHolders(store, traceId, seq);
      const found = new Set(
        rows.map((row) => `${[row.scope_kind, row.scope].join(' ').trim()} ${row.pasid}`),
      );
      expect([...found].sort(), `after call ${seq}`).toEqual(expected);
    }
    const held = told.held.at(-1)?.length ?? 0;
    const system = findScopes(store, 'test').find(({ kind }) => kind === 'system');
    expect(system!.held).toBe(held);
    expect(system!.high_water).toBeGreaterThanOrEqual(held);
    expect(findTenures(store, 'test', {}, 'leaked', ALL).count).toBe(held);
  });
}

describe('random calls: who holds what in the history is what the core has out', () => {
  test('of May 2021, over whole and mediated devices', () => {
    fc.assert(
      fc.property(steps, (told) => {
        const story = begin('proposal-2021-05', DEVICES);
        story.open(IOMMU, 'iommufd', '/dev/ioasid');
        story.open(KVM, 'kvm', '/dev/kvm');
        for (const index of DEVICES.keys()) {
          story.open(10 + index, 'device', `/dev/vfio/devices/d${index}`);
          story.say('VFIO_BIND_IOASID_FD', { ioasid_fd: IOMMU }, 10 + index);
        }
        story.say('IOASID_ALLOC', {}, IOMMU);
        for (const index of DEVICES.keys()) story.say('VFIO_ATTACH_IOASID', { ioasid: 0 }, 10 + index);
        story.say('IOASID_CREATE_NESTING', { parent_ioasid: 0 }, IOMMU);
        story.say('IOASID_CREATE_NESTING', { parent_ioasid: 0 }, IOMMU);
        for (const step of told) tellMay(story, step);
        checkHolders(story);
      }),
      { numRuns: 12, seed: 20210527 },
    );
  });

  test('of the core itself', () => {
    fc.assert(
      fc.property(steps, (told) => {
        const story = begin('ioasid-v4', [deviceAt(NIC, 1, 'nic')]);
        story.say('ioasid_set_alloc', { token: 100, quota: 4, type: 2 });
        story.say('ioasid_set_alloc', { token: 0, quota: 4, type: 1 });
        for (const step of told) tellCore(story, step);
        checkHolders(story);
      }),
      { numRuns: 15, seed: 20210227 },
    );
  });
});
