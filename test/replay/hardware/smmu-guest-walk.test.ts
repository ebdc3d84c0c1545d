import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { SmmuExpectation } from '../../../replay/hardware/smmu-expectation.ts';
import { type NestedResult, walkNested } from '../../../replay/hardware/smmu-guest-walk.ts';
import { lookAtSmmu } from '../../../replay/hardware/smmu-look.ts';
import type { Access } from '../../../replay/hardware/table-format.ts';
import { withStored } from '../../support/stored.ts';
import { readSmmuCapture, smmuFixtures, smmuPoints } from './smmu-sweep.ts';

/** Walks through guests' tables, against what the real hardware did at these addresses. */

const FIXTURES = smmuFixtures(join(import.meta.dirname, '..', '..', 'fixtures', 'linux-7.3-arm'));
const OUTPUT_BITS = 44;
const EDU = '0000:00:01.0';

/** What the SMMU holds at each dump of a fixture. */
function looks(name: string) {
  const smmu = FIXTURES.find((each) => each.name === name)!;
  const capture = readSmmuCapture(smmu);
  const points = smmuPoints(smmu, capture.calls);
  const at = points.map(({ seq }) => seq);
  const found = withStored(capture, (store, id) => lookAtSmmu(store, store.findTrace(id)!, at))!;
  return points.map((point, index) => ({ ...point, look: found[index]! }));
}

function walk(look: SmmuExpectation, iova: bigint, access: Access): NestedResult | undefined {
  return walkNested(look.stream(EDU)!, iova, access, OUTPUT_BITS)?.result;
}

describe('a guest with its own tables', () => {
  const points = looks('canwbs-nest-s1');
  const at = (name: string) => points.find((point) => point.name === `smmu-${name}.txt.gz`)!;

  // The events are those that its event queue recorded at the same addresses.
  test.each([
    ['unmapped, read', 0x10100000n, 'r', { kind: 'fault', event: 'F_TRANSLATION', stage: 1 }],
    ['unmapped, written', 0x10101008n, 'w', { kind: 'fault', event: 'F_TRANSLATION', stage: 1 }],
    ['without a table', 0x50000000n, 'r', { kind: 'fault', event: 'F_TRANSLATION', stage: 1 }],
    ['above its 39 bits', 1n << 39n, 'r', { kind: 'fault', event: 'F_TRANSLATION', stage: 1 }],
    ['read only, written', 0x10002000n, 'w', { kind: 'fault', event: 'F_PERMISSION', stage: 1 }],
    ['without the access flag', 0x10004000n, 'r', { kind: 'fault', event: 'F_ACCESS', stage: 1 }],
    ['mapped to nothing', 0x10003000n, 'r', { kind: 'fault', event: 'F_TRANSLATION', stage: 2 }],
    ['a page', 0x10000010n, 'r', { kind: 'page', ipa: 0x40010010n, frame: 0x4abb1 }],
    ['read only, read', 0x10002000n, 'r', { kind: 'page', ipa: 0x40012000n, frame: 0xfdf6b }],
    ['in a block', 0x10234560n, 'r', { kind: 'page', ipa: 0x50034560n, frame: 0x41034 }],
  ] as const)('finds an address that is %s', (_what, iova, access, expected) => {
    expect(walk(at('s1').look, iova, access)).toEqual(expected);
  });

  test('finds no descriptor where the host maps nothing, and none after its memory went', () => {
    const expected = { kind: 'fault', event: 'F_TRANSLATION', stage: 2 };
    expect(walk(at('cd-unmapped').look, 0x10000010n, 'r')).toEqual(expected);
    expect(walk(at('ram-unmapped').look, 0x10000010n, 'r')).toEqual(expected);
  });

  test('does not walk with an entry that is not valid', () => {
    expect(walk(at('v0').look, 0x10000010n, 'r')).toBeUndefined();
  });

  test('goes where the dump says, at every leaf of a guest', () => {
    let leaves = 0;
    for (const { look, dump } of points) {
      const stream = look.stream(EDU)!;
      const stage = dump.streams[0]!.stages.find((each) => each.stage === 1);
      if (stream.guest === null || stream.guest.mayHaveChanged) continue;
      for (const { page, level, word } of stage?.entries ?? []) {
        if (level !== 1) continue;
        const found = walk(look, BigInt(page) << 12n, 'r');
        if (found?.kind !== 'page') continue;
        expect(found.ipa).toBe(word & 0xffff_ffff_f000n);
        leaves += 1;
      }
    }
    expect(leaves).toBeGreaterThan(10);
  });
});

test('memory that the trace does not hold is said to be unknown', () => {
  const points = looks('canwbs-nest-vdev');
  const results = points.map(({ look }) => walk(look, 0n, 'r'));
  expect(results.filter((result) => result !== undefined)).not.toEqual([]);
  for (const result of results) if (result !== undefined) expect(result.kind).toBe('unknown');
});
