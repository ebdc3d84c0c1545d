import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { ROOT, runCli, temporaryFolder } from './run-cli.ts';

const FIXTURES = join(ROOT, 'test/fixtures/linux-7.3-hw');
const VTD = join(FIXTURES, 'vtd-ss-basic.jsonl.gz');
const AMD = join(FIXTURES, 'amd-v1-levels.jsonl.gz');
const PASIDS = join(FIXTURES, 'vtd-ss-pasid.jsonl.gz');
const GUEST = join(ROOT, 'test/fixtures/linux-7.3-arm/canwbs-nest-s1.jsonl.gz');
const NESTED = join(FIXTURES, 'vtd-ss-nested-nested.jsonl.gz');
const DUMP = join(FIXTURES, 'dumps/vtd-ss-basic/tables-mapped.txt.gz');
const folder = temporaryFolder();

describe('ioasis pagetable', () => {
  test.each([
    ['vtd-mapped', [VTD, '--marker', 'mapped', '--device', '00:02.0']],
    ['vtd-raw', [VTD, '--marker', 'mapped', '--hwpt', '3', '--iova', '0x3ff000+0x3000', '--raw']],
    ['vtd-slots', [PASIDS, '--marker', 'edu-pasids', '--slots', '--iova', '0x100000']],
    ['nested-slots', [NESTED, '--marker', 'edu-s1-0', '--slots', '--iova', '0x100000']],
    ['vtd-as-riscv', [VTD, '--marker', 'mapped', '--format', 'riscv-sv48', '--iova', '0x500000', '--raw']],
  ])('prints %s as reviewed', async (name, words) => {
    const run = await runCli(['pagetable', ...words]);
    expect(run).toMatchObject({ code: 0, stderr: '' });
    await expect(run.stdout).toMatchFileSnapshot(join(ROOT, `test/golden/pagetable/${name}.txt`));
  });

  test('prints entries with what is known of their words as one JSON object', async () => {
    const run = await runCli(['pagetable', VTD, '--at', '36', '--iova', '0x500000', '--json']);
    const { seq, tables } = JSON.parse(run.stdout);
    expect(seq).toBe(36);
    expect(tables).toHaveLength(1);
    expect(tables[0]).toMatchObject({ hwpt: 3, ioas: 2, iommu: 'vtd0', format: 'vtd-ss', levels: 4 });
    expect(tables[0].entries).toHaveLength(4);
    expect(tables[0].entries[0].unknown).toEqual([{ mask: '0x000ffffffffff000', holds: 'table address' }]);
    expect(tables[0].entries[3]).toEqual({
      level: 1,
      index: 256,
      iova: '0x500000',
      kind: 'leaf',
      word: '0x000000010bce3001',
      unknown: [],
      address: '0x10bce3000',
      size: 4096,
      prot: 'r-',
    });
  });

  test.each([
    [['--hwpt', '99'], 'no HWPT 99 with a page table at call'],
    [['--device', '99:00.0'], 'nothing is known of PASID 0 of device 99:00.0'],
    [['--pasid', '1'], '--pasid needs --device'],
    [['--at', '36', '--format', 'none'], '--format none: no such format'],
    [['--at', '1', '--marker', 'mapped'], 'give one of them'],
    [['--marker', 'no such'], 'no marker has the text "no such"'],
    [['--iova', '5-3'], 'must not end before it begins'],
  ])('with %j says in one line what is wrong', async (words, message) => {
    const run = await runCli(['pagetable', VTD, ...words]);
    expect(run).toMatchObject({ code: 2, stdout: '' });
    expect(run.stderr).toContain(message);
    expect(run.stderr.trimEnd()).not.toContain('\n');
  });
});

