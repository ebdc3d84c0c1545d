import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Call, readTrace } from '../../src/trace/index.ts';
import { openTemporaryStore, readRows, type Store } from '../../store/index.ts';

const FIXTURES = join(import.meta.dirname, '../fixtures');

/** Some of every kind: captures of two kernels, and logs of other tools. */
const FILES = [
  ...['linux-6.12-vmm', 'linux-7.3-selftests', 'linux-6.12-vfio', 'linux-6.12-limits'].flatMap((folder) =>
    readdirSync(join(FIXTURES, folder))
      .filter((name) => name.endsWith('.jsonl.gz'))
      .slice(0, 5)
      .map((name) => `${folder}/${name}`),
  ),
  ...['qemu-bpf.log.gz', 'qemu-a.log.gz', 'bpftrace-bpf.txt.gz', 'strace-strace.txt.gz'].map(
    (name) => `linux-6.12-observers/${name}`,
  ),
];

/** The newest hash of a trace that was stored in one of two ways. */
async function storedBy(
  store: Store,
  name: string,
  path: string,
  way: 'rows' | 'calls',
): Promise<string | null> {
  let writer: ReturnType<Store['beginTrace']> | null = null;
  const header = (read: Parameters<Store['beginTrace']>[0]['header']): void => {
    writer = store.beginTrace({ name, header: read });
  };
  const summary =
    way === 'rows'
      ? await readRows(path, { header, rows: (block) => writer!.appendBlock(block) }, { batchCalls: 1000 })
      : await readTrace(path, { header, calls: (calls: readonly Call[]) => writer!.append(calls) });
  return writer!.seal({ skipped: summary.skipped }).chainHead;
}

describe('a trace that is read as rows', () => {
  test.each(FILES)('%s is stored as if it were read call by call', async (file) => {
    const store = openTemporaryStore();
    const path = join(FIXTURES, file);
    const rows = await storedBy(store, 'rows', path, 'rows');
    expect(rows).toBe(await storedBy(store, 'calls', path, 'calls'));
    const trace = store.findTrace('rows')!;
    expect(store.verifyTrace(trace.id)).toMatchObject({ ok: true, callCount: trace.callCount });
    store.close();
  });
});
