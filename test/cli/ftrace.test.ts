import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { ROOT, runCli, temporaryFolder } from './run-cli.ts';

const FIXTURES = join(ROOT, 'test/fixtures/linux-7.3-hw');
const CAPTURE = join(FIXTURES, 'vtd-ss-unmap.jsonl.gz');
const FTRACE = join(FIXTURES, 'ftrace/vtd-ss-unmap.txt.gz');
const folder = temporaryFolder();

describe('ioasis compare-hw --ftrace', () => {
  const compare = (words: readonly string[]) => runCli(['compare-hw', CAPTURE, ...words]);

  test('finds the events of the same run equal', async () => {
    const run = await compare(['--ftrace', FTRACE]);
    expect(run).toMatchObject({ code: 0, stderr: '' });
    expect(run.stdout).toBe(
      'iommu trace events: 26 maps, 11 unmaps, 4 attachments, 0 faults; 41 compared, 41 equal, 0 different\n',
    );
    const json = await compare(['--ftrace', FTRACE, '--json']);
    const { entries, equal, different, unknownBits, differences } = JSON.parse(json.stdout);
    expect({ entries, equal, different, unknownBits, differences }).toEqual({
      entries: 41,
      equal: 41,
      different: 0,
      unknownBits: {},
      differences: [],
    });
  });

  test('names line, call and what was expected where an event is another one', async () => {
    const path = join(folder, 'changed.txt');
    const text = gunzipSync(readFileSync(FTRACE)).toString();
    const lines = text.split('\n');
    const at = lines.findIndex((line) => line.includes(': unmap: '));
    writeFileSync(
      path,
      text.replace(
        lines[at]!,
        lines[at]!.replace(/size=(\d+) unmapped_size=(\d+)/, 'size=8192 unmapped_size=8192'),
      ),
    );
    const run = await compare(['--ftrace', path]);
    expect(run).toMatchObject({ code: 1, stderr: '' });
    const line = `line ${at + 1}: unmap iova 0x[0-9a-f]+ size 8192 unmapped 8192, where call \\d+ should give unmap `;
    expect(run.stdout).toMatch(new RegExp(`^${line}iova 0x[0-9a-f]+ size 16384$`, 'm'));
    const { differences } = JSON.parse((await compare(['--ftrace', path, '--json'])).stdout);
    expect(differences).toHaveLength(1);
    expect(differences[0]).toMatchObject({
      what: 'event',
      expected: { kind: 'unmap', size: 16384 },
      event: { kind: 'unmap', line: at + 1, size: 8192 },
    });
  });

  test.each([
    [['--ftrace', CAPTURE], "no trace of the kernel's events"],
    [['--ftrace', FTRACE, '--at', '5'], '--ftrace compares the whole trace'],
    [[], 'give one of --dump, --ftrace and --vtd-log'],
    [['--ftrace', join(folder, 'none.txt')], 'none.txt'],
  ])('with %j says in one line what is wrong', async (words, message) => {
    const run = await compare(words);
    expect(run).toMatchObject({ code: 2, stdout: '' });
    expect(run.stderr).toContain(message);
    expect(run.stderr.trimEnd()).not.toContain('\n');
  });
});
