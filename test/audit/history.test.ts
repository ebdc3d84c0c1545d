import { describe, expect, test } from 'vitest';
import {
  createPasidHistory,
  type PasidEvent,
  type PasidHistory,
  type PasidSpace,
} from '../../src/audit/index.ts';
import type { PasidChangeKind } from '../../src/model/index.ts';
import type { AttachmentRow, EventRow, ScopeRow, TenureRow } from '../../store/index.ts';

/** The fold, told by hand what generations with allocated PASIDs, sets and KVM mappings will tell. */

const SYSTEM: PasidSpace = { kind: 'system', name: '' };
const NIC = { function: '0000:00:03.0', device: 1, hwpt: 7, ioas: 2 };
const NVME = { function: '0000:00:04.0', device: 2, hwpt: 8, ioas: 2 };

interface Told {
  readonly tenures: TenureRow[];
  readonly attachments: AttachmentRow[];
  readonly events: EventRow[];
  readonly scopes: ScopeRow[];
}

type Tell = (what: PasidChangeKind, pasid: number, rest?: Partial<PasidEvent>) => void;

/** Each event is one call, numbered from 1. */
function fold(story: (tell: Tell, history: PasidHistory) => void): Told {
  const told: Told = { tenures: [], attachments: [], events: [], scopes: [] };
  const history = createPasidHistory({
    tenure: (row) => told.tenures.push(row),
    attachment: (row) => told.attachments.push(row),
    event: (row) => told.events.push(row),
    scope: (row) => told.scopes.push(row),
  });
  let seq = 0;
  story((what, pasid, rest = {}) => {
    seq += 1;
    const call = { seq, nth: seq, pid: 9, fd: 3, name: what.toUpperCase() };
    const shared = { generation: 'proposal-2021-05', space: SYSTEM, context: 1, call, target: null };
    history.apply({ what, pasid, ...shared, ...rest });
  }, history);
  history.finish();
  told.tenures.sort((a, b) => a.tenure - b.tenure);
  told.attachments.sort((a, b) => a.attachment - b.attachment);
  return told;
}

const lives = ({ tenures }: Told) => tenures.map(({ from_seq, to_seq }) => [from_seq, to_seq]);

describe('a PASID that is allocated', () => {
  test('is held from its allocation to its free, however often it is attached', () => {
    const told = fold((tell) => {
      tell('alloc', 5);
      tell('attach', 5, { target: NIC });
      tell('detach', 5, { target: NIC });
      tell('attach', 5, { target: NVME });
      tell('detach', 5, { target: NVME });
      tell('free', 5);
    });
    expect(lives(told)).toEqual([[1, 6]]);
    expect(told.attachments).toMatchObject([
      { function: '0000:00:03.0', tenure: 1, hwpt: 7, from_seq: 2, to_seq: 3 },
      { function: '0000:00:04.0', tenure: 1, hwpt: 8, from_seq: 4, to_seq: 5 },
    ]);
  });

  test('that is freed while attached is held until the last function lets go', () => {
    const told = fold((tell) => {
      tell('alloc', 5);
      tell('attach', 5, { target: NIC });
      tell('attach', 5, { target: NVME });
      tell('free', 5);
      tell('detach', 5, { target: NIC });
      tell('detach', 5, { target: NVME });
    });
    expect(lives(told)).toEqual([[1, 6]]);
    expect(told.tenures[0]).toMatchObject({ from_call: 'ALLOC', to_call: 'DETACH' });
  });

  test('that nobody frees is open at the end, and so is what it is attached to', () => {
    const told = fold((tell) => {
      tell('alloc', 5);
      tell('bind', 5, { target: NIC });
    });
    expect(lives(told)).toEqual([[1, null]]);
    expect(told.attachments).toMatchObject([{ from_seq: 2, to_seq: null }]);
    expect(told.scopes).toMatchObject([
      { kind: 'system', held: 1, high_water: 1 },
      { kind: 'process', held: 1 },
    ]);
  });

  test('is told of, but in no hands, when it is freed, detached or flushed without a holder', () => {
    const told = fold((tell) => {
      tell('free', 5);
      tell('detach', 5, { target: NIC });
      tell('flush', 5);
      tell('fault', 5, { target: NIC });
    });
    expect(told.tenures).toEqual([]);
    expect(told.events.map(({ what, tenure }) => `${what} ${tenure}`)).toEqual([
      'free null',
      'detach null',
      'flush null',
      'fault null',
    ]);
  });

  test('that is handed out while it is held stays with its holder, and the events say so', () => {
    const told = fold((tell) => {
      tell('alloc', 5);
      tell('alloc', 5, { context: 2 });
      tell('free', 5);
    });
    expect(lives(told)).toEqual([[1, 3]]);
    expect(told.events[1]).toMatchObject({ what: 'alloc', context: 2, tenure: 1, reason: 'held-already' });
  });
});

