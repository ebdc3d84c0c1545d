import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import {
  CAUSES,
  type CaptureFile,
  type CaptureReport,
  findCaptures,
  groupDifferences,
  parseKnown,
  renderKnown,
  renderReport,
  replayCapture,
  UNEXPLAINED,
} from '../../conformance/index.ts';

/**
 * Every recorded capture beside what the model answers to it. What remains different is listed by name and
 * has a cause. `npm run conformance` writes list and report again, and so does this test with `-u`; the
 * difference is read before it is committed.
 */

const ROOT = join(import.meta.dirname, '..', '..');
const REPORT = join(ROOT, 'docs', 'conformance.md');
const KNOWN = join(ROOT, 'conformance', 'known-differences.jsonl');
const CAPTURES = findCaptures(join(ROOT, 'test', 'fixtures'));
const known = parseKnown(readFileSync(KNOWN, 'utf8'));

/** Replayed once, whatever test asks first. */
const reports = new Map<string, Promise<CaptureReport>>();

function reportOf(capture: CaptureFile): Promise<CaptureReport> {
  const report = reports.get(capture.path) ?? replayCapture(capture);
  reports.set(capture.path, report);
  return report;
}

async function allReports(): Promise<CaptureReport[]> {
  const all: CaptureReport[] = [];
  for (const capture of CAPTURES) all.push(await reportOf(capture));
  return all;
}

describe.each(CAPTURES.map((capture) => [`${capture.folder}/${capture.name}`, capture] as const))(
  '%s',
  (fixture, capture) => {
    test('differs from the model in what is listed, and in nothing else', async () => {
      const { differences } = await reportOf(capture);
      const listed = known.filter((each) => each.fixture === fixture);
      expect(groupDifferences(differences)).toEqual(listed);
    });

    test('is compared whole: no record is left out', async () => {
      const { counts, inputs } = await reportOf(capture);
      const records = gunzipSync(readFileSync(capture.path)).toString().trimEnd().split('\n');
      const calls = records.filter((line) => !/"op": ?"(note|header)"/.test(line));
      const compared = [...counts.values()].reduce((sum, each) => sum + each.calls, 0);
      expect(compared + inputs).toBe(calls.length);
    });
  },
);

describe('each remaining difference', () => {
  test('has a cause that is in the table', () => {
    expect(known.filter(({ cause }) => cause === UNEXPLAINED)).toEqual([]);
    const ids = new Set(CAUSES.map(({ id }) => id));
    expect(known.filter(({ cause }) => !ids.has(cause))).toEqual([]);
  });

  test('is of a capture that exists', () => {
    const fixtures = new Set(CAPTURES.map(({ folder, name }) => `${folder}/${name}`));
    expect(known.filter(({ fixture }) => !fixtures.has(fixture))).toEqual([]);
  });

  test('is in the list as the command writes it', async () => {
    const all = (await allReports()).flatMap(({ differences }) => groupDifferences(differences));
    await expect(renderKnown(all)).toMatchFileSnapshot(KNOWN);
  });
});

describe('docs/conformance.md', () => {
  test('is what the command writes', async () => {
    await expect(renderReport(await allReports())).toMatchFileSnapshot(REPORT);
  });
});
