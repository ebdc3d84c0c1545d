import { describe, expect, test } from 'vitest';
import {
  chooseProfile,
  createKernel,
  execute,
  executeWithPatches,
  serializeKernel,
} from '../../src/model/index.ts';
import { fixtureCalls, fixtureNames } from '../support/fixtures.ts';

/** Fixtures short enough to serialize the whole state after every call. */
const SHORT = fixtureNames().filter(
  (name) => !/access_rw|all_aligns|fork|copy_sweep|ioas_iova_alloc/.test(name),
);

describe('a call executed on an Immer draft', () => {
  test.each(SHORT)('%s: leaves the same state and answers the same as in place, call by call', (name) => {
    const { profile } = chooseProfile('6.12', 4096);
    const inPlace = createKernel(profile);
    const drafted = createKernel(profile);
    for (const call of fixtureCalls(name)) {
      const { ret, errno, reason } = execute(inPlace, call);
      const { reply } = executeWithPatches(drafted, call);
      expect([call.seq, reply.ret, reply.errno, reply.reason]).toEqual([call.seq, ret, errno, reason]);
      expect(Buffer.compare(serializeKernel(drafted), serializeKernel(inPlace)), `call ${call.seq}`).toBe(0);
    }
  });

  test('leaves the state before untouched and says what changed in patches', () => {
    const kernel = createKernel(chooseProfile('6.12', 4096).profile);
    const [open, alloc] = fixtureCalls('iommufd_ioas.no_domain.ioas_auto_destroy').filter(
      (call) => call.op === 'open' || call.op === 'ioctl',
    );
    execute(kernel, open!);
    const before = kernel.state;
    const { patches } = executeWithPatches(kernel, alloc!);
    expect(Object.keys(before.contexts[1]!.objects)).toEqual([]);
    expect(Object.keys(kernel.state.contexts[1]!.objects)).toEqual(['1']);
    const created = patches.find(({ path }) => path.join('/') === 'contexts/1/objects/1');
    expect(created).toMatchObject({ op: 'add', value: { type: 'ioas', id: 1, users: 1 } });
  });
});
