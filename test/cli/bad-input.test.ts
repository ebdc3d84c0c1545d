import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { EXAMPLE, exampleLines, linesOf, type Run, runCli, temporaryFolder } from './run-cli.ts';

const folder = temporaryFolder();
const store = join(folder, 'store.db');

const put = (name: string, content: string | Uint8Array): string => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};

/** The example with one line changed; the header is line 1. */
const withLine = (name: string, lineNumber: number, change: (line: string) => string): string => {
  const lines = exampleLines();
  lines[lineNumber - 1] = change(lines[lineNumber - 1] ?? '');
  return put(name, `${lines.join('\n')}\n`);
};

const whole = readFileSync(EXAMPLE);
mkdirSync(join(folder, 'folder.jsonl'));

/** What is wrong, the file, and what the one line on stderr must say. */
const CASES: readonly (readonly [string, string, RegExp])[] = [
  [
    'a gzip file that was cut off',
    put('cut.jsonl.gz', whole.subarray(0, 400)),
    /cut\.jsonl\.gz:\d+: .*cut off/,
  ],
  [
    'damaged gzip',
    put('damaged.jsonl.gz', Buffer.concat([whole.subarray(0, 60), Buffer.alloc(300, 7)])),
    /gzip/,
  ],
  [
    'a byte string of odd length',
    withLine('odd.jsonl', 4, (line) => line.replace('"arg":"0c', '"arg":"0')),
    /odd\.jsonl:4: .*hex/,
  ],
  [
    'a byte string that is not hex',
    withLine('nohex.jsonl', 4, (line) => line.replace('"arg":"0c', '"arg":"zz')),
    /nohex\.jsonl:4: .*hex/,
  ],
  [
    'a struct that is shorter than its size field says',
    withLine('short.jsonl', 7, (line) => line.replace(/"arg":"28000000[0-9a-f]{40}/, '"arg":"28000000')),
    /short\.jsonl:7: .*bytes/,
  ],
  [
    'a line of 10 MB',
    put('long.jsonl', `{"op":"${'x'.repeat(10_000_000)}"}\n`),
    /long\.jsonl:1: .*longer than/,
  ],
  [
    'binary garbage',
    put('garbage.jsonl', Buffer.from([0, 255, 254, 10, 1, 2, 3])),
    /garbage\.jsonl:1: .*UTF-8/,
  ],
  ['text that is no JSON', put('text.jsonl', 'hello\nworld\n'), /text\.jsonl:1: .*JSON/],
  ['JSON that is cut', withLine('json.jsonl', 9, (line) => line.slice(0, 50)), /json\.jsonl:9: .*JSON/],
  ['an empty file', put('empty.jsonl', ''), /empty\.jsonl: .*no records/],
  ['a folder', join(folder, 'folder.jsonl'), /folder\.jsonl: .*directory/],
  ['a missing file', join(folder, 'missing.jsonl'), /missing\.jsonl: no such file/],
  [
    'seq that goes back',
    withLine('seq.jsonl', 9, (line) => line.replace(/"seq":\d+/, '"seq":1')),
    /seq\.jsonl:9: .*"seq"/,
  ],
  ['a name with a newline', join(folder, 'a\nb.jsonl'), /a\\nb\.jsonl/],
];

function runOn(command: string, path: string): Promise<Run> {
  return runCli([command, path, '--store', store]);
}

function expectRefusal({ code, stdout, stderr }: Run, message: RegExp): void {
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(linesOf(stderr)).toHaveLength(1);
  expect(stderr).toMatch(message);
  expect(stderr.startsWith('ioasis: ')).toBe(true);
  expect(stderr.length).toBeLessThan(500);
}

/** Every command reads captures the same way; replay stands for those with a temporary store. */
describe.each(CASES)('%s', (_, path, message) => {
  test('ends import and replay with code 2 and one line, and leaves nothing in the store', async () => {
    for (const command of ['import', 'replay']) expectRefusal(await runOn(command, path), message);
    const list = await runCli(['list', '--json', '--store', store]);
    expect(list).toMatchObject({ code: 0, stdout: '[]\n' });
  });
});

test.each(['show', 'predict', 'verify'])('%s refuses a bad capture as import does', async (command) => {
  const [, path, message] = CASES[0]!;
  expectRefusal(await runOn(command, path), message);
});

describe('a store that is none', () => {
  test('is refused by every command and not changed', async () => {
    const path = put(
      'notes.txt',
      'this is a text, and it is longer than the header of a database would be.'.repeat(9),
    );
    for (const args of [['list'], ['verify'], ['import', EXAMPLE], ['replay', 'run'], ['show', 'run']]) {
      const run = await runCli([...args, '--store', path]);
      expect(run, args.join(' ')).toMatchObject({ code: 2, stdout: '' });
      expect(run.stderr, args.join(' ')).toMatch(/^ioasis: .*notes\.txt: is not an ioasis store.*\n$/);
    }
    expect(readFileSync(path, 'utf8')).toContain('this is a text');
  });
});

describe('a topology file', () => {
  test.each([
    ['that is no JSON', 'nope', /topo\.json: is not JSON/],
    ['with a wrong key', '{"devices":[{"group":"seven"}]}', /topo\.json: .*devices\.0\.group/],
  ])('%s is refused', async (_, text, message) => {
    const run = await runCli(['import', EXAMPLE, '--topology', put('topo.json', text), '--store', store]);
    expect(run.code).toBe(2);
    expect(run.stderr).toMatch(message);
    expect(linesOf(run.stderr)).toHaveLength(1);
  });
});
