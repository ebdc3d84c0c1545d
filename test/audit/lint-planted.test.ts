import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { LintFinding } from '../../src/audit/index.ts';
import { readFixture } from '../support/fixtures.ts';
import { answeredAnew, lint, spaced } from '../support/lint.ts';
import { PLANTS, type Plant } from '../support/plants.ts';
import type { Recording } from '../support/stored.ts';

/** Bugs planted into real traces: the kernel's answers to the changed calls are those of the model. */

const FIXTURES = join(import.meta.dirname, '../fixtures');

interface Source {
  readonly recording: Recording;
  readonly findings: readonly LintFinding[];
}

const sources = new Map<string, Source>();

function sourceOf(capture: string): Source {
  const known = sources.get(capture);
  if (known !== undefined) return known;
  const [folder, name] = capture.split('/') as [string, string];
  const recording = spaced(readFixture(name, join(FIXTURES, folder)));
  const made = { recording, findings: lint(recording) };
  sources.set(capture, made);
  return made;
}

function keyOf({ id, seq }: LintFinding): string {
  return `${id} ${seq}`;
}

/** Findings that the source does not have. `answer`: what the kernel says to the changed calls. */
function newFindings(
  { capture, change }: Plant,
  answer: (recording: Recording) => Recording,
): readonly LintFinding[] {
  const { recording, findings } = sourceOf(capture);
  const before = new Set(findings.map(keyOf));
  const calls = change(recording.calls);
  expect(calls, 'the change finds its place').not.toEqual(recording.calls);
  return lint(answer({ header: recording.header, calls })).filter((each) => !before.has(keyOf(each)));
}

describe('a bug planted into a real trace', () => {
  test('is one of forty or more, of every kind', () => {
    expect(PLANTS.length).toBeGreaterThanOrEqual(40);
    expect(new Set(PLANTS.map(({ name }) => name)).size).toBe(PLANTS.length);
  });

  test.each(PLANTS.map((plant) => [plant.name, plant] as const))('is found: %s', (_, plant) => {
    const found = newFindings(plant, answeredAnew).map(({ id }) => id);
    expect(found).toEqual(expect.arrayContaining([plant.expects]));
  });
});

describe('a trace that was cut by hand, with the old answers', () => {
  test.each(PLANTS.map((plant) => [plant.name, plant] as const))('shows it: %s', (_, plant) => {
    expect(newFindings(plant, (recording) => recording).length).toBeGreaterThan(0);
  });
});

describe('a real trace that nobody changed', () => {
  test.each([...new Set(PLANTS.map(({ capture }) => capture))])('has no new finding: %s', (capture) => {
    const { recording, findings } = sourceOf(capture);
    const again = lint(answeredAnew(recording));
    const before = new Set(findings.map(keyOf));
    expect(again.filter((each) => !before.has(keyOf(each))).map(keyOf)).toEqual([]);
  });
});
