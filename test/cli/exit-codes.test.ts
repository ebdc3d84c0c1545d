import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  builtCli,
  EXAMPLE,
  EXAMPLE_NAME,
  exampleLines,
  linesOf,
  runCli,
  runCommand,
  temporaryFolder,
} from './run-cli.ts';

const folder = temporaryFolder();

describe('exit code', () => {
  test('0: a replay without divergence', async () => {
    expect(await runCli(['replay', EXAMPLE])).toMatchObject({ code: 0, stderr: '' });
  });

  test('1: a replay with a divergence', async () => {
    const path = join(folder, 'diverging.jsonl');
    const lines = exampleLines().map((line) => line.replace('"ret":-1,"errno":14', '"ret":-1,"errno":22'));
    writeFileSync(path, lines.join('\n'));
    expect(await runCli(['replay', path])).toMatchObject({ code: 1, stderr: '' });
  });

  test('1: a log that was changed by hand', async () => {
    const store = join(folder, 'changed.db');
    await runCli(['import', EXAMPLE, '--store', store]);
    const script = `
      const database = new (require('better-sqlite3'))(${JSON.stringify(store)});
      database.exec('DROP TRIGGER call_is_immutable; UPDATE call SET fd = fd + 1 WHERE seq = 59');`;
    expect(await runCommand(process.execPath, ['-e', script])).toMatchObject({ code: 0 });
    const run = await runCli(['verify', '--json', '--store', store]);
    expect(run).toMatchObject({ code: 1, stderr: '' });
    const [verified] = JSON.parse(run.stdout) as [unknown];
    expect(verified).toMatchObject({ name: EXAMPLE_NAME, ok: false, damage: { seq: 59 } });
    const told = await runCli(['verify', EXAMPLE_NAME, '--quiet', '--store', store]);
    expect(told.code).toBe(1);
    expect(told.stdout).toContain('from seq 59');
  });

  test.each([
    ['an unknown command', ['frobnicate'], /unknown command 'frobnicate'/],
    ['an unknown option', ['list', '--frobnicate'], /unknown option '--frobnicate'/],
    ['a missing argument', ['show'], /missing required argument 'trace'/],
    ['a number that is none', ['show', EXAMPLE, '--from', 'x'], /'x' is invalid/],
    ['a zero that must not be', ['import', EXAMPLE, '--batch', '0'], /1 or more/],
    ['an unknown format', ['import', EXAMPLE, '--format', 'syz'], /Allowed choices are auto, ioasis/],
    ['an unknown trace', ['replay', 'nobody'], /nobody: no such file/],
    ['a missing store', ['verify', '--store', 'nowhere.db'], /nowhere\.db: no such store/],
    ['one name for two files', ['import', EXAMPLE, `${EXAMPLE}x`, '--name', 'x'], /--name names one trace/],
    ['two files of one name', ['import', EXAMPLE, EXAMPLE], /would both be trace/],
    ['a file that cannot be written', ['predict', EXAMPLE, '--out', 'no/such/folder'], /no\/such\/folder/],
  ])('2: %s, told in one line', async (_, args, message) => {
    const run = await runCli(args, { cwd: folder });
    expect(run).toMatchObject({ code: 2, stdout: '' });
    expect(run.stderr).toMatch(message);
    expect(linesOf(run.stderr)).toHaveLength(1);
  });

  test.skipIf(!existsSync('/dev/full'))('2: output that cannot be written', async () => {
    const run = await runCommand('bash', [
      '-c',
      `exec "${process.execPath}" "${builtCli()}" machines > /dev/full`,
    ]);
    expect(run).toEqual({ code: 2, stdout: '', stderr: 'ioasis: <stdout>: no space left on the device\n' });
  });

  test('2: no command at all, answered with the help', async () => {
    const run = await runCli([]);
    expect(run).toMatchObject({ code: 2, stdout: '' });
    expect(run.stderr).toContain('Usage: ioasis');
  });

  test('70: a bug of ours, told with its stack and what to do', async () => {
    const breakJson = 'JSON.stringify = () => { throw new TypeError("broken on purpose") }';
    const run = await runCli(['list', '--json'], {
      cwd: folder,
      nodeArgs: ['--import', `data:text/javascript,${encodeURIComponent(breakJson)}`],
    });
    expect(run).toMatchObject({ code: 70, stdout: '' });
    expect(run.stderr).toMatch(/^ioasis: internal error: TypeError: broken on purpose\n {4}at /);
    expect(run.stderr).toContain('Please report it');
  });
});
