import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { type DmaDifference, lookAtIotlb } from '../../../../replay/index.ts';
import { parseCapture } from '../../../../src/trace/index.ts';
import { withStored } from '../../../support/stored.ts';
import { MEMORY, startWorld } from './world.ts';

/** What a record says became of an access of a device, against what the caches and tables give. */

const CAPTURE = gunzipSync(readFileSync('test/fixtures/linux-6.12-vtd/legacy48-dma.jsonl.gz')).toString();
const LINES = CAPTURE.trimEnd().split('\n');
/** The map of four pages at 0x100000, and the note of what is behind them. */
const NOTE = JSON.parse(LINES.find((line) => line.includes('"pagemap"'))!) as { pfns: number[] };
/** Markers right before the program's own accesses: records of an access are put in their places. */
const MARKERS = LINES.flatMap((line, at) => (line.includes('"text":"DMA read') ? [at] : []));

type Fields = Record<string, unknown>;

function differencesOf(records: readonly Fields[]): Pick<DmaDifference, 'field' | 'recorded' | 'ours'>[] {
  const lines = [...LINES];
  records.forEach((fields, index) => {
    const at = MARKERS[index]!;
    const { seq, pid } = JSON.parse(lines[at]!) as { seq: number; pid: number };
    lines[at] = JSON.stringify({ op: 'dma', seq, pid, device: '0000:00:02.0', access: 'r', ...fields });
  });
  return withStored(parseCapture(lines.join('\n')), (store, id) =>
    lookAtIotlb(store, store.findTrace(id)!, null).differences.map(({ field, recorded, ours }) => ({
      field,
      recorded,
      ours,
    })),
  );
}

const hex = (value: bigint): string => `0x${value.toString(16)}`;
/** Physical address of the byte at 0x100000 + offset. */
const physical = (offset: number): string =>
  hex(BigInt(NOTE.pfns[offset >> 12]!) * 4096n + BigInt(offset & 0xfff));

describe('a record of an access', () => {
  it.each([
    [{ iova: '0x103040', result: 'miss', physical: physical(0x3040) }],
    [{ iova: '0x102ff0', len: 32, result: 'miss', physical: physical(0x2ff0) }],
    [{ iova: '0xdead0000', result: 'fault' }],
    [{ iova: '0x103040' }],
  ])('%j agrees with the tables', (fields) => {
    expect(differencesOf([fields])).toEqual([]);
  });

  it.each([
    [{ result: 'hit' }, { field: 'result', recorded: 'hit', ours: 'miss' }],
    [{ result: 'fault' }, { field: 'result', recorded: 'fault', ours: 'miss' }],
    [
      { iova: '0xdead0000', result: 'miss' },
      { field: 'result', recorded: 'miss', ours: 'fault' },
    ],
    [
      { physical: physical(0x3041) },
      { field: 'physical', recorded: physical(0x3041), ours: physical(0x3040) },
    ],
    [
      { result: 'miss', physical: '0x1040' },
      { field: 'physical', recorded: '0x1040', ours: physical(0x3040) },
    ],
  ])('%j differs', (fields, difference) => {
    expect(differencesOf([{ iova: '0x103040', ...fields }])).toEqual([difference]);
  });

  it('may be a hit once an access has filled an entry', () => {
    const first = { iova: '0x103040', result: 'miss' };
    expect(differencesOf([first, { iova: '0x103048', result: 'hit', physical: physical(0x3048) }])).toEqual(
      [],
    );
  });
});

describe('an entry of a device in the context cache', () => {
  it('is stale when the device has another one and nothing was invalidated', () => {
    const world = startWorld('vtd', '7.3', [{}], 0);
    const [iotlb] = world.iotlbs;
    world.attach(world.ioas);
    world.map(0x10000, MEMORY, 1);
    iotlb!.access({ device: 0, pasid: 0, page: 0x10, access: 'r' });
    const [{ iommu } = { iommu: '' }] = iotlb!.entries();
    const [slot] = iotlb!.slots();
    expect(slot).toMatchObject({ device: 0, pasid: 0, stale: null });
    // As if device 1 had been there too, and its driver had forgotten the invalidation.
    iotlb!.caches.get(iommu)!.slots.set('1/0', { ...slot!, device: 1, tag: 'd77' });
    world.detach();
    expect(iotlb!.slots()).toMatchObject([
      { device: 1, tag: 'd77', stale: { now: 'nothing', who: 'kernel' } },
    ]);
  });
});