describe('ioasis translate', () => {
  const translate = (words: readonly string[]) => runCli(['translate', ...words]);

  test.each([
    ['vtd-page', [VTD, '--marker', 'mapped', '--device', 'vfio0', '--iova', '0x201234', '--access', 'w']],
    [
      'vtd-read-only',
      [VTD, '--marker', 'mapped', '--device', 'vfio0', '--iova', '0x500000', '--access', 'w'],
    ],
    ['vtd-not-present', [VTD, '--marker', 'mapped', '--device', 'vfio0', '--iova', '0x80000000']],
    ['vtd-blocked', [VTD, '--marker', 'detached', '--device', 'vfio0', '--iova', '0x201000']],
    ['smmu-guest', [GUEST, '--marker', 's1', '--device', '00:01.0', '--iova', '0x10000010']],
    ['smmu-guest-fault', [GUEST, '--marker', 's1', '--device', '00:01.0', '--iova', '0x10004000']],
    ['vtd-nested', [NESTED, '--marker', 'edu-s1-0', '--device', '00:02.0', '--iova', '0x1000']],
  ])('prints %s as reviewed', async (name, words) => {
    const run = await translate(words);
    expect(run).toMatchObject({ code: 0, stderr: '' });
    await expect(run.stdout).toMatchFileSnapshot(join(ROOT, `test/golden/translate/${name}.txt`));
  });

  test('translates the lines of a file, one JSON line each', async () => {
    const many = join(folder, 'many.txt');
    writeFileSync(many, '# addresses\n0x100000\n0x600000 r\n0x600000 w\n\n0x80000000\n');
    const run = await translate([VTD, '--marker', 'mapped', '--device', '0', '--many', many, '--json']);
    expect(run).toMatchObject({ code: 0, stderr: '' });
    const lines = run.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.map(({ outcome, physical, fault }) => [outcome, physical, fault?.code ?? null])).toEqual([
      ['page', '0x1092b8000', null],
      ['fault', null, '0x86'],
      ['page', '0x10bce1000', null],
      ['fault', null, '0x86'],
    ]);
  });

  test('names file and line of what is no address', async () => {
    const many = join(folder, 'bad.txt');
    writeFileSync(many, '0x100000\nhere\n');
    const run = await translate([VTD, '--device', '0', '--many', many]);
    expect(run).toMatchObject({ code: 2 });
    expect(run.stderr).toBe(`ioasis: ${many}:2: expected an address, and r, w or x behind it if wanted\n`);
  });
});

describe('ioasis compare-hw', () => {
  test('finds a dump of the same point equal', async () => {
    const run = await runCli(['compare-hw', VTD, '--marker', 'mapped', '--dump', DUMP, '--json']);
    expect(run).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(run.stdout)).toMatchObject({ equal: 38, different: 0, tables: 1, differences: [] });
  });

  test('finds one bit that was changed, and an entry that is gone', async () => {
    const text = gunzipSync(readFileSync(DUMP)).toString();
    const changed = text
      .replace('0x000000010bce3001', '0x000000010bce3003')
      .replace(/\n {2}leaf L1 \[511\].*/, '');
    const path = join(folder, 'changed.txt.gz');
    writeFileSync(path, gzipSync(changed));
    const run = await runCli(['compare-hw', VTD, '--marker', 'mapped', '--dump', path, '--json']);
    expect(run).toMatchObject({ code: 1, stderr: '' });
    const { different, differences } = JSON.parse(run.stdout);
    expect(different).toBe(2);
    expect(differences).toMatchObject([
      { bdf: '0000:00:02.0', what: 'missing', level: 1, iova: '0x3ff000', theirs: null },
      { what: 'entry', level: 1, iova: '0x500000', bits: '0x0000000000000002' },
    ]);
    const printed = await runCli(['compare-hw', VTD, '--marker', 'mapped', '--dump', path]);
    expect(printed.stdout).toContain('0000:00:02.0 0x500000 level 1: 0x000000010bce3001, in the dump');
  });

  test('of another point differs, and of something else is refused', async () => {
    const other = await runCli(['compare-hw', VTD, '--marker', 'all-unmapped', '--dump', DUMP]);
    expect(other.code).toBe(1);
    const levels = await runCli(['compare-hw', AMD, '--at', '1', '--dump', VTD]);
    expect(levels).toMatchObject({ code: 2 });
    expect(levels.stderr).toBe(`ioasis: ${VTD}: no dump of IOMMU tables that ioasis knows\n`);
    const nowhere = await runCli(['compare-hw', VTD, '--dump', DUMP]);
    expect(nowhere).toMatchObject({ code: 2 });
  });
});
