import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { EXAMPLE, EXAMPLE_NAME, EXAMPLES, linesOf, ROOT, runCli, temporaryFolder } from './run-cli.ts';

const folder = temporaryFolder();
const store = join(folder, 'store.db');

describe('ioasis show', () => {
  test.each(EXAMPLES.map((path) => [basename(path, '.jsonl.gz'), path]))(
    'prints %s as reviewed',
    async (name, path) => {
      const run = await runCli(['show', path]);
      expect(run).toMatchObject({ code: 0, stderr: '' });
      await expect(run.stdout).toMatchFileSnapshot(join(ROOT, `test/golden/show/${name}.txt`));
    },
  );

  test('shows a trace of the store as it shows the file', async () => {
    await runCli(['import', EXAMPLE, '--store', store]);
    const [fromFile, fromStore] = await Promise.all([
      runCli(['show', EXAMPLE]),
      runCli(['show', EXAMPLE_NAME, '--store', store]),
    ]);
    expect(fromStore).toEqual(fromFile);
  });

  test.each([
    ['--from and --to', ['--from', '57', '--to', '58'], [57, 58]],
    ['--failed', ['--failed'], [64, 66]],
    ['--pid', ['--pid', '1381'], [52]],
    ['--object', ['--object', '5'], [58]],
    ['--object of an IOAS', ['--object', '1', '--from', '57'], [57, 58, 59, 64, 66]],
    ['nothing that fits', ['--from', '1000'], []],
  ])('picks calls by %s', async (_, args, wanted) => {
    const run = await runCli(['show', EXAMPLE, ...args, '--json']);
    expect(run).toMatchObject({ code: 0, stderr: '' });
    expect(linesOf(run.stdout).map((line) => (JSON.parse(line) as { seq: number }).seq)).toEqual(wanted);
  });

  test('prints decoded structs as JSON, one call a line', async () => {
    const run = await runCli(['show', EXAMPLE, '--json']);
    const calls = linesOf(run.stdout).map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(calls).toHaveLength(17);
    expect(calls[5]).toMatchObject({
      seq: 59,
      op: 'ioctl',
      name: 'IOMMU_IOAS_MAP',
      arg: { flags: 6, ioas_id: 1, length: '0x1000', iova: '0x0' },
      out: { iova: '0x1000000' },
      ret: 0,
      errno: null,
    });
    expect(calls[10]).toMatchObject({ seq: 64, ret: -1, errno: 'EFAULT' });
    expect(calls[0]).toMatchObject({ seq: 52, op: 'mmap', name: 'mmap', ret: '0x7f77bd200000' });
  });

  test('shows calls without a recorded reply', async () => {
    const line =
      '{"pid":1,"op":"ioctl","fd":3,"kind":"iommufd","cmd":"0x3b81","argp":"0x10",' +
      '"arg":"0c0000000000000000000000"}';
    const text = await runCli(['show', '-'], { stdin: line });
    expect(text.stdout).toBe('0  [1] ioctl(3</dev/iommu>, IOMMU_IOAS_ALLOC, {flags=0}) = ?\n');
    const json = await runCli(['show', '-', '--json'], { stdin: line });
    expect(JSON.parse(json.stdout)).toMatchObject({ out: null, ret: null, errno: null });
  });
});
