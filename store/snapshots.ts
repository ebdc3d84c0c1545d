import type { SqliteDatabase } from './open-database.ts';

/** A saved model: its state after the call with that `seq`. */
export interface Snapshot {
  readonly seq: number;
  readonly state: Uint8Array;
}

/** Keeps a snapshot, in place of an older one at the same position. */
export function putSnapshot(
  database: SqliteDatabase,
  traceId: number,
  seq: number,
  modelVersion: string,
  state: Uint8Array,
): void {
  database
    .prepare('INSERT OR REPLACE INTO snapshot (trace, model_version, seq, state) VALUES (?, ?, ?, ?)')
    .run(traceId, modelVersion, seq, state);
}

/** The newest snapshot of that model version at or before a position. */
export function nearestSnapshot(
  database: SqliteDatabase,
  traceId: number,
  seq: number,
  modelVersion: string,
): Snapshot | null {
  const found = database
    .prepare(
      `SELECT seq, state FROM snapshot WHERE trace = ? AND model_version = ? AND seq <= ?
       ORDER BY seq DESC LIMIT 1`,
    )
    .get(traceId, modelVersion, seq) as Snapshot | undefined;
  return found ?? null;
}

/** Removes the snapshots of a trace, or of all. They are a cache: nothing is lost but time. */
export function deleteSnapshots(database: SqliteDatabase, traceId: number | null): void {
  if (traceId === null) database.prepare('DELETE FROM snapshot').run();
  else database.prepare('DELETE FROM snapshot WHERE trace = ?').run(traceId);
}
