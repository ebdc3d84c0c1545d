import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { builtCli, EXAMPLE, exampleLines, linesOf, runCli, runCommand, temporaryFolder } from './run-cli.ts';

const folder = temporaryFolder();
const store = join(folder, 'store.db');
const ESCAPE = '\u001b[';

/** Runs the tool on a terminal of its own, as `script` makes one. */
const SCRIPT = '/usr/bin/script';
const onTerminal = (args: readonly string[], env: Record<string, string> = {}) =>
  runCommand(SCRIPT, ['-qec', [process.execPath, builtCli(), ...args].join(' '), '/dev/null'], {
    env: { TERM: 'xterm', ...env },
  });

describe('output', () => {
  test('of --json is JSON alone', async () => {
    await runCli(['import', EXAMPLE, '--name', 'run', '--store', store]);
    for (const args of [
      ['import', EXAMPLE, '--name', 'again'],
      ['list'],
      ['show', 'run'],
      ['replay', 'run'],
      ['verify'],
      ['machines'],
      ['predict', 'run'],
    ]) {
      const run = await runCli([...args, '--json', '--store', store]);
      expect(run, args.join(' ')).toMatchObject({ code: 0, stderr: '' });
      for (const line of linesOf(run.stdout))
        expect(() => JSON.parse(line) as unknown, args.join(' ')).not.toThrow();
    }
  });

  test('takes common options before the command too', async () => {
    const before = await runCli(['--store', store, '--json', 'list']);
    expect(before).toEqual(await runCli(['list', '--json', '--store', store]));
  });

  test('of --quiet says nothing about what went well', async () => {
    for (const args of [['import', EXAMPLE, '--name', 'third'], ['replay', 'run'], ['verify']]) {
      const run = await runCli([...args, '--quiet', '--store', store]);
      expect(run, args.join(' ')).toEqual({ code: 0, stdout: '', stderr: '' });
    }
  });

  test('has no colours in a pipe', async () => {
    const run = await runCli(['show', EXAMPLE], { env: { TERM: 'xterm-256color', COLORTERM: 'truecolor' } });
    expect(run.stdout).not.toContain(ESCAPE);
  });

  test.skipIf(!existsSync(SCRIPT))('has colours on a terminal, unless they are not wanted', async () => {
    expect((await onTerminal(['show', EXAMPLE])).stdout).toContain(ESCAPE);
    expect((await onTerminal(['show', EXAMPLE, '--no-color'])).stdout).not.toContain(ESCAPE);
    expect((await onTerminal(['--no-color', 'show', EXAMPLE])).stdout).not.toContain(ESCAPE);
    expect((await onTerminal(['show', EXAMPLE], { NO_COLOR: '1' })).stdout).not.toContain(ESCAPE);
    expect((await onTerminal(['show', EXAMPLE], { TERM: 'dumb' })).stdout).not.toContain(ESCAPE);
  });

  test('ends quietly when its reader goes', async () => {
    const path = join(folder, 'long.jsonl');
    const [header = '', , open = ''] = exampleLines();
    const lines = Array.from({ length: 20_000 }, (_, index) =>
      open.replace(/"seq":\d+/, `"seq":${index + 1}`),
    );
    writeFileSync(path, [header, ...lines].join('\n'));
    for (const command of ['show', 'predict']) {
      const child = spawn(process.execPath, [builtCli(), command, path], {
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      let stderr = '';
      child.stderr.on('data', (text: Buffer) => (stderr += text.toString()));
      await once(child.stdout, 'data');
      child.stdout.destroy();
      const [code] = (await once(child, 'exit')) as [number];
      expect({ command, code, stderr }).toEqual({ command, code: 0, stderr: '' });
    }
  });

  test('leaves no temporary files', async () => {
    const work = temporaryFolder();
    const env = { TMPDIR: work, SQLITE_TMPDIR: work };
    await runCli(['replay', EXAMPLE], { cwd: work, env });
    await runCli(['replay', '-'], { cwd: work, env, stdin: 'nonsense' });
    expect(readdirSync(work)).toEqual([]);
  });
});
