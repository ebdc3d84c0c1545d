import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { ROOT, runCli, temporaryFolder } from './run-cli.ts';

const FIXTURES = join(ROOT, 'test/fixtures/linux-7.3-arm');
const TRACE = join(FIXTURES, 'canwbs-nest-s1.jsonl.gz');
const DUMP = join(FIXTURES, 'dumps/canwbs-nest-s1/smmu-ram-unmapped.txt.gz');
const folder = temporaryFolder();

describe('ioasis compare-hw with a dump of an SMMUv3', () => {
  test('finds it equal, and says which ids the domains of the kernel hold', async () => {
    const run = await runCli(['compare-hw', TRACE, '--marker', 'ram-unmapped', '--dump', DUMP, '--json']);
    expect(run).toMatchObject({ code: 0, stderr: '' });
    const { entries, equal, different, tables, deviceEntries, ownIds } = JSON.parse(run.stdout);
    expect({ different, tables, deviceEntries }).toEqual({ different: 0, tables: 1, deviceEntries: 5 });
    expect(equal).toBe(entries);
    expect(ownIds).toEqual({ asids: null, vmids: 0 });
  });

  test('names the command, and the bits, where one was changed', async () => {
    const text = gunzipSync(readFileSync(DUMP)).toString();
    const changed = text.replace(/(cmd \d+ 0x)0000000100(\w+ 0x\w+ TLBI_S2_IPA)/, '$10000000200$2');
    expect(changed).not.toBe(text);
    const path = join(folder, 'changed.txt.gz');
    writeFileSync(path, gzipSync(changed));
    const run = await runCli(['compare-hw', TRACE, '--marker', 'ram-unmapped', '--dump', path]);
    expect(run).toMatchObject({ code: 1, stderr: '' });
    expect(run.stdout).toMatch(/^command queue command \d+ TLBI_S2_IPA word 0: .*bits 0x0000000300000000\n/);
  });

  test('refuses a trace of another IOMMU', async () => {
    const other = join(ROOT, 'test/fixtures/linux-7.3-hw/vtd-ss-basic.jsonl.gz');
    const run = await runCli(['compare-hw', other, '--marker', 'mapped', '--dump', DUMP]);
    expect(run).toMatchObject({ code: 2, stdout: '' });
    expect(run.stderr).toContain('the trace tells no registers of an SMMUv3');
  });
});
