import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import type { JsonValue } from '../../src/trace/index.ts';
import { linesOf, runCli, temporaryFolder } from './run-cli.ts';

const folder = temporaryFolder();
const recorded = new URL('../fixtures/linux-7.3-hw/vtd-fs-info.jsonl.gz', import.meta.url);
const lines = gunzipSync(readFileSync(recorded)).toString().trimEnd().split('\n');
const header = JSON.parse(lines[0]!) as { topology: { instances: Record<string, JsonValue>[] } };

/** The capture with another first line. */
function withHeader(name: string, changed: object): string {
  const path = join(folder, name);
  writeFileSync(path, `${[JSON.stringify(changed), ...lines.slice(1)].join('\n')}\n`);
  return path;
}

const bare = withHeader('bare.jsonl', { ...header, topology: null });
const whole = join(folder, 'whole.json');
writeFileSync(whole, JSON.stringify(header.topology));
const lacking = join(folder, 'lacking.json');
const [instance] = header.topology.instances;
writeFileSync(
  lacking,
  JSON.stringify({
    ...header.topology,
    instances: [{ ...instance, aperture: null, hw_info: null }],
  }),
);

interface Replayed {
  readonly matched: number;
  readonly partial: number;
  readonly diverged: number;
  readonly digest: string;
  readonly hardware: readonly { readonly owner: string; readonly fact: string; readonly value: string }[];
}

async function replay(path: string, ...rest: string[]): Promise<Replayed> {
  const { stdout, stderr } = await runCli(['replay', path, '--json', ...rest]);
  expect(stderr).toBe('');
  return JSON.parse(linesOf(stdout)[0]!) as Replayed;
}

describe('--topology', () => {
  test('gives a capture without hardware facts those of a file', async () => {
    const own = await replay(withHeader('own.jsonl', header));
    const given = await replay(bare, '--topology', whole);
    expect(given.diverged).toBe(0);
    expect(given).toEqual({ ...own, trace: bare });
  });

  test('leaves open what the file leaves open: learned, listed, and not counted as predicted', async () => {
    const all = await replay(bare, '--topology', whole);
    const open = await replay(bare, '--topology', lacking);
    expect(open.diverged).toBe(0);
    expect(open.matched).toBeLessThan(all.matched);
    expect(open.partial).toBeGreaterThan(all.partial);
    expect(open.hardware).toContainEqual({
      owner: 'vtd0',
      fact: 'hardware information',
      value: (instance!['hw_info'] as { data: string }).data,
    });
    const { stdout } = await runCli(['replay', bare, '--topology', lacking]);
    expect(stdout).toMatch(/\n {16}vtd0: .*hardware information: [0-9a-f]{24}…/);
  });

  test('is the hardware of predict and explain too', async () => {
    const predicted = await runCli(['predict', bare, '--topology', whole]);
    const own = await runCli(['predict', withHeader('own.jsonl', header)]);
    expect(predicted.stdout).toBe(own.stdout);
    const info = lines.map((line) => JSON.parse(line) as { seq?: number; cmd?: string });
    const { seq } = info.find(({ cmd }) => cmd === '0x3b8a')!;
    const explained = await runCli(['explain', bare, '--at', String(seq), '--topology', whole]);
    expect(explained).toMatchObject({ code: 0, stderr: '' });
    expect(explained.stdout).toContain('IOMMU_GET_HW_INFO');
  });

  test('that is no topology ends with 2, the file and the key', async () => {
    const wrong = join(folder, 'wrong.json');
    writeFileSync(wrong, '{"instances":[{"name":7}]}');
    const run = await runCli(['replay', bare, '--topology', wrong]);
    expect(run).toMatchObject({ code: 2, stdout: '' });
    expect(run.stderr).toContain(`${wrong}: topology "instances.0.name"`);
  });
});
