import { copyFileSync } from 'node:fs';
import type Database from 'better-sqlite3';
import { beforeAll, describe, expect, test } from 'vitest';
import { EMPTY_HEADER } from '../../src/trace/index.ts';
import { openStore } from '../../store/index.ts';
import { openSqlite } from '../support/sqlite.ts';
import { hotCall, hotCalls } from './make-calls.ts';
import { useTemporaryFolder } from './temporary-folder.ts';

const pathOf = useTemporaryFolder();

/** Two links of 4096 calls and a rest; the last call needs JSON. */
const CALL_COUNT = 10_000;

beforeAll(() => {
  const store = openStore(pathOf('clean.db'));
  const sealed = store.beginTrace({ name: 'sealed', header: { ...EMPTY_HEADER, kernel: '6.12' } });
  sealed.append(hotCalls(CALL_COUNT - 1));
  sealed.append([{ ...hotCall(CALL_COUNT - 1), newFd: 7, tid: 1, argp: 2n ** 63n + 1n }]);
  sealed.seal({ skipped: { zap: 2 } });
  store.beginTrace({ name: 'open', header: EMPTY_HEADER }).append(hotCalls(5000));
  store.close();
});

function withCopy<T>(use: (database: Database.Database, path: string) => T): T {
  const path = pathOf('copy.db');
  copyFileSync(pathOf('clean.db'), path);
  const database = openSqlite(path);
  try {
    return use(database, path);
  } finally {
    database.close();
  }
}

describe('triggers refuse', () => {
  test.each([
    ['to change a call', 'UPDATE call SET rc = 1 WHERE trace = 2 AND seq = 1', 'never changed'],
    ['to delete a call of a sealed trace', 'DELETE FROM call WHERE trace = 1 AND seq = 1', 'sealed'],
    [
      'to add a call to a sealed trace',
      'INSERT INTO call (trace, seq, what, pid) VALUES (1, 99999, 0, 1)',
      'sealed',
    ],
    [
      'to replace a call of a sealed trace',
      'REPLACE INTO call (trace, seq, what, pid) VALUES (1, 1, 0, 1)',
      'sealed',
    ],
    ['to change the hash chain', `UPDATE chain SET hash = x'00' WHERE trace = 2`, 'append-only'],
    ['to delete a link of a sealed trace', 'DELETE FROM chain WHERE trace = 1', 'sealed'],
    ['to change a check', `UPDATE row_check SET checks = x'00' WHERE trace = 2`, 'append-only'],
    ['to delete a check of a sealed trace', 'DELETE FROM row_check WHERE trace = 1', 'sealed'],
    ['to change a sealed trace', `UPDATE trace SET name = 'x' WHERE id = 1`, 'sealed'],
    ['to delete a sealed trace', 'DELETE FROM trace WHERE id = 1', 'sealed'],
  ])('%s', (_name, sql, message) => {
    withCopy((database) => {
      expect(() => database.exec(sql)).toThrow(message);
      expect(database.prepare('SELECT count(*) FROM call WHERE trace = 1').pluck().get()).toBe(CALL_COUNT);
    });
  });
});

function verifyAfter(sql: string, traceId = 1) {
  return withCopy((database, path) => {
    const triggers = database.prepare(`SELECT name FROM sqlite_master WHERE type = 'trigger'`).pluck().all();
    for (const name of triggers) database.exec(`DROP TRIGGER ${name}`);
    database.exec(sql);
    const store = openStore(path);
    const result = store.verifyTrace(traceId);
    store.close();
    return result;
  });
}

const ROW = 'WHERE trace = 1 AND seq =';

