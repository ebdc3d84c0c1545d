import { createReadStream, statSync } from 'node:fs';
import { join } from 'node:path';
import { type Call, createLineSplitter, openCaptureWriter, readTrace } from '../src/trace/index.ts';
import { openStore, readRowsAhead, type Store } from '../store/index.ts';
import { writeQemuLog } from './generate-log.ts';
import { against, type BenchResult, collectGarbage, result } from './measure.ts';

/**
 * How fast logs are read, each beside a pass over the same file that only cuts it into lines. `import-*` goes
 * into a store, as `ioasis import` does; `read-*` keeps nothing.
 */
export async function measureImporters(
  folder: string,
  calls: readonly Call[],
  quick: boolean,
  say: (line: string) => void,
): Promise<BenchResult[]> {
  say('importers');
  const capture = join(folder, 'capture.jsonl');
  const writer = openCaptureWriter(capture);
  for (let at = 0; at < calls.length; at += BATCH_CALLS)
    await writer.writeCalls(calls.slice(at, at + BATCH_CALLS));
  await writer.close();
  const log = join(folder, 'qemu.log');
  writeQemuLog(log, quick ? 100_000 : 1_000_000);
  return [
    ...(await measureFile(folder, capture, 'capture', 'calls/s')),
    ...(await measureFile(folder, log, 'qemu', 'MB/s')),
  ];
}

const BATCH_CALLS = 4096;
const RUNS = 3;

async function measureFile(
  folder: string,
  path: string,
  name: string,
  unit: 'calls/s' | 'MB/s',
): Promise<BenchResult[]> {
  let calls = 0;
  const splitMs = await bestOf(async () => {
    let lines = 0;
    const splitter = createLineSplitter(path, () => {
      lines += 1;
    });
    for await (const chunk of createReadStream(path, { highWaterMark: 256 * 1024 }))
      splitter.push(chunk as Buffer);
    splitter.end();
    if (lines === 0) throw new Error(`${path} has no lines`);
  });
  const readMs = await bestOf(async () => {
    ({ callCount: calls } = await readTrace(path, { call: () => undefined }));
  });
  let run = 0;
  const importMs = await bestOf(async () => {
    run += 1;
    const store = openStore(join(folder, `${name}-${run}.db`));
    let trace: ReturnType<Store['beginTrace']> | null = null;
    const summary = await readRowsAhead(path, {
      header: (header) => {
        trace = store.beginTrace({ name, header });
      },
      rows: (block) => trace?.appendBlock(block),
    });
    (trace as ReturnType<Store['beginTrace']> | null)?.seal({ skipped: summary.skipped });
    store.close();
  });
  const amount = unit === 'MB/s' ? statSync(path).size / 1e6 : calls;
  const perSecond = (ms: number): number => (amount / ms) * 1000;
  const split = result(`split-lines-${name}`, perSecond(splitMs), unit);
  return [
    split,
    against(`read-${name}`, perSecond(readMs), unit, split),
    against(`import-${name}-log`, perSecond(importMs), unit, split),
  ];
}

async function bestOf(work: () => Promise<void>): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  for (let run = 0; run < RUNS; run += 1) {
    collectGarbage();
    const start = process.hrtime.bigint();
    await work();
    best = Math.min(best, Number(process.hrtime.bigint() - start) / 1e6);
  }
  return best;
}
