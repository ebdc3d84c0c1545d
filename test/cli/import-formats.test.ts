import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { OBSERVERS } from '../support/observed.ts';
import { runCli, temporaryFolder } from './run-cli.ts';

const folder = temporaryFolder();
const QEMU = join(OBSERVERS, 'qemu-bpf.log.gz');

describe('a log of another tool', () => {
  test('is imported, shown and replayed like a capture, with what is missing', async () => {
    const store = join(folder, 'one.db');
    const imported = await runCli(['import', QEMU, '--name', 'guest', '--store', store]);
    expect(imported.code).toBe(0);
    expect(imported.stdout).toMatch(
      /^guest: 92 calls imported from qemu\n {2}92 recorded in part; show says/,
    );
    expect(imported.stdout).toMatch(/^ +47 vfio_listener_region_add_ram \(told by iommufd_backend_\*\)$/m);
    const shown = await runCli(['show', 'guest', '--store', store, '--failed']);
    expect(shown.stdout).toMatch(/IOMMU_IOAS_MAP, .* = -1 \[missing argp, memory, errno\]$/m);
    const json = await runCli(['show', 'guest', '--store', store, '--json', '--to', '2']);
    expect(JSON.parse(json.stdout.trim().split('\n').at(-1)!)).toMatchObject({
      name: 'VFIO_DEVICE_BIND_IOMMUFD',
      partial: { missing: ['argp', 'arg.argsz'] },
    });
    const replayed = await runCli(['replay', QEMU, '--json']);
    expect(replayed.code).toBe(0);
    expect(JSON.parse(replayed.stdout)).toMatchObject({ calls: 92, matched: 49, diverged: 0 });
    expect((await runCli(['verify', 'guest', '--store', store])).code).toBe(0);
  });

  test('has its counts in JSON, and is refused as another format', async () => {
    const store = join(folder, 'two.db');
    const imported = await runCli(['import', QEMU, '--name', 'guest', '--store', store, '--json']);
    const { format, calls, partial, doubtful, implied, lost, skipped } = JSON.parse(imported.stdout);
    expect({ format, calls, partial, doubtful, implied, lost }).toEqual({
      ...{ format: 'qemu', calls: 92, partial: 92, doubtful: 0, implied: 0, lost: 0 },
    });
    expect(skipped['vfio_listener_region_skip']).toBe(42);
    const wrong = await runCli(['import', QEMU, '--name', 'x', '--store', store, '--format', 'capture']);
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toMatch(/qemu-bpf\.log\.gz:1: must be one JSON object a line/);
  });
});
