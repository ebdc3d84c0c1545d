import type { SqliteDatabase } from './open-database.ts';
import type { Snapshot } from './snapshots.ts';
import { TIMELINE_TABLES } from './timeline-schema.ts';

/** A call that changed what the hardware holds. */
export interface HardwareChange {
  /** 1 for the first of the trace. */
  readonly change: number;
  readonly seq: number;
  /** Sum over all changes so far: equal for traces that went the same way. */
  readonly chain: string;
}

/** Takes what a build of a timeline tells. */
export interface TimelineRows {
  /** The state after the record with that `seq`. */
  point(seq: number, state: Uint8Array): void;
  change(change: HardwareChange): void;
}

/** A timeline as the store reads it. */
export interface StoredTimeline {
  /** As `rebuildTimeline` was given them. */
  readonly facts: string;
  /** The newest point at or before a record; null when there is none. */
  pointBefore(seq: number): Snapshot | null;
  /** How many points there are. */
  pointCount(): number;
  /** The newest change kept whose number is at most `change`; null when there is none. */
  changeBefore(change: number): HardwareChange | null;
}

/** Replaces the timeline of a trace by what `work` tells, all or nothing; `work` answers the facts. */
export function rebuildTimeline(
  database: SqliteDatabase,
  traceId: number,
  version: string,
  work: (rows: TimelineRows) => string,
): void {
  const point = database.prepare('INSERT INTO timeline_point (trace, seq, state) VALUES (?, ?, ?)');
  const change = database.prepare(
    'INSERT INTO hardware_change (trace, change, seq, chain) VALUES (?, ?, ?, ?)',
  );
  const rows: TimelineRows = {
    point: (seq, state) => void point.run(traceId, seq, state),
    change: (each) => void change.run(traceId, each.change, each.seq, each.chain),
  };
  const rebuild = database.transaction(() => {
    deleteTimeline(database, traceId);
    const facts = work(rows);
    database.prepare('INSERT INTO timeline VALUES (?, ?, ?)').run(traceId, version, facts);
  });
  rebuild.immediate();
}

/** Removes the timeline of a trace: nothing is lost but the time to build it. */
export function deleteTimeline(database: SqliteDatabase, traceId: number): void {
  for (const table of TIMELINE_TABLES) database.prepare(`DELETE FROM ${table} WHERE trace = ?`).run(traceId);
}

/** The timeline that the store has of a trace; null when it has none of that version. */
export function findTimeline(
  database: SqliteDatabase,
  traceId: number,
  version: string,
): StoredTimeline | null {
  const found = database
    .prepare('SELECT facts FROM timeline WHERE trace = ? AND version = ?')
    .pluck()
    .get(traceId, version) as string | undefined;
  if (found === undefined) return null;
  const point = database.prepare(
    'SELECT seq, state FROM timeline_point WHERE trace = ? AND seq <= ? ORDER BY seq DESC LIMIT 1',
  );
  const change = database.prepare(
    `SELECT change, seq, chain FROM hardware_change WHERE trace = ? AND change <= ?
     ORDER BY change DESC LIMIT 1`,
  );
  return {
    facts: found,
    pointBefore: (seq) => (point.get(traceId, seq) as Snapshot | undefined) ?? null,
    pointCount: () =>
      database.prepare('SELECT count(*) FROM timeline_point WHERE trace = ?').pluck().get(traceId) as number,
    changeBefore: (number) => (change.get(traceId, number) as HardwareChange | undefined) ?? null,
  };
}
