import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ROOT, runCli, runCommand } from './run-cli.ts';

const COMMANDS = [
  'import',
  'list',
  'show',
  'replay',
  'explain',
  'state',
  'diff',
  'bisect',
  'lint',
  'pagetable',
  'translate',
  'compare-hw',
  'predict',
  'audit',
  'verify',
  'machines',
  'completion',
];

describe('help', () => {
  test.each([...COMMANDS, 'audit pasid', 'audit export'])(
    'of %s has examples and the common options',
    async (name) => {
      const run = await runCli([...name.split(' '), '--help']);
      expect(run).toMatchObject({ code: 0, stderr: '' });
      expect(run.stdout).toMatch(/\nExamples:\n {2}\$ .*ioasis/);
      for (const option of ['--store', '--json', '--quiet', '--no-color', '--help']) {
        expect(run.stdout).toContain(option);
      }
    },
  );

  test('of the program lists every command and the exit codes', async () => {
    const run = await runCli(['--help']);
    expect(run).toMatchObject({ code: 0, stderr: '' });
    for (const name of COMMANDS) expect(run.stdout).toMatch(new RegExp(`\\n {2}${name} `));
    expect(run.stdout).toContain('Exit codes:');
    expect(await runCli(['-h'])).toEqual(run);
  });

  test('--version prints the version of package.json', async () => {
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    expect(await runCli(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
  });
});

describe('completion', () => {
  const complete = async (words: readonly string[]): Promise<string[]> => {
    const { stdout: script } = await runCli(['completion', 'bash']);
    const list = words.map((word) => `'${word}'`).join(' ');
    const ask = `${script}
COMP_WORDS=(${list})
COMP_CWORD=${words.length - 1}
_ioasis
printf '%s\\n' "\${COMPREPLY[@]}"`;
    return (await runCommand('bash', ['-c', ask])).stdout.trimEnd().split('\n');
  };

  test('for bash completes commands, options and files', async () => {
    expect(await complete(['ioasis', 'rep'])).toEqual(['replay']);
    expect(await complete(['ioasis', 'show', '--f'])).toEqual(['--from', '--failed']);
    expect(await complete(['ioasis', 'show', 'package.j'])).toEqual(['package.json']);
    expect(await complete(['ioasis', 'audit', 'p'])).toEqual(['pasid']);
    expect(await complete(['ioasis', 'audit', 'pasid', '--p'])).toEqual(['--pasid', '--process']);
    expect(await complete(['ioasis', 'audit', 'pasid', 'package.j'])).toEqual(['package.json']);
  });

  test('for zsh is that of bash, after a switch', async () => {
    const [bash, zsh] = await Promise.all([runCli(['completion', 'bash']), runCli(['completion', 'zsh'])]);
    expect(zsh.stdout).toBe(`autoload -U +X bashcompinit && bashcompinit\n${bash.stdout}`);
  });
});
