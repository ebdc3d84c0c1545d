import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ROOT, runCli } from './run-cli.ts';

/** `state`, `diff` and `bisect` on the command line. */

const VMM = join(ROOT, 'test/fixtures/linux-6.12-vmm');
const QEMU = join(ROOT, 'test/recordings/qemu-7.2');
const A = join(VMM, 'a.jsonl.gz');
const BPF = join(VMM, 'bpf.jsonl.gz');
const STRACE = join(VMM, 'strace.jsonl.gz');
/** Paths of this machine are nobody's business. */
const local = (text: string): string => text.replaceAll(`${ROOT}/`, '');

describe('state', () => {
  test.each([
    ['tree', [A, '--at', '60']],
    ['object', [A, '--at', '60', '--object', '3', '--areas', '1']],
    ['since', [A, '--since', '12', '--at', '24']],
    ['mermaid', [A, '--at', '60', '--format', 'mermaid']],
    ['proposal', [join(ROOT, 'examples/proposal/july-3-software-nesting.jsonl')]],
  ])('prints %s', async (name, args) => {
    const run = await runCli(['state', ...args]);
    expect(run).toMatchObject({ code: 0, stderr: '' });
    await expect(local(run.stdout)).toMatchFileSnapshot(join(ROOT, `test/golden/state/${name}.txt`));
  });

  test('as JSON has nodes and edges that say since when', async () => {
    const { code, stdout } = await runCli(['state', A, '--at', '60', '--json']);
    expect(code).toBe(0);
    const { seq, nodes, edges } = JSON.parse(stdout) as {
      seq: number;
      nodes: {
        key: string;
        kind: string;
        since: number;
        areaCount: number;
        areas: { iova: string }[] | null;
      }[];
      edges: { from: string; to: string; role: string; pasid: number | null; since: number }[];
    };
    expect(seq).toBe(60);
    const ioas = nodes.find(({ kind }) => kind === 'ioas')!;
    expect(ioas).toMatchObject({ key: 'context/1/2', since: 17, areaCount: 2 });
    expect(ioas.areas![1]!.iova).toBe('0xfffc0000');
    expect(edges.find(({ pasid }) => pasid === 0)).toMatchObject({
      from: 'context/1/1',
      to: 'context/1/3',
      since: 19,
    });
  });

  test.each([
    ['a call that is not there', [A, '--at', '99999'], 'no call has the number 99999'],
    ['an object that is not there', [A, '--at', '60', '--object', '77'], 'no object 77 at call 60'],
    ['changes as a diagram', [A, '--since', '12', '--format', 'mermaid'], '--since shows changes'],
    ['changes backwards', [A, '--since', '60', '--at', '24'], 'comes after the call to look at'],
  ])('refuses %s', async (_, args, message) => {
    const run = await runCli(['state', ...args]);
    expect(run).toMatchObject({ code: 2, stdout: '' });
    expect(run.stderr).toContain(message);
  });
});

describe('diff', () => {
  test('of two recordings of one run of QEMU says equal and exits with 0', async () => {
    const run = await runCli(['diff', join(QEMU, 'firmware-1.jsonl.gz'), join(QEMU, 'firmware-2.jsonl.gz')]);
    expect(run).toMatchObject({ code: 0, stderr: '' });
    expect(run.stdout).toMatch(/: equal \(\d+ calls compared\)\n$/);
  });

  test('shows the first call that differs, what it did, and what follows', async () => {
    const run = await runCli(['diff', BPF, STRACE]);
    expect(run).toMatchObject({ code: 1, stderr: '' });
    await expect(local(run.stdout)).toMatchFileSnapshot(join(ROOT, 'test/golden/state/diff.txt'));
  });

  test('of two points of one trace shows what lies between them, as JSON too', async () => {
    const run = await runCli(['diff', `${A}@16`, `${A}@19`, '--json']);
    expect(run.code).toBe(1);
    const { equal, calls } = JSON.parse(run.stdout) as { equal: boolean; calls: { b: { call: string } }[] };
    expect(equal).toBe(false);
    expect(calls.map(({ b }) => b.call)).toEqual([
      'IOMMU_IOAS_ALLOC',
      'IOMMU_HWPT_ALLOC',
      'VFIO_DEVICE_ATTACH_IOMMUFD_PT',
    ]);
    expect((await runCli(['diff', `${A}@16`, `${A}@16`])).code).toBe(0);
  });

  test('refuses a call that is not there, and standard input twice', async () => {
    expect((await runCli(['diff', `${A}@99999`, A])).code).toBe(2);
    expect((await runCli(['diff', '-', '-'])).code).toBe(2);
  });
});

test('bisect names the call of each trace where the hardware parts', async () => {
  const run = await runCli(['bisect', BPF, STRACE]);
  expect(run.code).toBe(1);
  expect(run.stdout).toContain('  A  805  ioctl(10</dev/iommu>, IOMMU_IOAS_UNMAP');
  expect(run.stdout).toContain('  B  changes it no more');
  const same = await runCli(['bisect', BPF, BPF, '--json']);
  expect(same).toMatchObject({ code: 0, stdout: '{"a":null,"b":null}\n' });
});
