import type { AttachmentRow, AuditRows, EventRow, ScopeRow, TenureRow } from './audit-rows.ts';
import { AUDIT_TABLES } from './audit-schema.ts';
import { nodeOf } from './interval-tree.ts';
import type { SqliteDatabase } from './open-database.ts';

const SCOPE: readonly (keyof ScopeRow)[] = [
  ...(['scope', 'kind', 'name', 'is_space', 'quota', 'tenures', 'held', 'high_water'] as const),
  ...(['high_water_seq', 'refused'] as const),
];
const TENURE: readonly (keyof StoredTenure)[] = [
  ...(['tenure', 'generation', 'scope', 'set_scope', 'pasid', 'vpasid', 'context', 'pid', 'fd'] as const),
  ...(['from_seq', 'from_call', 'to_seq', 'to_call', 'orphan_seq', 'previous', 'reuse_calls'] as const),
  ...(['reuse_flush', 'faults_reported', 'faults_read', 'node'] as const),
];
/** With the node by which a moment finds it. */
interface StoredTenure extends TenureRow {
  readonly node: number | null;
}

/** A tenure that began and ended in one call was never held after any. */
function stored(row: TenureRow): StoredTenure {
  const { from_seq, to_seq } = row;
  return { ...row, node: to_seq === null || to_seq <= from_seq ? null : nodeOf(from_seq, to_seq - 1) };
}

const ATTACHMENT: readonly (keyof AttachmentRow)[] = [
  ...(['attachment', 'tenure', 'function', 'device', 'hwpt', 'ioas', 'pid', 'fd'] as const),
  ...(['from_seq', 'to_seq'] as const),
];
const EVENT: readonly (keyof EventRow)[] = [
  ...(['event', 'seq', 'nth', 'pid', 'fd', 'call', 'what', 'generation', 'scope', 'pasid'] as const),
  ...(['vpasid', 'tenure', 'context', 'function', 'device', 'hwpt', 'ioas', 'vm', 'reason'] as const),
];

/** What a finished history says of itself. */
export interface AuditBuild {
  /** See `audit_build.version`. */
  readonly version: string;
  readonly diverged: number;
}

/** The history that the store has of a trace; null when there is none. */
export function findAuditBuild(database: SqliteDatabase, traceId: number): AuditBuild | null {
  const found = database.prepare('SELECT version, diverged FROM audit_build WHERE trace = ?').get(traceId);
  return (found as AuditBuild | undefined) ?? null;
}

/** Replaces the history of a trace by what `work` tells, in one transaction. */
export function rebuildAudit(
  database: SqliteDatabase,
  traceId: number,
  work: (rows: AuditRows) => AuditBuild,
): void {
  const scope = inserter(database, 'pasid_scope', traceId, SCOPE);
  const tenure = inserter<StoredTenure>(database, 'pasid_tenure', traceId, TENURE);
  const attachment = inserter(database, 'pasid_attachment', traceId, ATTACHMENT);
  const event = inserter(database, 'pasid_event', traceId, EVENT);
  const rows: AuditRows = {
    scope: scope.add,
    tenure: (row) => tenure.add(stored(row)),
    attachment: attachment.add,
    event: event.add,
  };
  const rebuild = database.transaction(() => {
    deleteAudit(database, traceId);
    const indexes = takeIndexes(database);
    const { version, diverged } = work(rows);
    for (const table of [scope, tenure, attachment, event]) table.flush();
    for (const sql of indexes) database.exec(sql);
    database.prepare('INSERT INTO audit_build VALUES (?, ?, ?)').run(traceId, version, diverged);
  });
  rebuild.immediate();
}

/** Removes the history of a trace: nothing is lost but the time to build it. */
export function deleteAudit(database: SqliteDatabase, traceId: number): void {
  for (const table of AUDIT_TABLES) database.prepare(`DELETE FROM ${table} WHERE trace = ?`).run(traceId);
}

/**
 * Takes the indexes of the history away where no other trace has one, and answers the SQL that makes them
 * again: an index of all rows at once costs a third of one that grows with them. Where others have a history,
 * theirs would be sorted again, too.
 */
function takeIndexes(database: SqliteDatabase): readonly string[] {
  if (database.prepare('SELECT 1 FROM audit_build LIMIT 1').get() !== undefined) return [];
  const names = AUDIT_TABLES.map((table) => `'${table}'`).join(', ');
  const where = `type = 'index' AND sql IS NOT NULL AND tbl_name IN (${names})`;
  const found = database.prepare(`SELECT name, sql FROM sqlite_master WHERE ${where} ORDER BY name`).all();
  return (found as { name: string; sql: string }[]).map(({ name, sql }) => {
    database.exec(`DROP INDEX ${name}`);
    return sql;
  });
}

/** Rows of one INSERT: a statement costs more than another row in it. */
const STATEMENT_ROWS = 16;

/** Inserts rows, several with one statement; those that are left over with flush(). */
function inserter<Row>(
  database: SqliteDatabase,
  table: string,
  traceId: number,
  columns: readonly (keyof Row)[],
): { readonly add: (row: Row) => void; readonly flush: () => void } {
  const width = columns.length;
  const marks = `(${traceId}, ${columns.map(() => '?').join(', ')})`;
  const into = `INSERT INTO ${table} (trace, ${columns.join(', ')}) VALUES`;
  const insertOne = database.prepare(`${into} ${marks}`);
  const insertMany = database.prepare(`${into} ${Array(STATEMENT_ROWS).fill(marks).join(', ')}`);
  const values: unknown[] = new Array(STATEMENT_ROWS * width).fill(null);
  let held = 0;
  return {
    add(row) {
      const start = held * width;
      for (let index = 0; index < width; index += 1) values[start + index] = row[columns[index]!];
      held += 1;
      if (held < STATEMENT_ROWS) return;
      held = 0;
      insertMany.run(values);
    },
    flush() {
      for (let index = 0; index < held; index += 1)
        insertOne.run(values.slice(index * width, (index + 1) * width));
      held = 0;
    },
  };
}

/** A column value as SQLite has it. */
export type SqlValue = string | number | bigint | null;

/** Runs a statement that reads. @throws Error when it would write */
export function queryRows(
  database: SqliteDatabase,
  sql: string,
  parameters: readonly SqlValue[],
): readonly Readonly<Record<string, SqlValue>>[] {
  const statement = database.prepare(sql);
  if (!statement.readonly) throw new Error('a query reads only');
  return statement.all(...parameters) as Record<string, SqlValue>[];
}
