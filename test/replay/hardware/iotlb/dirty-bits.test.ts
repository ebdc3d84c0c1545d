import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { lookAtIotlb } from '../../../../replay/index.ts';
import { parseCapture } from '../../../../src/trace/index.ts';
import { withStored } from '../../../support/stored.ts';

/** Dirty bits that a call reads and clears: what is cached would not set them again. */

const CAPTURE = 'test/fixtures/linux-7.3-hw/amd-efr-v1-dirty-hwdirty.jsonl.gz';

/** Pages that were flushed because bits were cleared, by record. */
function flushed(kernel: string): [seq: number, first: number | 'all', last: number | 'all'][] {
  return withStored(parseCapture(gunzipSync(readFileSync(CAPTURE)).toString(), CAPTURE), (store, id) => {
    const found: [number, number | 'all', number | 'all'][] = [];
    lookAtIotlb(store, store.findTrace(id)!, 40, {
      kernel,
      onStep({ seq, invalidations }) {
        for (const { cause, cache, granularity, firstPage, lastPage, leafOnly } of invalidations) {
          if (cause !== 'tracking' || cache !== 'iotlb' || leafOnly !== true) continue;
          const isAll = granularity === 'domain';
          found.push([seq, isAll ? 'all' : firstPage, isAll ? 'all' : lastPage]);
        }
      },
    });
    return found;
  });
}

describe('GET_DIRTY_BITMAP', () => {
  it('flushes from the first leaf that was dirty to the last, unless it clears nothing', () => {
    // 23, 25 and 27 have NO_CLEAR; 37 found nothing dirty; 32 found the second of three pages dirty.
    expect(flushed('7.3')).toEqual([
      [30, 0x100, 0x13f],
      [32, 0x201, 0x201],
      [34, 0x400, 0x5ff],
      [40, 0x400, 0x5ff],
    ]);
  });

  it('flushes everything on 6.12 where nothing was dirty', () => {
    expect(flushed('6.12')).toContainEqual([37, 'all', 'all']);
  });
});
