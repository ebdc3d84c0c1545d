import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { EMPTY_HEADER, readCapture } from '../../src/trace/index.ts';
import { openStore, SCHEMA_VERSION, StoreError } from '../../store/index.ts';
import { RECORD_KINDS } from '../../store/record-kinds.ts';
import { TIMELINE_TABLES } from '../../store/timeline-schema.ts';
import { openSqlite } from '../support/sqlite.ts';
import { hotCall, hotCalls } from './make-calls.ts';
import { useTemporaryFolder } from './temporary-folder.ts';

const pathOf = useTemporaryFolder();

describe('opening', () => {
  test('makes a store that plain SQLite can read', () => {
    openStore(pathOf('new.db')).close();
    const database = openSqlite(pathOf('new.db'), { readonly: true });
    expect(database.prepare('PRAGMA user_version').pluck().get()).toBe(SCHEMA_VERSION);
    expect(database.prepare('PRAGMA journal_mode').pluck().get()).toBe('wal');
    expect(database.prepare('SELECT * FROM record_kind ORDER BY what').all()).toEqual(RECORD_KINDS);
    database.close();
  });

  test('refuses a newer schema, a foreign database and other files, and leaves them as they are', () => {
    const newer = pathOf('newer.db');
    openStore(newer).close();
    const database = openSqlite(newer);
    database.exec(`PRAGMA user_version = ${SCHEMA_VERSION + 1}`);
    database.close();
    const foreign = openSqlite(pathOf('foreign.db'));
    foreign.exec('CREATE TABLE t (a)');
    foreign.close();
    writeFileSync(
      pathOf('text.db'),
      'this is not a database at all, but long enough to look at. '.repeat(20),
    );
    for (const [name, message] of [
      [
        'newer.db',
        `has schema version ${SCHEMA_VERSION + 1}, newer than the version ${SCHEMA_VERSION} that this program knows`,
      ],
      ['foreign.db', 'is not an ioasis store (it belongs to another program)'],
      ['text.db', 'is not an ioasis store (not an SQLite database)'],
    ] as const) {
      const before = readFileSync(pathOf(name));
      expect(() => openStore(pathOf(name))).toThrow(new StoreError(`${pathOf(name)}: ${message}`));
      expect(readFileSync(pathOf(name)).equals(before)).toBe(true);
    }
  });

  test('gives a store of an earlier version the record kinds that came later', () => {
    const path = pathOf('first.db');
    openStore(path).close();
    const database = openSqlite(path);
    const kinds = (): unknown[] => database.prepare("SELECT op FROM record_kind WHERE op = 'call'").all();
    database.exec("DELETE FROM record_kind WHERE op = 'call'");
    for (const table of TIMELINE_TABLES) database.exec(`DROP TABLE ${table}`);
    database.exec('PRAGMA user_version = 2');
    expect(kinds()).toEqual([]);
    openStore(path).close();
    expect(kinds()).toEqual([{ op: 'call' }]);
    expect(database.prepare('PRAGMA user_version').pluck().get()).toBe(SCHEMA_VERSION);
    database.close();
  });

  test('refuses directories and places that do not exist', () => {
    mkdirSync(pathOf('dir'));
    expect(() => openStore(pathOf('dir'))).toThrow('dir: is a directory, not a store');
    expect(() => openStore(pathOf('no/such/x.db'))).toThrow('x.db: the directory does not exist');
    expect(() => openStore(pathOf('none.db'), { create: false })).toThrow('none.db: no such store');
  });
});

