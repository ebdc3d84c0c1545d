import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createTranslator, findSlot, lookAt, type Translator } from '../../../replay/index.ts';
import { type Call, type Note, parseCapture } from '../../../src/trace/index.ts';
import { withStored } from '../../support/stored.ts';
import { readText } from './sweep.ts';

/** A guest's tables over VT-d's second stage, in memory that the trace tells of. */

const CAPTURE = join(
  import.meta.dirname,
  '..',
  '..',
  'fixtures',
  'linux-7.3-hw',
  'vtd-ss-nested-nested.jsonl.gz',
);
const EDU = '0000:00:02.0';
/**
 * In the capture, IOVA 0x100000 of the nest parent shows this user memory; the guest's top table is there.
 */
const USER_MEMORY = 0x7fbd084cd000n;
const TOP = 0x100000;
/** A marker before the nested table is attached, in whose place the guest's memory is told. */
const TOLD_AT = 25;
const ATTACHED = 28;

/** Four tables, one a page, and the last one's entries by index. */
function guestMemory(leaves: Readonly<Record<number, bigint>>): Uint8Array {
  const bytes = new Uint8Array(4 * 4096);
  const view = new DataView(bytes.buffer);
  for (const table of [0, 1, 2])
    view.setBigUint64(table * 4096, BigInt(TOP + (table + 1) * 4096) | 0x27n, true);
  for (const [index, word] of Object.entries(leaves))
    view.setBigUint64(3 * 4096 + Number(index) * 8, word, true);
  return bytes;
}

function noteOf(bytes: Uint8Array, at: Call): Note {
  const fields = {
    va: `0x${USER_MEMORY.toString(16)}`,
    len: bytes.length,
    hex: Buffer.from(bytes).toString('hex'),
  };
  return { ...(at as Note), kind: 'bytes', fields };
}

const original = parseCapture(readText(CAPTURE), CAPTURE);
/** Physical pages of the user's memory, by the note after it was mapped. */
const noted = original.calls.find((call) => call.op === 'note' && call.kind === 'pagemap') as Note;
const frames = noted.fields['pfns'] as readonly number[];

/** Translates for the device at the point where its nested table is attached. */
function translator(bytes: Uint8Array | null): Translator {
  const calls = original.calls.map((call) =>
    bytes !== null && call.seq === TOLD_AT ? noteOf(bytes, call) : call,
  );
  const view = withStored({ ...original, calls }, (store, id) =>
    lookAt(store, store.findTrace(id)!, ATTACHED),
  );
  return createTranslator(view, findSlot(view, EDU, 0)!);
}

describe("a guest's page table over the second stage of VT-d", () => {
  const translate = translator(
    guestMemory({
      5: BigInt(TOP + 16 * 4096) | 0x67n,
      6: BigInt(TOP + 17 * 4096) | 0x25n,
      7: 0x700000n | 0x67n,
      8: BigInt(TOP + 18 * 4096) | 0x63n,
    }),
  );

  test('leads to the page that the host gave the guest', () => {
    const found = translate(0x5123n, 'w');
    const physical = BigInt(frames[16]!) * 4096n + 0x123n;
    expect(found).toMatchObject({ outcome: 'page', physical, pageBytes: 4096 });
    expect(found.steps().map(({ at }) => at)).toEqual([
      `device entry of ${EDU}`,
      `PASID entry 0 of ${EDU}`,
      'first stage root',
      'first stage level 4',
      'first stage level 3',
      'first stage level 2',
      'first stage level 1',
      'second stage of 0x110123, level 4',
      'second stage of 0x110123, level 3',
      'second stage of 0x110123, level 2',
      'second stage of 0x110123, level 1',
    ]);
    expect(found.steps()[6]).toMatchObject({ index: 5, word: { value: 0x110067n } });
  });

  test.each([
    ['that is not there', 0x9000n, 'r', 0x71],
    ['that is read-only, written', 0x6000n, 'w', 0x85],
    ['that the host does not map', 0x7000n, 'r', 0x86],
    ["that is the supervisor's", 0x8000n, 'r', 0x81],
    ['that is not canonical', 1n << 47n, 'r', 0x80],
  ] as const)('faults at a page %s', (_what, iova, access, code) => {
    expect(translate(iova, access)).toMatchObject({ outcome: 'fault', fault: { code } });
  });

  test('is unknown, and which memory is missing is said, where the trace did not record it', () => {
    const why = "the trace does not hold 0x100000 of the guest's memory";
    expect(translator(null)(0x5123n, 'r')).toMatchObject({ outcome: 'unknown', physical: null, why });
  });
});
