import { describe, expect, test } from 'vitest';
import { buildStruct, CMD, ERRNO, IOMMU_IOAS_ALLOC } from '../../src/uapi/index.ts';
import { editedIoctl, opened, replay, withNumber } from '../support/edit.ts';
import { predictionsOf } from '../support/predictions.ts';

/** A recorder keeps 4096 bytes of a struct; a size field may say more. */

const KEPT = 4096;

/** One IOAS_ALLOC that says it has `size` bytes, of which the first page was recorded, all zero behind. */
function cut(size: number, answer: { ret: number; errno: number }) {
  const session = opened();
  session.ioctl(3, CMD.IOMMU_IOAS_ALLOC, buildStruct(IOMMU_IOAS_ALLOC, {}));
  const { seq } = session.calls.at(-1)!;
  const page = withNumber(new Uint8Array(KEPT), 0, size);
  const out = answer.errno === 0 ? withNumber(page, 8, 1) : page;
  return { seq, recording: editedIoctl(session.recording(), seq, () => ({ arg: page, out, ...answer })) };
}

describe('a struct longer than what was recorded of it', () => {
  test('is taken to have a byte that is set, and predicted to be refused for it', () => {
    const { recording, seq } = cut(KEPT + 1, { ret: -1, errno: ERRNO.E2BIG });
    expect(replay(recording)).toMatchObject({ divergences: [], partial: 0, learned: 0 });
    expect(predictionsOf(recording).get(seq)).toMatchObject({
      ret: -1,
      errno: ERRNO.E2BIG,
      reason: 'struct-tail-not-zero',
      assumed: ['struct tail not recorded: not all zero'],
    });
  });

  test.each([
    ['was all zero when the call worked', { ret: 0, errno: 0 }],
    ['could not be read when the call faulted', { ret: -1, errno: ERRNO.EFAULT }],
  ])('%s: learned from the reply, and not counted as predicted', (_, answer) => {
    const { recording } = cut(KEPT + 1, answer);
    expect(replay(recording)).toMatchObject({ divergences: [], partial: 1, learned: 1 });
  });

  test('has no assumption where the page that was recorded holds it all', () => {
    const { recording, seq } = cut(KEPT, { ret: 0, errno: 0 });
    expect(replay(recording)).toMatchObject({ divergences: [], partial: 0 });
    const prediction = predictionsOf(recording).get(seq);
    expect(prediction).toMatchObject({ ret: 0, errno: 0 });
    expect(prediction).not.toHaveProperty('assumed');
  });
});
