import { EMPTY_HEADER, type JsonRecord, parseHeader, type TraceHeader } from '../src/trace/index.ts';
import { StoreError } from './errors.ts';
import type { SqliteDatabase } from './open-database.ts';

/** A trace as the store lists it. */
export interface TraceInfo {
  readonly id: number;
  readonly name: string;
  readonly header: TraceHeader;
  /** `importing` until sealed: also what a killed import leaves behind. */
  readonly state: 'importing' | 'sealed';
  readonly callCount: number;
  /** `seq` of the first and last call; null while there are none. */
  readonly firstSeq: number | null;
  readonly lastSeq: number | null;
  /** Records of the capture with an unknown `op`, counted by its name. */
  readonly skipped: Readonly<Record<string, number>>;
  /** Newest hash of the chain, in hex: once sealed it stands for the whole log of the trace. */
  readonly chainHead: string;
}

/** A row of `trace`. */
export interface TraceRow {
  readonly id: number;
  readonly name: string;
  readonly header: string | null;
  readonly state: 'importing' | 'sealed';
  readonly call_count: number;
  readonly first_seq: number | null;
  readonly last_seq: number | null;
  readonly skipped: string;
  readonly chain_head: Buffer;
  /** How the hashes are made: see LogVersion. */
  readonly log: 1 | 2;
}

/** All traces, in the order in which they were begun. */
export function listTraceRows(database: SqliteDatabase): readonly TraceRow[] {
  return database.prepare('SELECT * FROM trace ORDER BY id').all() as TraceRow[];
}

/** A trace by name or number. */
export function findTraceRow(database: SqliteDatabase, trace: string | number): TraceRow | null {
  const column = typeof trace === 'string' ? 'name' : 'id';
  return (
    (database.prepare(`SELECT * FROM trace WHERE ${column} = ?`).get(trace) as TraceRow | undefined) ?? null
  );
}

/** A trace by name or number. @throws StoreError when there is none */
export function requireTraceRow(database: SqliteDatabase, trace: string | number): TraceRow {
  const row = findTraceRow(database, trace);
  if (row === null) throw new StoreError(`the store holds no trace ${JSON.stringify(trace)}`);
  return row;
}

/** Decodes a row of `trace`. @throws StoreError when its JSON was changed by hand */
export function traceInfoOf(row: TraceRow): TraceInfo {
  try {
    return {
      id: row.id,
      name: row.name,
      header: row.header === null ? EMPTY_HEADER : parseHeader(JSON.parse(row.header) as JsonRecord),
      state: row.state,
      callCount: row.call_count,
      firstSeq: row.first_seq,
      lastSeq: row.last_seq,
      skipped: JSON.parse(row.skipped) as Record<string, number>,
      chainHead: row.chain_head.toString('hex'),
    };
  } catch (error) {
    throw new StoreError(
      `the header of trace ${JSON.stringify(row.name)} is damaged: ${(error as Error).message}`,
    );
  }
}
