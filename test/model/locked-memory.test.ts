import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Prediction, predictTrace, replayTrace } from '../../replay/index.ts';
import {
  chooseProfile,
  createKernel,
  execute,
  executeWithPatches,
  type Kernel,
  restoreKernel,
  serializeKernel,
} from '../../src/model/index.ts';
import type { Call, Note } from '../../src/trace/index.ts';
import { runEach } from '../support/every-call.ts';
import { fixtureNames, readFixture } from '../support/fixtures.ts';
import { endAll, lockedMismatches } from '../support/locked-counts.ts';
import { type Recording, withStored } from '../support/stored.ts';
import { stripReply } from '../support/strip.ts';

/** RLIMIT_MEMLOCK: what is charged to whom, and when it is too much. */

const FIXTURES = join(import.meta.dirname, '..', 'fixtures');
/** Folder and kernel of the captures whose `limits` notes were recorded. */
const RECORDED: readonly (readonly [string, string, number])[] = [
  ['linux-6.12-limits', 'linux-6.12', 9482],
  ['linux-7.3-limits', 'linux-7.3', 11_879],
];
/**
 * What the text markers of two older captures stand for: setrlimit, then setuid, which drops what root may
 * do.
 */
const MARKERS: Readonly<Record<string, Note['fields']>> = {
  'RLIMIT_MEMLOCK 16 pages, still root': { memlock: '0x10000' },
  'uid 65534 from here': { uid: 65_534, capabilities: [] },
};

function isPredicted(call: Call): call is Extract<Call, { errno: number }> & { ret: number } {
  return call.op === 'ioctl' || call.op === 'read' || call.op === 'write';
}

/** Return value and errno of every call, from the inputs alone. */
function answers({ header, calls }: Recording, kernel: string): [number, unknown, number][] {
  const predictions = new Map<number, Prediction>();
  withStored({ header, calls: calls.map(stripReply) }, (store, trace) => {
    predictTrace(store, trace, (prediction) => predictions.set(prediction.seq, prediction), { kernel });
  });
  return calls.filter(isPredicted).map(({ seq }) => {
    const { ret, errno } = predictions.get(seq)!;
    return [seq, ret, errno!];
  });
}

function recorded({ calls }: Recording): [number, number, number][] {
  return calls.filter(isPredicted).map(({ seq, ret, errno }) => [seq, ret, errno]);
}

describe('limits of a real kernel', () => {
  test.each(['legacy48-rlimit', 'scalable-rlimit'])('%s: with notes where its markers are', (name) => {
    const capture = readFixture(name, join(FIXTURES, 'linux-6.12-vtd'));
    let told = 0;
    const calls = capture.calls.map((call): Call => {
      if (call.op !== 'note') return call;
      const fields = MARKERS[String(call.fields['text'])];
      if (fields === undefined) return call;
      told += 1;
      return { ...call, kind: 'limits', fields };
    });
    expect(told).toBe(2);
    const limited = { header: capture.header, calls };
    expect(recorded(limited).filter(([, , errno]) => errno === 12)).toHaveLength(5);
    expect(answers(limited, 'linux-6.12')).toEqual(recorded(limited));
    // Without them it is root's, whom nothing limits.
    expect(answers(capture, 'linux-6.12')).not.toEqual(recorded(capture));
  });

  test.each(RECORDED)('%s is predicted from its inputs alone', (folder, kernel, ioctls) => {
    let compared = 0;
    for (const name of fixtureNames(join(FIXTURES, folder))) {
      const capture = readFixture(name, join(FIXTURES, folder));
      const expected = recorded(capture);
      expect(answers(capture, kernel)).toEqual(expected);
      compared += expected.length;
      withStored(capture, (store, trace) => {
        const { divergences } = replayTrace(store, trace, { kernel });
        expect(divergences).toEqual([]);
      });
    }
    expect(compared).toBe(ioctls);
  });
});

describe('counts of locked memory', () => {
  test.each(['counting', 'random'])('%s: are what areas and pins hold, after every call', (name) => {
    const wrong = new Set<string>();
    let charged = 0;
    runEach({ folder: 'linux-6.12-limits', name }, (kernel, call) => {
      execute(kernel, call);
      for (const mismatch of lockedMismatches(kernel)) wrong.add(`${call.seq}: ${mismatch}`);
      charged += Object.keys(kernel.state.locked.users).length;
    });
    expect([...wrong]).toEqual([]);
    expect(charged).toBeGreaterThan(1000);
  });

  test.each([
    ['linux-6.12-limits', 'counting'],
    ['linux-6.12-limits', 'random'],
    ['linux-7.3-limits', 'change-process'],
  ])('%s/%s: are all gone once every process has ended, wherever that is', (folder, name) => {
    const left = new Set<string>();
    let ended = 0;
    runEach({ folder, name }, (kernel, call) => {
      execute(kernel, call);
      if (call.seq % 41 !== 0) return;
      const other = restored(kernel);
      endAll(other);
      const { users, spaces } = other.state.locked;
      if (Object.keys(users).length + Object.keys(spaces).length > 0)
        left.add(`${call.seq}: ${JSON.stringify({ users, spaces })}`);
      ended += 1;
    });
    expect([...left]).toEqual([]);
    expect(ended).toBeGreaterThan(50);
  });

  test('change the same on a draft as in place, and go through a snapshot', () => {
    const { calls } = readFixture('counting', join(FIXTURES, 'linux-6.12-limits'));
    const inPlace = createKernel(chooseProfile('linux-6.12', 4096).profile);
    let drafted = createKernel(inPlace.profile);
    for (const call of calls.slice(0, 900)) {
      execute(inPlace, call);
      executeWithPatches(drafted, call);
      if (call.seq % 3 === 0) drafted = restored(drafted);
      expect(Buffer.from(serializeKernel(drafted)).equals(serializeKernel(inPlace))).toBe(true);
    }
  });
});

describe('limits that no record tells of', () => {
  test.each(['legacy48-rlimit', 'scalable-rlimit'])('%s: are learned from the refusals', (name) => {
    const { calls, header } = readFixture(name, join(FIXTURES, 'linux-6.12-vtd'));
    const result = withStored({ header, calls }, replayTrace);
    expect(result).toMatchObject({ diverged: 0, partial: 3 });
    const facts = result.hardware.filter(({ owner }) => owner.startsWith('process '));
    expect(facts.map(({ fact, value }) => `${fact}: ${value}`)).toEqual([
      'locked memory: 16 pages at most',
      'CAP_SYS_RESOURCE: no',
    ]);
  });

  test('of a classic container are learned too, and the refused mapping leaves nothing behind', () => {
    const { calls, header } = readFixture('container', join(FIXTURES, 'linux-6.12-limits'));
    const silent = calls.filter((call) => call.op !== 'note' || call.kind !== 'limits');
    const result = withStored({ header, calls: silent }, replayTrace);
    expect(result.partial).toBeGreaterThan(50);
    // A mapping changes its owner: what the new one could lock no map had told.
    expect(result.divergences.map(({ seq }) => seq)).toEqual([721]);
  });
});

function restored(kernel: Kernel): Kernel {
  return restoreKernel(serializeKernel(kernel), kernel.profile);
}