describe('a number that is handed out again', () => {
  const reuseAfter = (between: (tell: Tell) => void, flushes = false) =>
    fold((tell) => {
      tell('alloc', 5);
      tell('attach', 5, { target: NIC });
      tell('detach', 5, { target: NIC, flushes });
      between(tell);
      tell('alloc', 5);
    }).tenures[1];

  test.each([
    ['without a flush', [['free', 5]], false, 'none', 1],
    [
      'flushed before the free',
      [
        ['flush', 5],
        ['free', 5],
      ],
      false,
      'asked',
      1,
    ],
    [
      'flushed after the free',
      [
        ['free', 5],
        ['flush', 5],
      ],
      false,
      'asked',
      2,
    ],
    ['flushed by the kernel', [['free', 5]], true, 'kernel', 1],
    [
      'another one flushed',
      [
        ['free', 5],
        ['flush', 6],
      ],
      false,
      'none',
      2,
    ],
  ] as const)('%s', (_, steps, flushes, reuse_flush, reuse_calls) => {
    const between = (tell: Tell) => {
      for (const [what, pasid] of steps) tell(what, pasid);
    };
    expect(reuseAfter(between, flushes)).toMatchObject({ previous: 1, reuse_flush, reuse_calls });
  });

  test('a flush counts only until the next use', () => {
    const told = fold((tell) => {
      tell('alloc', 5);
      tell('flush', 5);
      tell('attach', 5, { target: NIC });
      tell('detach', 5, { target: NIC });
      tell('free', 5);
      tell('alloc', 5);
    });
    expect(told.tenures[1]).toMatchObject({ reuse_flush: 'none' });
  });

  test('is another number in another scope', () => {
    const told = fold((tell) => {
      tell('attach', 5, { space: { kind: 'function', name: NIC.function }, target: NIC });
      tell('attach', 5, { space: { kind: 'function', name: NVME.function }, target: NVME });
    });
    expect(told.tenures).toMatchObject([{ previous: null }, { previous: null }]);
    expect(lives(told)).toEqual([
      [1, null],
      [2, null],
    ]);
  });
});

describe('scopes', () => {
  test('count what is held: the system, the set with its quota, the process', () => {
    const set = { set: 'vm-1', setQuota: 2 };
    const told = fold((tell) => {
      tell('alloc', 1, set);
      tell('alloc', 2, set);
      tell('refuse', 3, { ...set, reason: 'quota' });
      tell('free', 1, set);
      tell('alloc', 4);
    });
    const row = (kind: string) => told.scopes.find((scope) => scope.kind === kind);
    expect(row('system')).toMatchObject({
      tenures: 3,
      held: 2,
      high_water: 2,
      high_water_seq: 2,
      refused: 1,
    });
    expect(row('set')).toMatchObject({
      name: 'vm-1',
      quota: 2,
      tenures: 2,
      held: 1,
      high_water: 2,
      refused: 1,
    });
    expect(row('process')).toMatchObject({ name: '9', is_space: 0, tenures: 3, held: 2 });
    expect(told.tenures.map(({ set_scope }) => set_scope)).toEqual([
      row('set')!.scope,
      row('set')!.scope,
      null,
    ]);
  });
});

describe('what else happens to a PASID', () => {
  test('KVM mappings name the PASID of the guest, faults are counted', () => {
    const told = fold((tell) => {
      tell('alloc', 5);
      tell('kvm-map', 5, { vpasid: 77, vm: 'kvm-4' });
      tell('fault', 5, { target: NIC });
      tell('fault', 5, { target: NIC });
      tell('fault-read', 5, { target: NIC });
      tell('kvm-unmap', 5, { vpasid: 77, vm: 'kvm-4' });
    });
    expect(told.tenures).toMatchObject([{ vpasid: 77, faults_reported: 2, faults_read: 1 }]);
    expect(told.events[1]).toMatchObject({ what: 'kvm-map', vpasid: 77, vm: 'kvm-4', tenure: 1 });
  });

  test('a context that goes without freeing leaves an orphan, of its own generation only', () => {
    const told = fold((tell, history) => {
      tell('alloc', 5);
      tell('alloc', 6, { context: 2 });
      const call = { seq: 50, nth: 50, pid: 9, fd: null, name: 'close' };
      history.release(1, 'iommufd', call);
      history.release(1, 'proposal-2021-05', call);
    });
    expect(told.tenures.map(({ orphan_seq, to_seq }) => [orphan_seq, to_seq])).toEqual([
      [50, null],
      [null, null],
    ]);
    expect(told.events.at(-1)).toMatchObject({ what: 'orphan', seq: 50, tenure: 1, call: 'close' });
  });
});
