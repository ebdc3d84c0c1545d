import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseCapture } from '../../src/trace/index.ts';
import { builtCli, EXAMPLE, ROOT, runCli, temporaryFolder } from './run-cli.ts';

const folder = temporaryFolder();

describe('ioasis minimize', () => {
  test('prints the calls that a refusal needs', async () => {
    const run = await runCli(['minimize', EXAMPLE, '--errno', '64']);
    expect(run).toMatchObject({ code: 0, stderr: '' });
    const [head, ...lines] = run.stdout.trimEnd().split('\n');
    expect(head).toMatch(/: 5 of 17 calls, none can be left out \(\d+ tries\)$/);
    expect(lines.map((line) => Number.parseInt(line, 10))).toEqual([55, 56, 57, 63, 64]);
  });

  test('writes them as a capture, and as a C program', async () => {
    const out = join(folder, 'small.jsonl');
    const run = await runCli(['minimize', EXAMPLE, '--errno', '64', '--out', out, '--json']);
    expect(JSON.parse(run.stdout)).toMatchObject({
      of: 17,
      calls: 5,
      minimal: true,
      kept: [55, 56, 57, 63, 64],
      out,
    });
    expect(parseCapture(readFileSync(out, 'utf8'), out).calls).toHaveLength(5);
    expect((await runCli(['replay', out])).code).toBe(0);
    const c = join(folder, 'small.c');
    expect((await runCli(['minimize', EXAMPLE, '--errno', '64', '--out', c, '--format', 'c'])).code).toBe(0);
    expect(readFileSync(c, 'utf8')).toContain('put32(a, 8, v->ioas_0);');
  });

  test('says what is wrong with what it is asked', async () => {
    const stderrOf = async (...args: string[]): Promise<string> => {
      const run = await runCli(['minimize', EXAMPLE, ...args]);
      expect(run.code).toBe(2);
      return run.stderr;
    };
    expect(await stderrOf()).toContain('--finding, --errno or --divergence, one of them');
    expect(await stderrOf('--errno', '64', '--divergence', '64')).toContain('one of them');
    expect(await stderrOf('--errno', '56')).toContain('call 56 did not fail');
    expect(await stderrOf('--divergence', '64')).toContain('call 64 does not diverge');
    expect(await stderrOf('--finding', 'no-such-rule')).toContain('no such rule');
    expect(await stderrOf('--finding', 'use-after-destroy')).toContain('finds nothing');
  });

  test('leaves the smallest trace so far on Ctrl-C', async () => {
    const out = join(folder, 'stopped.jsonl');
    const trace = join(ROOT, 'test/fixtures/linux-6.12-vfio-pci/device-calls.jsonl.gz');
    const lines = (await runCli(['show', trace, '--failed'])).stdout.trimEnd().split('\n');
    const seq = Number.parseInt(lines.at(-1)!, 10);
    const child = spawn(
      process.execPath,
      [builtCli(), 'minimize', trace, '--errno', String(seq), '--out', out],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    let stdout = '';
    child.stdout.on('data', (chunk) => {
      stdout += String(chunk);
    });
    setTimeout(() => child.kill('SIGINT'), 1500);
    const [code, signal] = await new Promise<[number | null, string | null]>((resolve) => {
      child.on('close', (...end) => resolve(end));
    });
    // Interrupted while it searched, it says so and writes; before or after, it ended as any program.
    if (signal === 'SIGINT') expect(existsSync(out)).toBe(false);
    else {
      expect(code).toBe(0);
      expect(stdout).toMatch(/none can be left out|stopped early, more could go/);
      expect(parseCapture(readFileSync(out, 'utf8'), out).calls.at(-1)!.seq).toBe(seq);
    }
  });
});
