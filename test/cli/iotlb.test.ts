import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ROOT, runCli, temporaryFolder } from './run-cli.ts';

/** A device of a QEMU guest whose RAM is mapped, seen through the caches of an emulated VT-d. */

const TRACE = join(ROOT, 'test/fixtures/linux-6.12-vmm/a.jsonl.gz');
const POINT = [TRACE, '--at', '180', '--device', '0000:01:00.0'];
const ADDRESSES = join(temporaryFolder(), 'addresses.txt');
writeFileSync(ADDRESSES, '0x100000\n0x101000\n0x100008 w\n0xdead000\n');

describe('ioasis iotlb', () => {
  test('shows what an access filled, and ends with 0 where nothing is stale', async () => {
    const run = await runCli(['iotlb', ...POINT, '--iova', '0x100000', '--json']);
    expect(run).toMatchObject({ code: 0, stderr: '' });
    const { accesses, entries } = JSON.parse(run.stdout);
    expect(accesses).toMatchObject([{ iova: '0x100000', outcome: 'miss', filled: 4 }]);
    expect(entries.map(({ cache, bytes }: Record<string, string>) => [cache, bytes])).toEqual([
      ['iotlb', '0x1000'],
      ['walk', '0x8000000000'],
      ['walk', '0x40000000'],
      ['walk', '0x200000'],
    ]);
  });

  test('needs a device for an access', async () => {
    const run = await runCli(['iotlb', TRACE, '--iova', '0x100000']);
    expect(run).toMatchObject({ code: 2, stdout: '' });
    expect(run.stderr).toContain('--pasid and --iova need --device');
  });
});

describe('ioasis translate --iotlb', () => {
  test('answers a second access by the entry that the first one filled', async () => {
    const run = await runCli(['translate', ...POINT, '--many', ADDRESSES, '--iotlb', '--json']);
    expect(run).toMatchObject({ code: 0, stderr: '' });
    const answers = run.stdout.trimEnd().split('\n');
    expect(answers.map((line) => JSON.parse(line).outcome)).toEqual(['miss', 'miss', 'hit', 'fault']);
  });

  test('forgets it where there is room for one', async () => {
    const run = await runCli(['translate', ...POINT, '--many', ADDRESSES, '--iotlb', 'sets=1,ways=1']);
    expect(run.stdout.split('\n').slice(0, 3)).toEqual([
      '0x100000 r -> miss',
      '0x101000 r -> miss',
      '0x100000 w -> miss',
    ]);
  });

  test('refuses a size that is none', async () => {
    const run = await runCli(['translate', ...POINT, '--iova', '0', '--iotlb', 'sets=x']);
    expect(run).toMatchObject({ code: 2, stdout: '' });
    expect(run.stderr).toContain('must be such as sets=64,ways=8');
  });
});
