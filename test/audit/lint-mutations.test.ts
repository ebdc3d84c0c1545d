import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Call } from '../../src/trace/index.ts';
import { fixtureNames, readFixture } from '../support/fixtures.ts';
import { answeredAnew, lint, spaced } from '../support/lint.ts';
import { MUTATIONS, type Mutation } from '../support/mutations.ts';
import type { Recording } from '../support/stored.ts';

/** Mistakes at random places of recorded traces: what lint says that it does not say of the trace itself. */

const FIXTURES = join(import.meta.dirname, '../fixtures');
const FOLDERS = ['6.12-vmm', '6.12-clients', '6.12-vtd', '7.3-hw', '7.3-arm'].map((name) => `linux-${name}`);
const SELFTESTS = /mock_domain\.(?!.*check)|pasid_attach|domain_dirty128k\.get|viommu_alloc_nested/;
const MOST_CALLS = 2600;
const SEED = 20261121;
/** Places that each kind is tried at. */
const PLACES = 4;

const POOL = [
  ...FOLDERS.flatMap((folder) => fixtureNames(join(FIXTURES, folder)).map((name) => [folder, name] as const)),
  ...fixtureNames(join(FIXTURES, 'linux-7.3-selftests'))
    .filter((name) => SELFTESTS.test(name))
    .map((name) => ['linux-7.3-selftests', name] as const),
].map(([folder, name]): { name: string; recording: Recording; before: ReadonlySet<string> | null } => ({
  name: `${folder}/${name}`,
  recording: spaced(readFixture(name, join(FIXTURES, folder))),
  before: null,
}));

/** Numbers from a seed, each below what is asked for. */
function createDraw(seed: number): (bound: number) => number {
  let state = seed >>> 0;
  return (bound) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * bound);
  };
}

const keysOf = (recording: Recording): string[] => lint(recording).map(({ id, seq }) => `${id} ${seq}`);

/** Findings that the trace without the mistake does not have. */
function newFindings(trace: (typeof POOL)[number], calls: readonly Call[]): string[] {
  trace.before ??= new Set(keysOf(trace.recording));
  const { header } = trace.recording;
  return keysOf(answeredAnew({ header, calls })).filter((key) => !trace.before!.has(key));
}

/** Where a mistake is made: so many places, drawn by the seed. */
function placesOf({ at, make }: Mutation, kind: number) {
  const all = POOL.flatMap((trace) => {
    const { calls } = trace.recording;
    return calls.length > MOST_CALLS
      ? []
      : calls.flatMap((call, place) => (at(call) ? [{ trace, place }] : []));
  });
  const below = createDraw(SEED + kind);
  const drawn: { trace: (typeof POOL)[number]; place: number; calls: readonly Call[] }[] = [];
  for (let tries = 0; tries < 60 && drawn.length < PLACES && all.length > 0; tries += 1) {
    const { trace, place } = all[below(all.length)]!;
    const calls = make(trace.recording.calls, place);
    if (calls !== null) drawn.push({ trace, place, calls });
  }
  return drawn;
}

describe(`a mistake at a random place (seed ${SEED})`, () => {
  let tried = 0;
  const missed: string[] = [];

  test.each(MUTATIONS.map((mutation, kind) => [mutation.name, mutation, kind] as const))(
    'is seen: %s',
    (name, mutation, kind) => {
      const places = placesOf(mutation, kind);
      expect(places.length).toBe(PLACES);
      const unseen = places.filter(({ trace, calls }) => newFindings(trace, calls).length === 0);
      tried += places.length;
      missed.push(
        ...unseen.map(({ trace, place }) => `${name}: ${trace.name} ${trace.recording.calls[place]!.seq}`),
      );
      // Here and there one is none: a range that something else unmaps later, a table made anew right away.
      expect(unseen.length, missed.join('\n')).toBeLessThanOrEqual(1);
    },
  );

  test('is seen nearly everywhere', () => {
    expect(MUTATIONS.length).toBeGreaterThanOrEqual(25);
    expect(missed.length / tried, missed.join('\n')).toBeLessThan(0.05);
  });
});