describe('verifying a trace', () => {
  test('finds nothing wrong with what was stored, sealed or not', () => {
    expect(verifyAfter('SELECT 1')).toEqual({
      ok: true,
      callCount: CALL_COUNT,
      linkCount: 3,
      isSealed: true,
    });
    expect(verifyAfter('SELECT 1', 2)).toEqual({ ok: true, callCount: 5000, linkCount: 1, isSealed: false });
  });

  test('does not depend on how calls were batched', () => {
    const heads = [1, 7, 4096, 9000].map((batch) => {
      const store = openStore(':memory:');
      const writer = store.beginTrace({ name: 't', header: EMPTY_HEADER });
      const calls = hotCalls(9000);
      for (let start = 0; start < calls.length; start += batch)
        writer.append(calls.slice(start, start + batch));
      const { chainHead } = writer.seal();
      store.close();
      return chainHead;
    });
    expect(new Set(heads).size).toBe(1);
  });

  const columns = ['what', 'pid', 'fd', 'cmd', 'rc', 'len', 'w0', 'w1', 'w2', 'w3', 'w4', 'ow', 'ov', 'argp'];
  test.each(columns)('finds one bit changed in column %s', (column) => {
    expect(verifyAfter(`UPDATE call SET ${column} = coalesce(${column}, 0) + 1 ${ROW} 5000`)).toMatchObject({
      ok: false,
      seq: 5000,
    });
    // Not recorded is not zero.
    expect(verifyAfter(`UPDATE call SET ov = 0 ${ROW} 1`)).toMatchObject({ ok: false, seq: 1 });
  });

  test.each([
    ['JSON that was changed', `UPDATE call SET more = replace(more, '7', '8') ${ROW} 9999`, 9999],
    ['a thread that was changed', `UPDATE call SET meta = '{"tid":2}' ${ROW} 9999`, 9999],
    ['the last bit of a large integer', `UPDATE call SET argp = argp + 1 ${ROW} 9999`, 9999],
    ['a number put where JSON belongs', `UPDATE call SET more = '1' ${ROW} 1`, 1],
    ['a call that was deleted', `DELETE FROM call ${ROW} 4097`, 4098],
    ['a call that was added', `INSERT INTO call (trace, seq, what, pid) VALUES (1, 10000, 0, 1)`, 10000],
    ['a call added before the first', `INSERT INTO call (trace, seq, what, pid) VALUES (1, -5, 0, 1)`, -5],
    ['calls cut off at the end', 'DELETE FROM call WHERE trace = 1 AND seq >= 9000', 8999],
    ['calls cut off at a link', 'DELETE FROM call WHERE trace = 1 AND seq >= 8192', 8191],
    ['all calls gone', 'DELETE FROM call WHERE trace = 1', null],
    [
      'two calls swapped',
      `UPDATE call SET seq = -1 ${ROW} 10; UPDATE call SET seq = 10 ${ROW} 12; UPDATE call SET seq = 12 ${ROW} -1`,
      10,
    ],
    ['another header', `UPDATE trace SET header = replace(header, '6.12', '6.13')`, 0],
    ['another count of skipped records', `UPDATE trace SET skipped = '{}'`, 8192],
    ['another number of calls', 'UPDATE trace SET call_count = 1', 9999],
    ['another last call', 'UPDATE trace SET last_seq = 1', 0],
    ['a trace opened again', `UPDATE trace SET state = 'importing'`, 9999],
    ['another newest hash', `UPDATE trace SET chain_head = x'00'`, null],
    ['a link that was changed', `UPDATE chain SET hash = x'00' WHERE trace = 1 AND link = 1`, 4096],
    ['a link that was deleted', 'DELETE FROM chain WHERE trace = 1 AND link = 2', 8192],
    ['a link that was added', `INSERT INTO chain VALUES (1, 3, 1, x'00')`, 9999],
    ['a check that was changed', `UPDATE row_check SET checks = zeroblob(16384) WHERE link = 1`, 4096],
    ['checks that were cut', `UPDATE row_check SET checks = substr(checks, 1, 40) WHERE link = 0`, 10],
    [
      'a call that was changed together with the checks',
      `UPDATE call SET rc = 9 ${ROW} 5000; DELETE FROM row_check WHERE trace = 1`,
      4096,
    ],
    ['a link that was moved', 'UPDATE chain SET link = 9 WHERE trace = 1 AND link = 2', null],
  ])('finds %s', (_name, sql, seq) => {
    expect(verifyAfter(sql)).toMatchObject({ ok: false, seq });
  });
});
