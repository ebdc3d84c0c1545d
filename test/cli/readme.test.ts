import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ROOT, runCli } from './run-cli.ts';

const README = readFileSync(join(ROOT, 'README.md'), 'utf8');
const BLOCKS = [...README.matchAll(/```\n([^`]*)```\n/g)].map(([, block]) => block ?? '');

describe('README.md', () => {
  test('shows what its first commands print', async () => {
    const [, replay = ''] = /^ {4}npm ci && npx ioasis (replay .*)$/m.exec(README) ?? [];
    const [, show = ''] = /^`npx ioasis (show [^`]*)`/m.exec(README) ?? [];
    const replayed = await runCli(replay.split(' '));
    expect(replayed.code).toBe(0);
    expect(BLOCKS[0]).toBe(replayed.stdout);
    expect(BLOCKS[1]).toBe((await runCli(show.split(' '))).stdout);
  });

  test('has a row for each command of the help', async () => {
    const { stdout } = await runCli(['--help']);
    const section = stdout.split('\nCommands:\n')[1]?.split('\n\n')[0] ?? '';
    const names = [...section.matchAll(/^ {2}(\w+)/gm)]
      .map(([, name]) => name)
      .filter((name) => name !== 'help');
    for (const name of names) expect(README).toContain(`| \`ioasis ${name}`);
  });
});
