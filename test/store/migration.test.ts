import { describe, expect, test } from 'vitest';
import { createChainBuilder, type Link } from '../../store/chain.ts';
import { APPLICATION_ID, openStore, SCHEMA_VERSION } from '../../store/index.ts';
import { createRowInserter } from '../../store/insert-rows.ts';
import { createRowEncoder } from '../../store/row-encode.ts';
import { MIGRATIONS } from '../../store/schema.ts';
import { openSqlite } from '../support/sqlite.ts';
import { hotCalls } from './make-calls.ts';
import { useTemporaryFolder } from './temporary-folder.ts';

const pathOf = useTemporaryFolder();
const CALL_COUNT = 5000;

/** A store as the first schema has it, with one sealed trace. */
function makeFirstStore(path: string, change = ''): void {
  const database = openSqlite(path);
  database.exec(MIGRATIONS[0]!);
  database.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = 1`);
  database.exec(
    `INSERT INTO trace VALUES (1, 'old', NULL, 'importing', ${CALL_COUNT}, 0, ${CALL_COUNT - 1}, '{}', x'')`,
  );
  database.exec('BEGIN');
  const chain = createChainBuilder(null, 1);
  const rows = createRowInserter(database, 1);
  const encode = createRowEncoder();
  const keep = ({ index, lastSeq, hash }: Link): void => {
    database.prepare('INSERT INTO chain VALUES (1, ?, ?, ?)').run(index, lastSeq, hash);
  };
  for (const call of hotCalls(CALL_COUNT)) {
    const row = encode(call);
    rows.add(row);
    const link = chain.add(row);
    if (link !== null) keep(link);
  }
  rows.flush();
  const end = chain.end({ callCount: CALL_COUNT, skipped: '{}' });
  keep(end);
  database.exec('COMMIT');
  if (change !== '') database.exec(`DROP TRIGGER call_is_immutable; ${change}`);
  database.prepare(`UPDATE trace SET state = 'sealed', chain_head = ? WHERE id = 1`).run(end.hash);
  database.close();
}

describe('a store of the first schema', () => {
  test('is migrated when it is opened; its traces verify by the hashes that they have', () => {
    makeFirstStore(pathOf('first.db'));
    const store = openStore(pathOf('first.db'));
    expect(store.verifyTrace(1)).toEqual({ ok: true, callCount: CALL_COUNT, linkCount: 2, isSealed: true });
    expect(store.query('PRAGMA user_version')).toEqual([{ user_version: SCHEMA_VERSION }]);
    // New traces beside it get the new hashes.
    const writer = store.beginTrace({ name: 'new', header: store.findTrace(1)!.header });
    writer.append(hotCalls(CALL_COUNT));
    expect(writer.seal().chainHead).not.toBe(store.findTrace(1)!.chainHead);
    expect(store.verifyTrace(writer.traceId)).toMatchObject({ ok: true, linkCount: 2 });
    expect(() => store.writeBundle(1, {}, () => {})).toThrow('the hashes of an older ioasis');
    store.close();
  });

  test('that was changed by hand names the link, as far as its hashes tell', () => {
    makeFirstStore(pathOf('changed.db'), 'UPDATE call SET rc = 9 WHERE seq = 4500');
    const store = openStore(pathOf('changed.db'));
    expect(store.verifyTrace(1)).toMatchObject({ ok: false, seq: 4096 });
    store.close();
  });
});
