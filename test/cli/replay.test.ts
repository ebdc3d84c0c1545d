import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { EXAMPLE, EXAMPLES, exampleLines, linesOf, runCli, temporaryFolder } from './run-cli.ts';

const folder = temporaryFolder();
const store = join(folder, 'my store.db');

interface Replayed {
  readonly trace: string;
  readonly calls: number;
  readonly digest: string;
  readonly diverged: number;
  readonly divergences: readonly { readonly seq: number }[];
}

const parse = (text: string): Replayed[] => linesOf(text).map((line) => JSON.parse(line) as Replayed);

/** The example with another recorded error: EINVAL where the kernel said EFAULT. */
const diverging = join(folder, 'diverging.jsonl');
writeFileSync(diverging, exampleLines().join('\n').replaceAll('"ret":-1,"errno":14', '"ret":-1,"errno":22'));

describe('ioasis replay', () => {
  test.each(EXAMPLES)('agrees with the kernel on %s', async (path) => {
    const run = await runCli(['replay', path]);
    expect(run).toMatchObject({ code: 0, stderr: '' });
    expect(run.stdout).toMatch(/: no divergence\n/);
    expect(run.stdout).toMatch(/ {2}profile {5}linux-6\.12 \(kernel 6\.12\.117\)\n/);
    expect(run.stdout).toMatch(/ {2}digest {6}[0-9a-f]{64}\n$/);
  });

  test('gives the same digest from a file, a pipe and the store, in any batches', async () => {
    await runCli(['import', EXAMPLE, '--name', 'run', '--store', store]);
    const runs = await Promise.all([
      runCli(['replay', EXAMPLE, '--json']),
      runCli(['replay', '-', '--json'], { stdin: readFileSync(EXAMPLE) }),
      runCli(['replay', 'run', '--json', '--store', store]),
      runCli(['replay', 'run', '--json', '--store', store, '--batch', '1']),
      runCli(['replay', 'run', '--json', '--store', store, '--snapshots', '5']),
    ]);
    expect(new Set(runs.flatMap(({ stdout }) => parse(stdout)).map(({ digest }) => digest)).size).toBe(1);
  });

  test('tells a divergence: where, what, why, and the command that shows it', async () => {
    const run = await runCli(['replay', diverging]);
    expect(run).toMatchObject({ code: 1, stderr: '' });
    expect(run.stdout).toContain('2 of 17 calls diverged');
    expect(run.stdout).toMatch(
      /seq 64 IOMMU_IOAS_MAP: errno recorded EINVAL, predicted EFAULT\n {4}because \S+ .+\n/,
    );
    expect(run.stdout).toContain(`ioasis show ${diverging} --from 64 --to 64`);
  });

  test('the command it gives finds the call again', async () => {
    await runCli(['import', diverging, '--name', 'bad run', '--store', store]);
    const run = await runCli(['replay', 'bad run', '--store', store]);
    expect(run.stdout).toContain(`ioasis show 'bad run' --store '${store}' --from 64 --to 64`);
  });

  test('reports as many divergences as asked for', async () => {
    const text = await runCli(['replay', diverging, '--max-divergences', '1']);
    expect(text.stdout).toContain('1 more divergence is not shown (--max-divergences)');
    const json = await runCli(['replay', diverging, '--max-divergences', '0', '--json']);
    expect(parse(json.stdout)).toMatchObject([{ diverged: 2, divergences: [] }]);
  });

  test('prints one JSON object a trace', async () => {
    const run = await runCli(['replay', EXAMPLE, diverging, '--json']);
    expect(run).toMatchObject({ code: 1, stderr: '' });
    expect(parse(run.stdout)).toMatchObject([
      {
        trace: EXAMPLE,
        profile: 'linux-6.12',
        calls: 17,
        matched: 17,
        diverged: 0,
        partial: 0,
        divergences: [],
      },
      {
        trace: diverging,
        calls: 17,
        diverged: 2,
        divergences: [
          { seq: 64, call: 'IOMMU_IOAS_MAP', field: 'errno', recorded: 'EINVAL', predicted: 'EFAULT' },
          { seq: 66 },
        ],
      },
    ]);
  });

  test('stops where it is told to', async () => {
    const run = await runCli(['replay', diverging, '--until', '63', '--json']);
    expect(run.code).toBe(0);
    expect(parse(run.stdout)).toMatchObject([{ calls: 10, diverged: 0 }]);
  });

  test('warns when the kernel of the trace has no profile', async () => {
    const run = await runCli(['replay', EXAMPLE, '--kernel', '5.4']);
    expect(run.stdout).toContain('WARNING: kernel 5.4 has no profile of its own');
  });
});

describe('ioasis predict', () => {
  test('writes an answer for each call, to a file that appears whole', async () => {
    const out = join(folder, 'answers.jsonl');
    const toFile = await runCli(['predict', EXAMPLE, '--out', out]);
    expect(toFile).toMatchObject({ code: 0, stderr: '' });
    const toStdout = await runCli(['predict', EXAMPLE]);
    expect(readFileSync(out, 'utf8')).toBe(toStdout.stdout);
    const answers = linesOf(toStdout.stdout).map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(answers).toHaveLength(17);
    expect(answers.find(({ seq }) => seq === 64)).toMatchObject({ ret: -1, errno: 14 });
  });

  test('does not look at the recorded answers', async () => {
    const stripped = exampleLines().map((line) => {
      const { out: _, ret, errno: __, ...record } = JSON.parse(line) as Record<string, unknown>;
      // What open and mmap returned is an input.
      return JSON.stringify(
        record['op'] === 'open' || record['op'] === 'mmap' ? { ...record, ret, errno: 0 } : record,
      );
    });
    const [whole, bare] = await Promise.all([
      runCli(['predict', EXAMPLE]),
      runCli(['predict', '-'], { stdin: stripped.join('\n') }),
    ]);
    const refusals = (text: string) => linesOf(text).filter((line) => line.includes('"errno":14'));
    expect(bare.code).toBe(0);
    expect(refusals(bare.stdout)).toEqual(refusals(whole.stdout));
    expect(refusals(bare.stdout)).toHaveLength(2);
  });
});
