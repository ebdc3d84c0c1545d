import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Access } from '../../../replay/hardware/table-format.ts';
import type { HardwareView, Translation } from '../../../replay/index.ts';
import { findSlot, lookAtAll, lookAtSmmu, translate } from '../../../replay/index.ts';
import { withStored } from '../../support/stored.ts';
import { readSmmuCapture, smmuFixtures, smmuPoints } from './smmu-sweep.ts';

/** Walks through guests' tables, against what the real hardware did at these addresses. */

const FIXTURES = smmuFixtures(join(import.meta.dirname, '..', '..', 'fixtures', 'linux-7.3-arm'));
const EDU = '0000:00:01.0';

/** What the SMMU holds at each dump of a fixture. */
function looks(name: string) {
  const smmu = FIXTURES.find((each) => each.name === name)!;
  const capture = readSmmuCapture(smmu);
  const points = smmuPoints(smmu, capture.calls);
  const at = points.map(({ seq }) => seq);
  return withStored(capture, (store, id) => {
    const trace = store.findTrace(id)!;
    const views = lookAtAll(store, trace, at);
    const found = lookAtSmmu(store, trace, at)!;
    return points.map((point, index) => ({ ...point, view: views[index]!, look: found[index]! }));
  });
}

function walk(view: HardwareView, iova: bigint, access: Access, pasid = 0): Translation {
  return translate(view, { slot: findSlot(view, EDU, pasid)!, iova, access, pasid });
}

/** Guest's address that the second stage was asked for last. */
function lastIpa(translation: Translation): bigint | null {
  const at = translation.steps().at(-1)?.at ?? '';
  return /^second stage of (0x[0-9a-f]+),/.test(at) ? BigInt(/0x[0-9a-f]+/.exec(at)![0]) : null;
}

describe('a guest with its own tables', () => {
  const points = looks('canwbs-nest-s1');
  const at = (name: string) => points.find((point) => point.name === `smmu-${name}.txt.gz`)!;

  // The events are those that its event queue recorded at the same addresses.
  test.each([
    ['unmapped, read', 0x10100000n, 'r', 0x10, 'F_TRANSLATION (stage 1)'],
    ['unmapped, written', 0x10101008n, 'w', 0x10, 'F_TRANSLATION (stage 1)'],
    ['without a table', 0x50000000n, 'r', 0x10, 'F_TRANSLATION (stage 1)'],
    ['above its 39 bits', 1n << 39n, 'r', 0x10, 'F_TRANSLATION (stage 1)'],
    ['read only, written', 0x10002000n, 'w', 0x13, 'F_PERMISSION (stage 1)'],
    ['without the access flag', 0x10004000n, 'r', 0x12, 'F_ACCESS (stage 1)'],
    ['mapped to nothing', 0x10003000n, 'r', 0x10, 'F_TRANSLATION (stage 2)'],
  ] as const)('faults at an address that is %s', (_what, iova, access, code, name) => {
    expect(walk(at('s1').view, iova, access)).toMatchObject({ outcome: 'fault', fault: { code, name } });
  });

  test.each([
    ['a page', 0x10000010n, 0x40010010n, 0x4abb1, 12],
    ['read only, read', 0x10002000n, 0x40012000n, 0xfdf6b, 12],
    ['in a block', 0x10234560n, 0x50034560n, 0x41034, 12],
  ] as const)('finds the page behind an address that is %s', (_what, iova, ipa, frame, shift) => {
    const found = walk(at('s1').view, iova, 'r');
    const physical = BigInt(frame) * 4096n + (iova & 0xfffn);
    expect(found).toMatchObject({ outcome: 'page', physical });
    expect(found.pageBytes).toBeGreaterThanOrEqual(2 ** shift);
    expect(lastIpa(found)).toBe(ipa);
  });

  test('shows the way: entry, descriptor, levels of the first stage, levels of the second', () => {
    const steps = walk(at('s1').view, 0x10000010n, 'r').steps();
    expect(steps.map((step) => step.at)).toEqual([
      `stream table entry of ${EDU}`,
      'context descriptor',
      'first stage level 3',
      'first stage level 2',
      'first stage level 1',
      'second stage of 0x40010010, level 4',
      'second stage of 0x40010010, level 3',
      'second stage of 0x40010010, level 2',
      'second stage of 0x40010010, level 1',
    ]);
    expect(steps[1]!.says).toMatch(/^at 0x[0-9a-f]+ of the guest = 0x[0-9a-f]+, recorded at \d+$/);
  });

  test('finds no descriptor where the host maps nothing, and none after its memory went', () => {
    const expected = {
      outcome: 'fault',
      fault: { code: 0x10, name: 'F_TRANSLATION (stage 2, at the context descriptor)' },
    };
    expect(walk(at('cd-unmapped').view, 0x10000010n, 'r')).toMatchObject(expected);
    expect(walk(at('ram-unmapped').view, 0x10000010n, 'r')).toMatchObject(expected);
  });

  test('is aborted by an entry that is not valid, and no event tells', () => {
    expect(walk(at('v0').view, 0x10000010n, 'r')).toMatchObject({ outcome: 'fault', fault: { code: 0 } });
  });

  test('knows no PASID but the one of its single descriptor', () => {
    const expected = { outcome: 'fault', fault: { code: 8, name: 'C_BAD_SUBSTREAMID' } };
    expect(walk(at('s1').view, 0x10000010n, 'r', 1)).toMatchObject(expected);
  });

  test('goes where the dump says, at every leaf of a guest', () => {
    let leaves = 0;
    for (const { look, view, dump } of points) {
      const stream = look.stream(EDU)!;
      const stage = dump.streams[0]!.stages.find((each) => each.stage === 1);
      if (stream.guest === null || stream.guest.mayHaveChanged) continue;
      for (const { page, level, word } of stage?.entries ?? []) {
        if (level !== 1) continue;
        const found = walk(view, BigInt(page) << 12n, 'r');
        if (found.outcome !== 'page') continue;
        expect(lastIpa(found)).toBe(word & 0xffff_ffff_f000n);
        leaves += 1;
      }
    }
    expect(leaves).toBeGreaterThan(10);
  });
});

test('memory that the trace does not hold is said to be unknown', () => {
  const points = looks('canwbs-nest-vdev');
  const nested = points.filter(({ view }) => findSlot(view, EDU, 0)?.state.kind === 'nested');
  // Entries of the guest that do not translate by its own tables need no memory to be looked at.
  const hasTables = (translation: Translation): boolean =>
    ((translation.steps()[0]?.word?.value ?? 0n) & 0xen) === 0xen;
  const results = nested.map(({ view }) => walk(view, 0n, 'r')).filter(hasTables);
  expect(results).not.toEqual([]);
  for (const { outcome, why } of results) {
    expect(outcome).toBe('unknown');
    expect(why).toMatch(/^the trace does not hold 0x[0-9a-f]+ of the guest's memory$/);
  }
});
