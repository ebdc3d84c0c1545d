import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { openStore, StoreError } from '../../store/index.ts';
import {
  builtCli,
  EXAMPLE,
  EXAMPLE_NAME,
  EXAMPLES,
  exampleLines,
  runCli,
  temporaryFolder,
} from './run-cli.ts';

const folder = temporaryFolder();
let storeCount = 0;
const freshStore = (): string => join(folder, `store-${storeCount++}.db`);

interface Listed {
  readonly name: string;
  readonly calls: number;
  readonly kernel: string | null;
  readonly iommu: string | null;
  readonly state: string;
  readonly chainHead: string;
}

async function list(store: string): Promise<readonly Listed[]> {
  const { stdout } = await runCli(['list', '--json', '--store', store]);
  return JSON.parse(stdout) as readonly Listed[];
}

/** Waits until an import in another process has written calls. */
async function untilCallsAreIn(path: string): Promise<void> {
  for (;;) {
    await setTimeout(20);
    if (!existsSync(path)) continue;
    if (callsIn(path) > 0) return;
  }
}

function callsIn(path: string): number {
  try {
    const store = openStore(path, { create: false });
    const [trace] = store.listTraces();
    store.close();
    return trace?.callCount ?? 0;
  } catch (error) {
    // The other process is making the store at this moment.
    if (error instanceof StoreError) return 0;
    throw error;
  }
}

describe('ioasis import', () => {
  test('keeps several captures under the names of their files', async () => {
    const store = freshStore();
    const run = await runCli(['import', ...EXAMPLES, '--store', store]);
    expect(run).toMatchObject({ code: 0, stderr: '' });
    const traces = await list(store);
    expect(traces).toHaveLength(EXAMPLES.length);
    expect(traces.find(({ name }) => name === EXAMPLE_NAME)).toMatchObject({
      calls: 17,
      kernel: '6.12.117',
      iommu: 'mock',
      state: 'sealed',
    });
    expect(await runCli(['verify', '--store', store])).toMatchObject({ code: 0, stderr: '' });
  });

  test('reads a long file on a thread of its own, and tells what is wrong as of a short one', async () => {
    const store = freshStore();
    const line = (seq: number): string =>
      `{"seq":${seq},"pid":1,"op":"ioctl","fd":3,"kind":"iommufd","cmd":"0x3b81","argp":"0x7f00","arg":` +
      '"0c0000000000000000000000","out":"0c0000000000000001000000","mem":[],"ret":0,"errno":0}';
    const long = join(folder, 'long.jsonl');
    const lines = Array.from({ length: 20_000 }, (_, seq) => line(seq));
    writeFileSync(long, `${lines.join('\n')}\n`);
    expect(await runCli(['import', long, '--store', store, '--batch', '700'])).toMatchObject({ code: 0 });
    expect(await runCli(['verify', '--store', store])).toMatchObject({ code: 0 });
    // The same log, in another store and in one piece: the same hash.
    const other = freshStore();
    await runCli(['import', '-', '--name', 'long', '--store', other], { stdin: `${lines.join('\n')}\n` });
    expect((await list(other))[0]).toEqual((await list(store))[0]);

    const broken = join(folder, 'broken.jsonl');
    writeFileSync(broken, lines.map((text, seq) => (seq === 15_000 ? text.slice(0, 90) : text)).join('\n'));
    const run = await runCli(['import', broken, '--store', store]);
    expect(run).toMatchObject({ code: 2, stdout: '' });
    expect(run.stderr).toContain(`${broken}:15001: must be one JSON object a line, found`);
    expect(await list(store)).toHaveLength(1);
  });

  test('refuses a name that is taken, and takes another', async () => {
    const store = freshStore();
    await runCli(['import', EXAMPLE, '--store', store]);
    const again = await runCli(['import', EXAMPLE, '--store', store]);
    expect(again).toMatchObject({ code: 2, stdout: '' });
    expect(again.stderr).toMatch(/already holds a trace ".*": give another name with --name\n$/);
    expect(await runCli(['import', EXAMPLE, '--store', store, '--name', 'b'])).toMatchObject({ code: 0 });
    expect((await list(store)).map(({ name }) => name)).toEqual([EXAMPLE_NAME, 'b']);
  });

  test('writes the same log whatever the batch, and from a pipe', async () => {
    const store = freshStore();
    await runCli(['import', EXAMPLE, '--store', store, '--name', 'a', '--batch', '1']);
    const piped = { stdin: readFileSync(EXAMPLE) };
    await runCli(['import', '-', '--store', store, '--name', 'b'], piped);
    await runCli(['import', '-', '--store', store], { stdin: `${exampleLines().join('\n')}\n` });
    const traces = await list(store);
    expect(traces.map(({ name }) => name)).toEqual(['a', 'b', 'stdin']);
    expect(new Set(traces.map(({ chainHead }) => chainHead)).size).toBe(1);
  });

  test('counts unknown records by name', async () => {
    const path = join(folder, 'unknown.jsonl');
    writeFileSync(path, `${exampleLines().join('\n')}\n{"seq":900,"pid":1,"op":"vmsplice"}\n`);
    const run = await runCli(['import', path, '--store', freshStore()]);
    expect(run.stdout).toBe('unknown: 17 calls imported\n  1 skipped with the unknown op "vmsplice"\n');
    const json = await runCli(['import', path, '--store', freshStore(), '--json']);
    expect(JSON.parse(json.stdout)).toMatchObject({ calls: 17, skipped: { vmsplice: 1 } });
  });

  test('takes kernel and hardware facts from the command line', async () => {
    const store = freshStore();
    const topology = join(folder, 'topology.json');
    writeFileSync(topology, '{"iommu":"vtd","devices":[{"path":"/dev/vfio/devices/vfio0","group":2}]}');
    await runCli(['import', EXAMPLE, '--store', store, '--kernel', '6.13.1', '--topology', topology]);
    expect(await list(store)).toMatchObject([{ kernel: '6.13.1', iommu: 'vtd' }]);
  });

  test('leaves nothing when it is interrupted, and after a kill starts over', async () => {
    for (const signal of ['SIGINT', 'SIGKILL'] as const) {
      const store = freshStore();
      const child = spawn(process.execPath, [
        builtCli(),
        'import',
        '-',
        '--name',
        'run',
        '--batch',
        '1',
        '--store',
        store,
      ]);
      child.stdin.write(exampleLines().slice(0, 10).join('\n'));
      child.stdin.write('\n');
      await untilCallsAreIn(store);
      child.kill(signal);
      const [, endedBy] = (await once(child, 'exit')) as [number | null, string | null];
      expect(endedBy).toBe(signal);
      expect((await list(store)).map(({ state }) => state)).toEqual(signal === 'SIGINT' ? [] : ['importing']);
      const again = await runCli(['import', EXAMPLE, '--name', 'run', '--store', store]);
      expect(again.code).toBe(0);
      expect(again.stderr).toBe(
        signal === 'SIGINT'
          ? ''
          : 'ioasis: trace "run" was left incomplete by an import that did not end; it is read again\n',
      );
      expect(await list(store)).toMatchObject([{ name: 'run', calls: 17, state: 'sealed' }]);
    }
  });
});
