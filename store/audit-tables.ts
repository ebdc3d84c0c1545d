import type { AttachmentRow, AuditRows, EventRow, ScopeRow, TenureRow } from './audit-rows.ts';
import { AUDIT_TABLES } from './audit-schema.ts';
import type { SqliteDatabase } from './open-database.ts';

const SCOPE: readonly (keyof ScopeRow)[] = [
  ...(['scope', 'kind', 'name', 'is_space', 'quota', 'tenures', 'held', 'high_water'] as const),
  ...(['high_water_seq', 'refused'] as const),
];
const TENURE: readonly (keyof TenureRow)[] = [
  ...(['tenure', 'generation', 'scope', 'set_scope', 'pasid', 'vpasid', 'context', 'pid', 'fd'] as const),
  ...(['from_seq', 'from_call', 'to_seq', 'to_call', 'orphan_seq', 'previous', 'reuse_calls'] as const),
  ...(['reuse_flush', 'faults_reported', 'faults_read'] as const),
];
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
  const rows: AuditRows = {
    scope: inserter(database, 'pasid_scope', traceId, SCOPE),
    tenure: inserter(database, 'pasid_tenure', traceId, TENURE),
    attachment: inserter(database, 'pasid_attachment', traceId, ATTACHMENT),
    event: inserter(database, 'pasid_event', traceId, EVENT),
  };
  const rebuild = database.transaction(() => {
    deleteAudit(database, traceId);
    const { version, diverged } = work(rows);
    database.prepare('INSERT INTO audit_build VALUES (?, ?, ?)').run(traceId, version, diverged);
  });
  rebuild.immediate();
}

/** Removes the history of a trace: nothing is lost but the time to build it. */
export function deleteAudit(database: SqliteDatabase, traceId: number): void {
  for (const table of AUDIT_TABLES) database.prepare(`DELETE FROM ${table} WHERE trace = ?`).run(traceId);
}

function inserter<Row>(
  database: SqliteDatabase,
  table: string,
  traceId: number,
  columns: readonly (keyof Row)[],
): (row: Row) => void {
  const marks = columns.map(() => '?').join(', ');
  const insert = database.prepare(
    `INSERT INTO ${table} (trace, ${columns.join(', ')}) VALUES (${traceId}, ${marks})`,
  );
  const values: unknown[] = new Array(columns.length).fill(null);
  return (row) => {
    for (let index = 0; index < columns.length; index += 1) values[index] = row[columns[index]!];
    insert.run(values);
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
