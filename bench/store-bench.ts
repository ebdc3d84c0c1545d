import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { replayTrace } from '../replay/index.ts';
import { type Call, EMPTY_HEADER, openCaptureWriter } from '../src/trace/index.ts';
import { openStore, readRowsAhead, type Store } from '../store/index.ts';
import { against, type BenchResult, bestMs, result } from './measure.ts';

/** Cost of the log: import, append, select, replay from the store, and reaching a point of it. */

const COLUMNS = 'seq, what, pid, fd, cmd, rc, len, w0, w1, w2, w3, w4, ow, ov, more';
const HEADER = { ...EMPTY_HEADER, kernel: '6.12.117' };
const PAGE_ROWS = 4096;

export async function measureStore(
  folder: string,
  calls: readonly Call[],
  say: (line: string) => void,
): Promise<BenchResult[]> {
  const results: BenchResult[] = [];
  const nsPerCall = (ms: number): number => (ms * 1e6) / calls.length;

  say('append');
  const path = join(folder, 'bench.db');
  const store = openStore(path);
  const appendMs = bestMs(1, () => append(store, 'bench', calls));
  const traceId = store.findTrace('bench')!.id;
  const bareInsert = result('bare-insert', nsPerCall(insertBare(folder, path)), 'ns/call');
  results.push(bareInsert, against('append', nsPerCall(appendMs), 'ns/call', bareInsert));
  results.push(result('db-bytes-per-call', store.sizeBytes() / calls.length, 'bytes'));

  say('select and replay');
  const select = result('select-rows', nsPerCall(bestMs(3, () => selectRows(path, traceId))), 'ns/call');
  const replayMs = bestMs(3, () => check(replayTrace(store, traceId), calls.length));
  results.push(select, against('replay-store', nsPerCall(replayMs), 'ns/call', select));

  say('seek');
  results.push(...measureSeek(store, traceId, calls));
  store.close();

  say('import');
  results.push(...(await measureImport(folder, calls)));
  return results;
}

function append(store: Store, name: string, calls: readonly Call[]): void {
  const writer = store.beginTrace({ name, header: HEADER });
  for (let at = 0; at < calls.length; at += PAGE_ROWS) writer.append(calls.slice(at, at + PAGE_ROWS));
  writer.seal();
}

/** Milliseconds to insert the same rows into a table of the same shape, without chain and triggers. */
function insertBare(folder: string, path: string): number {
  const database = new Database(join(folder, 'bare.db'));
  database.exec('PRAGMA journal_mode = WAL');
  database.exec('PRAGMA synchronous = NORMAL');
  database.exec(`CREATE TABLE call (trace, ${COLUMNS}, PRIMARY KEY (trace, seq)) WITHOUT ROWID`);
  const source = new Database(path, { readonly: true });
  const rows = source.prepare(`SELECT trace, ${COLUMNS} FROM call`).raw().all() as unknown[][];
  source.close();
  const insert = database.prepare(`INSERT INTO call VALUES (${'?, '.repeat(15)}?)`);
  const insertPage = database.transaction((page: unknown[][]) => {
    for (const row of page) insert.run(row);
  });
  const ms = bestMs(1, () => {
    for (let at = 0; at < rows.length; at += PAGE_ROWS) insertPage(rows.slice(at, at + PAGE_ROWS));
  });
  database.close();
  return ms;
}

/**
 * The bare read that a replay is measured against: the same rows and columns in the same pages, nothing else.
 */
function selectRows(path: string, traceId: number): void {
  const database = new Database(path, { readonly: true });
  const page = database
    .prepare(`SELECT ${COLUMNS} FROM call WHERE trace = ? AND seq > ? ORDER BY seq LIMIT ${PAGE_ROWS}`)
    .raw();
  let last = -1;
  for (;;) {
    const rows = page.all(traceId, last) as number[][];
    if (rows.length === 0) break;
    last = rows[rows.length - 1]![0]!;
  }
  database.close();
}

function check(replayed: { readonly calls: number; readonly diverged: number }, expected: number): void {
  if (replayed.calls !== expected || replayed.diverged !== 0) {
    throw new Error(`replayed ${replayed.calls} of ${expected} calls, ${replayed.diverged} diverged`);
  }
}

/**
 * Reaching the call at three quarters of the trace, half an interval of snapshots (2 % of it) away from one.
 */
function measureSeek(store: Store, traceId: number, calls: readonly Call[]): BenchResult[] {
  const target = Math.floor(calls.length * 0.75);
  replayTrace(store, traceId, { snapshotEvery: Math.floor(calls.length / 50) });
  const untilSeq = calls[target]!.seq;
  const fromStart = result(
    'seek-from-start',
    bestMs(1, () => void replayTrace(store, traceId, { untilSeq })),
    'ms',
  );
  const seek = bestMs(3, () => void replayTrace(store, traceId, { untilSeq, fromSnapshot: true }));
  store.deleteSnapshots(traceId);
  return [fromStart, against('seek-1m', seek, 'ms', fromStart)];
}

/** Reading a capture file into the store, beside parsing the JSON of its lines. */
async function measureImport(folder: string, calls: readonly Call[]): Promise<BenchResult[]> {
  const path = join(folder, 'bench.jsonl');
  const writer = openCaptureWriter(path);
  for (let at = 0; at < calls.length; at += PAGE_ROWS)
    await writer.writeCalls(calls.slice(at, at + PAGE_ROWS));
  await writer.close();
  const parseMs = bestMs(1, () => {
    for (const line of readFileSync(path, 'utf8').split('\n')) if (line !== '') JSON.parse(line);
  });
  const store = openStore(join(folder, 'import.db'));
  const start = process.hrtime.bigint();
  const trace = store.beginTrace({ name: 'import', header: HEADER });
  await readRowsAhead(path, { header: () => undefined, rows: (block) => trace.appendBlock(block) });
  trace.seal();
  const importMs = Number(process.hrtime.bigint() - start) / 1e6;
  store.close();
  const parse = result('parse-json', (parseMs * 1e6) / calls.length, 'ns/call');
  const capture = result('capture-bytes-per-call', statSync(path).size / calls.length, 'bytes');
  return [parse, against('import-capture', (importMs * 1e6) / calls.length, 'ns/call', parse), capture];
}