describe('importing', () => {
  test('a malformed capture leaves nothing behind', async () => {
    const store = openStore(':memory:');
    const good = '{"seq":N,"pid":1,"op":"close","fd":3,"kind":"iommufd","ret":0,"errno":0}';
    const lines = Array.from({ length: 5000 }, (_, seq) => good.replace('N', String(seq)));
    writeFileSync(pathOf('bad.jsonl'), [...lines, '{"seq":6000}'].join('\n'));
    const writer = store.beginTrace({ name: 'bad', header: EMPTY_HEADER });
    const reading = readCapture(pathOf('bad.jsonl'), { calls: writer.append });
    await expect(reading).rejects.toThrow('bad.jsonl:5001: "op" is missing');
    expect(store.findTrace('bad')).toMatchObject({ state: 'importing', callCount: 4096 });
    writer.discard();
    expect(store.listTraces()).toEqual([]);
    store.close();
  });

  test('again what was interrupted starts over; a sealed trace is kept', () => {
    const store = openStore(':memory:');
    store.beginTrace({ name: 't', header: EMPTY_HEADER }).append(hotCalls(5000));
    const writer = store.beginTrace({ name: 't', header: EMPTY_HEADER });
    writer.append(hotCalls(10, 3));
    expect(writer.seal({ skipped: { zap: 1 } })).toMatchObject({
      ...{ state: 'sealed', callCount: 10, firstSeq: 3, lastSeq: 12, skipped: { zap: 1 } },
    });
    expect(() => store.beginTrace({ name: 't', header: EMPTY_HEADER })).toThrow(
      'already holds a trace named "t"',
    );
    expect(() => store.discardTrace('t')).toThrow('trace "t" is sealed: it stays');
    expect(() => writer.append(hotCalls(1, 50))).toThrow('the trace is closed: nothing can be added to it');
    writer.discard();
    expect(store.verifyTrace(store.findTrace('t')!.id)).toMatchObject({ ok: true, callCount: 10 });
    store.close();
  });

  test('calls out of order is refused, and so is going on after that', () => {
    const store = openStore(':memory:');
    const writer = store.beginTrace({ name: 't', header: EMPTY_HEADER });
    writer.append([hotCall(5)]);
    expect(() => writer.append([hotCall(6), hotCall(6)])).toThrow('seq 6 does not follow 6');
    expect(() => writer.append([hotCall(7)])).toThrow('the trace is failed');
    expect(store.findTrace('t')).toMatchObject({ callCount: 1, lastSeq: 5 });
    writer.discard();
    expect(store.findTrace('t')).toBeNull();
    store.close();
  });

  test('keeps the header', () => {
    const store = openStore(':memory:');
    const header = { ...EMPTY_HEADER, kernel: '7.3', pageSizeBytes: 65536, quirks: ['a', 'b'] };
    store.beginTrace({ name: 't', header }).seal();
    expect(store.findTrace('t')!.header).toMatchObject({
      kernel: '7.3',
      pageSizeBytes: 65536,
      quirks: ['a', 'b'],
    });
    store.beginTrace({ name: 'bare', header: EMPTY_HEADER }).seal();
    expect(store.findTrace('bare')!.header).toEqual(EMPTY_HEADER);
    expect(store.verifyTrace(2)).toMatchObject({ ok: true, callCount: 0 });
    expect(() => store.verifyTrace(3)).toThrow('the store holds no trace 3');
    store.close();
  });
});

describe('snapshots', () => {
  test('are found by position and model version, replaced and deleted', () => {
    const store = openStore(':memory:');
    const id = store.beginTrace({ name: 't', header: EMPTY_HEADER }).traceId;
    for (const seq of [10, 20, 30]) store.putSnapshot(id, seq, 'v1', Buffer.from(`state ${seq}`));
    store.putSnapshot(id, 20, 'v1', Buffer.from('newer'));
    expect(store.nearestSnapshot(id, 29, 'v1')).toEqual({ seq: 20, state: Buffer.from('newer') });
    expect(store.nearestSnapshot(id, 9, 'v1')).toBeNull();
    expect(store.nearestSnapshot(id, 99, 'v2')).toBeNull();
    store.deleteSnapshots(id);
    expect(store.nearestSnapshot(id, 99, 'v1')).toBeNull();
    store.close();
  });
});
