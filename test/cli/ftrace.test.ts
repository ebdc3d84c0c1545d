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
      'iommu trace events: 16 maps, 21 unmaps, 4 attachments, 0 faults; 41 compared, 41 equal, 0 different\n',
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
    expect(run.stdout).toMatch(
      new RegExp(
        `^line ${at + 1}: unmap iova 0x[0-9a-f]+ size 8192 .*: nothing in the trace accounts for it$`,
        'm',
      ),
    );
    expect(run.stdout).toMatch(/^call \d+: unmap iova 0x[0-9a-f]+ size 4096 is missing$/m);
    const { differences } = JSON.parse((await compare(['--ftrace', path, '--json'])).stdout);
    expect(differences).toHaveLength(2);
    expect(differences.find(({ what }: { what: string }) => what === 'extra').event).toMatchObject({
      kind: 'unmap',
      line: at + 1,
      size: 8192,
    });
  });

  test.each([
    [['--ftrace', CAPTURE], "no trace of the kernel's events"],
    [['--ftrace', FTRACE, '--at', '5'], '--ftrace compares the whole trace'],
    [[], 'give one of --dump and --ftrace'],
    [['--ftrace', join(folder, 'none.txt')], 'none.txt'],
  ])('with %j says in one line what is wrong', async (words, message) => {
    const run = await compare(words);
    expect(run).toMatchObject({ code: 2, stdout: '' });
    expect(run.stderr).toContain(message);
    expect(run.stderr.trimEnd()).not.toContain('\n');
  });
});
