import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Call, parseCapture, sitesOf } from '../../src/trace/index.ts';
import { readFixture } from '../support/fixtures.ts';
import { EXAMPLE, ROOT, runCli, temporaryFolder } from './run-cli.ts';

const folder = temporaryFolder();
const hasCompiler = spawnSync('cc', ['--version']).status === 0;

describe('ioasis export', () => {
  test('writes a capture that imports to the same log, gzipped by its name', async () => {
    const out = join(folder, 'again.jsonl.gz');
    const run = await runCli(['export', EXAMPLE, '--format', 'capture', '--out', out, '--json']);
    expect(run).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(run.stdout)).toEqual({ out, written: 17, leftOut: {} });
    const digest = async (file: string): Promise<string> =>
      (JSON.parse((await runCli(['replay', file, '--json'])).stdout) as { digest: string }).digest;
    expect(await digest(out)).toBe(await digest(EXAMPLE));
  });

  test('names what a format leaves out', async () => {
    const run = await runCli(['export', EXAMPLE, '--format', 'syzkaller']);
    expect(run.code).toBe(0);
    expect(run.stdout).toMatch(/^# .*\nr0 = openat\$iommufd\(/);
    expect(run.stderr).toContain('left out, the format cannot hold it: 2 x mmap\n');
  });

  test('draws the objects after a call', async () => {
    const run = await runCli(['export', EXAMPLE, '--format', 'mermaid', '--at', '58']);
    expect(run).toMatchObject({ code: 0, stderr: '' });
    expect(run.stdout).toMatch(/^flowchart/);
    for (const object of ['IOAS 1', 'HWPT 4', 'device 3', 'device 6']) expect(run.stdout).toContain(object);
    expect((await runCli(['export', EXAMPLE, '--format', 'mermaid', '--at', '56'])).stdout).not.toContain(
      'HWPT 4',
    );
  });

  test('refuses an unknown format, and a file that cannot be written, and leaves nothing', async () => {
    const unknown = await runCli(['export', EXAMPLE, '--format', 'pdf']);
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toContain("'pdf' is invalid");
    const nowhere = join(folder, 'no/such/folder.c');
    const run = await runCli(['export', EXAMPLE, '--format', 'c', '--out', nowhere]);
    expect(run.code).toBe(2);
    expect(run.stderr).toContain('no such file or directory');
    expect(existsSync(nowhere)).toBe(false);
  });
});

describe('an exported C program under `ioasis record`', () => {
  test('is recorded with the requests of the trace', async () => {
    if (!hasCompiler || process.platform !== 'linux') return;
    const fixture = join(ROOT, 'test/fixtures/linux-6.12-fuzz-mock/seed-42.jsonl.gz');
    const [source, program, shim, out] = ['p.c', 'p', 'shim.so', 'p.jsonl'].map((name) => join(folder, name));
    mkdirSync(join(folder, 'dev'));
    const device = join(folder, 'dev/iommu');
    writeFileSync(device, '');
    expect((await runCli(['export', fixture, '--format', 'c', '--out', source!, '--quiet'])).code).toBe(0);
    const compile = (command: string, args: string[]): void => {
      const { status, stderr } = spawnSync(command, args, { encoding: 'utf8' });
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    };
    compile('cc', ['-Wall', '-Werror', `-DDEV_ROOT="${folder}"`, '-o', program!, source!]);
    compile('sh', [join(ROOT, 'recorder/build.sh'), shim!]);
    const place = ['--shim', shim!, '--device-path', `/dev/iommu=${device}`];
    await runCli(['record', '--out', out!, ...place, '--', program!]);
    const recorded = parseCapture(readFileSync(out!, 'utf8'), out!).calls;
    const calls = readFixture('seed-42', join(ROOT, 'test/fixtures/linux-6.12-fuzz-mock')).calls;
    expect(requestsOf(recorded)).toEqual(requestsOf(calls));
  });
});

/** Commands and structs; memory may lie at another address. */
function requestsOf(calls: readonly Call[]): string[] {
  return calls.flatMap((call) => {
    if (call.op !== 'ioctl') return [];
    const arg = Buffer.from(call.arg ?? []);
    for (const { role, offset } of sitesOf(call)) if (role === 'address') arg.fill(0, offset, offset + 8);
    const buffers = call.mem.map(({ before }) =>
      before instanceof Uint8Array ? Buffer.from(before).toString('hex') : '',
    );
    return [`${call.cmd.toString(16)} ${arg.toString('hex')} ${buffers.join(' ')}`];
  });
}
