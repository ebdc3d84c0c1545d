import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { replayTrace } from '../../replay/index.ts';
import type { Call, Note } from '../../src/trace/index.ts';
import { hexOf } from '../../src/uapi/index.ts';
import { fixtureNames, readFixture } from '../support/fixtures.ts';
import { addCompared, comparePredictions, noneCompared } from '../support/predictions.ts';
import { type Recording, withStored } from '../support/stored.ts';

/**
 * Random sequences on the mock IOMMU, as Linux 6.12 answered them: return value, errno, every byte of the
 * struct and of user buffers.
 */

const FOLDER = join(import.meta.dirname, '..', 'fixtures', 'linux-6.12-fuzz-mock');
const NAMES = fixtureNames(FOLDER);
/** What the fixtures hold, counted by other means than our reader: comparing nothing proves nothing. */
const EXPECTED = { ioctls: 14_533, closes: 408, transfers: 0, buffers: 3_356, faulted: 0, guesses: 308 };

/** Two mmaps come first in each capture, and then the marker that says what is in them. */
const MARKER_AT = 2;
const MARKER = /; buf 0x100000000000 byte\[i\]=\(i\*31\+\(i>>12\)\)&255, huge 0x200000000000 all 0x77$/;
/** Makes room for what is put into a capture. */
const SHIFT = 10;

/** The capture with the content of memory, which its marker tells in words, as notes that a replay reads. */
function withMemory({ header, calls }: Recording): Recording {
  const [first, second, marker, ...rest] = calls;
  expect(marker).toMatchObject({
    op: 'note',
    seq: MARKER_AT,
    fields: { text: expect.stringMatching(MARKER) },
  });
  const buffer = Uint8Array.from({ length: 0x40000 }, (_, i) => (i * 31 + (i >> 12)) & 255);
  const huge = new Uint8Array(0x400000).fill(0x77);
  const notes = [
    usermem(marker!, MARKER_AT + 1, '0x100000000000', buffer),
    usermem(marker!, MARKER_AT + 2, '0x200000000000', huge),
  ];
  const later = rest.map((call): Call => ({ ...call, seq: call.seq + SHIFT }));
  return { header, calls: [first!, second!, marker!, ...notes, ...later] };
}

function usermem(like: Call, seq: number, va: string, bytes: Uint8Array): Note {
  const { pid, tid, tNs, extra } = like;
  const fields = { va, len: bytes.length, hex: hexOf(bytes) };
  return { op: 'note', seq, pid, tid, tNs, extra, kind: 'usermem', fields };
}

describe('random calls on the mock IOMMU of Linux 6.12', () => {
  const total = noneCompared();

  test.each(NAMES)('%s: replays without a divergence', (name) => {
    const result = withStored(readFixture(name, FOLDER), replayTrace);
    expect(result.divergences).toEqual([]);
    expect(result).toMatchObject({ diverged: 0, notModelled: {}, profileExact: true });
    expect(result.calls).toBeGreaterThan(100);
  });

  test.each(NAMES)('%s: is predicted byte for byte from a capture without replies', (name) => {
    addCompared(total, comparePredictions(withMemory(readFixture(name, FOLDER))));
  });

  test('are compared whole: every ioctl, close and user buffer', () => {
    expect(total).toEqual(EXPECTED);
  });
});
