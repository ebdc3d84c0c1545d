import { describe, expect, it } from 'vitest';
import { type IotlbStep, lookAtIotlb } from '../../../../replay/index.ts';
import { callToRecord, parseRecord } from '../../../../src/trace/index.ts';
import { startSession } from '../../../support/session.ts';
import { withStored } from '../../../support/stored.ts';
import { MEMORY, startWorld } from './world.ts';

/** What enters the caches from records of a trace. */

const AT = { fileName: 'run.jsonl', lineNumber: 1, previousSeq: -1 };
const line = (fields: object): string => JSON.stringify({ op: 'dma', seq: 4, pid: 1, ...fields });

describe('a record dma', () => {
  it('is read with what it leaves out filled in, and written back', () => {
    const parsed = parseRecord(line({ device: '0000:00:02.0', iova: '0x1000' }), AT);
    if (parsed.type !== 'call' || parsed.call.op !== 'dma') throw new Error('no access');
    expect(parsed.call).toMatchObject({ iova: 0x1000n, len: 1, access: 'r', pasid: 0, result: null });
    const again = parseRecord(JSON.stringify(callToRecord(parsed.call)), AT);
    expect(again).toEqual(parsed);
  });

  it.each([
    [{ iova: '0x0' }, '"device"'],
    [{ device: 'd', iova: '0x0', len: 0 }, '"len" must be between 1 and 2^32'],
    [{ device: 'd', iova: '0x0', access: 'rw' }, '"access" must be one of r, w, x'],
    [{ device: 'd', iova: '0x0', result: 'maybe' }, '"result" must be one of hit, miss, fault'],
    [{ device: 'd', iova: '0x0', pasid: 2 ** 20 }, '"pasid" must be below 2^20'],
    [{ device: 'd', iova: '0xffffffffffffffff', len: 2 }, 'must end below 2^64'],
  ])('%j is refused by name', (fields, text) => {
    expect(() => parseRecord(line(fields), AT)).toThrow(text);
  });

  it('comes back from a store, and counts as no call', () => {
    const session = startSession();
    session.open(3);
    const parsed = parseRecord(line({ device: 'x', iova: '0x2fff', len: 2, access: 'w', pasid: 7 }), AT);
    if (parsed.type !== 'call') throw new Error('no access');
    const { header, calls } = session.recording();
    withStored({ header, calls: [...calls, parsed.call] }, (store, id) => {
      expect([...store.readCallsExact(id)].at(-1)).toEqual(parsed.call);
      const steps: IotlbStep[] = [];
      const view = lookAtIotlb(store, store.findTrace(id)!, null, { onStep: (step) => steps.push(step) });
      // Nobody knows the device, and so nothing is known of its way.
      expect([view.entries, steps]).toEqual([[], []]);
    });
  });
});

describe('an access that nothing lets through', () => {
  it('leaves the fault that the hardware records', () => {
    const steps: IotlbStep[] = [];
    const world = startWorld('vtd', '7.3', [{ onStep: (step) => steps.push(step) }], 0);
    const [iotlb] = world.iotlbs;
    world.map(0x10000, MEMORY, 1);
    const request = { device: 0, pasid: 0, access: 'w' } as const;
    iotlb!.access({ ...request, page: 0x10 });
    world.attach(world.ioas);
    iotlb!.access({ ...request, page: 0x10 });
    iotlb!.access({ ...request, page: 0x11 });
    world.detach();
    const faults = steps.flatMap((step) => step.faults);
    expect(faults.map(({ page, fault }) => [page, fault?.code])).toEqual([
      [0x10, 0x59],
      [0x11, 0x71],
    ]);
  });
});
