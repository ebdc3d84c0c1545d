import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import {
  type CaptureReport,
  groupDifferences,
  parseKnown,
  renderKnown,
  renderReport,
  replayCapture,
  rightResults,
} from '../../conformance/index.ts';
import { useTemporaryFolder } from '../store/temporary-folder.ts';

/** A capture in which everything is predicted, and one record of it changed. */

const NAME = 'iommufd_mock_domain.two_domains.basic';
const FIXTURE = join(import.meta.dirname, '..', 'fixtures', 'linux-6.12-selftests', `${NAME}.jsonl.gz`);
const temporary = useTemporaryFolder();

type JsonRecord = Record<string, unknown>;

const records = gunzipSync(readFileSync(FIXTURE))
  .toString()
  .trimEnd()
  .split('\n')
  .map((line) => JSON.parse(line) as JsonRecord);

/** A successful IOAS_MAP: the first of the capture. */
const map = records.find(({ cmd, ret }) => cmd === '0x3b85' && ret === 0)!;

async function reportWith(change: (record: JsonRecord) => JsonRecord): Promise<CaptureReport> {
  const path = temporary('changed.jsonl');
  const lines = records.map((record) =>
    JSON.stringify(record['seq'] === map['seq'] ? change(record) : record),
  );
  writeFileSync(path, `${lines.join('\n')}\n`);
  return await replayCapture({ folder: 'here', name: 'changed', path });
}

function countsOf({ counts }: CaptureReport) {
  return counts.get('iommufd IOMMU_IOAS_MAP')!;
}

describe('a replayed capture', () => {
  test('that is as recorded differs in nothing', async () => {
    const report = await reportWith((record) => record);
    expect(report).toMatchObject({ profile: 'linux-6.12', profileExact: true, differences: [] });
    const { calls, matched } = countsOf(report);
    expect(matched).toBe(calls);
  });

  test('with another errno has one wrong result, at its place, with both values and no cause', async () => {
    const report = await reportWith((record) => ({ ...record, ret: -1, errno: 22 }));
    const [first] = groupDifferences(report.differences);
    expect(first).toEqual({
      fixture: 'here/changed',
      call: 'iommufd IOMMU_IOAS_MAP',
      differs: 'errno',
      recorded: 'EINVAL',
      predicted: '0',
      cause: 'unexplained',
      count: 1,
      seqs: [map['seq']],
    });
    const counts = countsOf(report);
    expect(counts).toMatchObject({ wrongResult: 1, wrongBytes: 0 });
    expect(rightResults(counts)).toBe(counts.calls - 1);
    // Two later calls need the area that the changed record says was never mapped.
    expect(renderReport([report])).toContain('| `unexplained` | 3 |');
  });

  test('with another byte in the struct has a right result and wrong bytes', async () => {
    const out = String(map['out'] ?? map['arg']);
    // The last byte of the IOVA.
    const report = await reportWith(({ same, ...record }) => ({ ...record, out: `${out.slice(0, -2)}7f` }));
    const counts = countsOf(report);
    expect(counts).toMatchObject({ wrongResult: 0, wrongBytes: 1 });
    expect(rightResults(counts)).toBe(counts.calls);
    expect(groupDifferences(report.differences)[0]).toMatchObject({ differs: 'iova', seqs: [map['seq']] });
  });

  test('with a call that no model answers counts it as not modelled, not as right', async () => {
    const report = await reportWith((record) => ({ ...record, fd: 99, kind: '?', cmd: '0x9999' }));
    const counts = report.counts.get('? 0x9999');
    expect(counts).toMatchObject({ calls: 1, notModelled: 1, matched: 0 });
    expect(groupDifferences(report.differences)[0]).toMatchObject({ cause: 'not-modelled', count: 1 });
  });

  test('without the recorded reply has nothing to compare there', async () => {
    const report = await reportWith(({ ret, errno, out, same, ...record }) => record);
    expect(countsOf(report)).toMatchObject({ unanswered: 1, wrongResult: 0 });
  });
});

describe('a list of known differences', () => {
  test('is read as it was written', async () => {
    const { differences } = await reportWith((record) => ({ ...record, ret: -1, errno: 22 }));
    const known = groupDifferences(differences);
    expect(known.length).toBeGreaterThan(0);
    expect(parseKnown(renderKnown(known))).toEqual(known);
  });
});
