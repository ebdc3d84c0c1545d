import type { Call, DescriptorKind } from '../src/trace/index.ts';
import { beginTrace, discardTrace, type NewTrace, type TraceWriter } from './append.ts';
import type { AuditRows } from './audit-rows.ts';
import { type AuditBuild, findAuditBuild, queryRows, rebuildAudit, type SqlValue } from './audit-tables.ts';
import { type BundleRange, type BundleSummary, writeBundle } from './bundle-write.ts';
import { guard, type OpenOptions, openDatabase, TEMPORARY } from './open-database.ts';
import { opensKind } from './opens-kind.ts';
import { type CallVisitor, type ReadRange, readCalls, readCallsExact } from './read-calls.ts';
import { deleteSnapshots, nearestSnapshot, putSnapshot, type Snapshot } from './snapshots.ts';
import { findTimeline, rebuildTimeline, type StoredTimeline, type TimelineRows } from './timeline-tables.ts';
import { findTraceRow, listTraceRows, requireTraceRow, type TraceInfo, traceInfoOf } from './trace-info.ts';
import { type Verification, verifyTrace } from './verify.ts';

/** The event log: traces of calls, append-only. Every method throws StoreError when it cannot do its work. */
export interface Store {
  /** Path as given; the empty string for a temporary store. */
  readonly path: string;
  /** All traces, in the order in which they were begun; those still importing too. */
  listTraces(): readonly TraceInfo[];
  /** A trace by name or number; null when there is none. */
  findTrace(trace: string | number): TraceInfo | null;
  /** Begins a trace; replaces what a killed import left under the same name. */
  beginTrace(trace: NewTrace): TraceWriter;
  /** Removes a trace that was not sealed. Sealed traces stay. */
  discardTrace(trace: string | number): void;
  /**
   * Reads calls for a replay. Hot ioctls come in one object that the next call overwrites, without thread,
   * time, unknown keys and address of the struct. Answers false when the visitor ended the reading by
   * answering false.
   */
  readCalls(traceId: number, range: ReadRange, visit: CallVisitor): boolean;
  /** Reads calls with all that was recorded, each an object of its own. */
  readCallsExact(traceId: number, range?: ReadRange): Generator<Call, void, undefined>;
  /** Whether a trace opens a descriptor of one of these kinds. */
  opensKind(traceId: number, kinds: readonly DescriptorKind[]): boolean;
  /** Checks the log of a trace against its hash chain and its counts. */
  verifyTrace(traceId: number): Verification;
  /** Writes the lines of a bundle: calls of a range, with the proof that they are part of the log. */
  writeBundle(traceId: number, range: BundleRange, writeLine: (line: string) => void): BundleSummary;
  /** Saves the state of a model after the call with that `seq`. */
  putSnapshot(traceId: number, seq: number, modelVersion: string, state: Uint8Array): void;
  /** The newest snapshot at or before a position. */
  nearestSnapshot(traceId: number, seq: number, modelVersion: string): Snapshot | null;
  /** Empties the cache of snapshots: of one trace, or of all. */
  deleteSnapshots(traceId?: number): void;
  /** Replaces the timeline of a trace by what `work` tells, all or nothing; `work` answers the facts. */
  rebuildTimeline(traceId: number, version: string, work: (rows: TimelineRows) => string): void;
  /** The timeline that there is of a trace; null when there is none of that version. */
  findTimeline(traceId: number, version: string): StoredTimeline | null;
  /** Replaces the PASID history of a trace by the rows that `work` tells, all or nothing. */
  rebuildAudit(traceId: number, work: (rows: AuditRows) => AuditBuild): void;
  /** Which PASID history there is of a trace; null when none was built. */
  findAuditBuild(traceId: number): AuditBuild | null;
  /** Rows of a statement that only reads, in the order that it gives. */
  query(sql: string, parameters?: readonly SqlValue[]): readonly Readonly<Record<string, SqlValue>>[];
  /** Bytes that the store takes on disk (or in memory), without its write-ahead log. */
  sizeBytes(): number;
  close(): void;
}

/**
 * Opens a store, making it when it does not exist; `:memory:` works too.
 * @throws StoreError for a file that is not a store or has a newer schema; such a file is left as it is.
 */
export function openStore(path: string, options: OpenOptions = {}): Store {
  const database = openDatabase(path, options);
  const guarded = <T>(operation: () => T): T => guard(path, operation);
  return {
    path,
    listTraces: () => guarded(() => listTraceRows(database).map(traceInfoOf)),
    findTrace: (trace) =>
      guarded(() => {
        const row = findTraceRow(database, trace);
        return row === null ? null : traceInfoOf(row);
      }),
    beginTrace: (trace) => beginTrace(database, path, trace),
    discardTrace: (trace) => discardTrace(database, path, trace),
    readCalls: (traceId, range, visit) =>
      guarded(() => readCalls(database, requireTraceRow(database, traceId).id, range, visit)),
    *readCallsExact(traceId, range = {}) {
      const calls = guarded(() => readCallsExact(database, requireTraceRow(database, traceId).id, range));
      for (;;) {
        const next = guarded(() => calls.next());
        if (next.done) return;
        yield next.value;
      }
    },
    opensKind: (traceId, kinds) =>
      guarded(() => opensKind(database, requireTraceRow(database, traceId).id, kinds)),
    verifyTrace: (traceId) => guarded(() => verifyTrace(database, traceId)),
    writeBundle: (traceId, range, writeLine) =>
      guarded(() => writeBundle(database, traceId, range, writeLine)),
    putSnapshot: (traceId, seq, modelVersion, state) =>
      guarded(() => putSnapshot(database, requireTraceRow(database, traceId).id, seq, modelVersion, state)),
    nearestSnapshot: (traceId, seq, modelVersion) =>
      guarded(() => nearestSnapshot(database, traceId, seq, modelVersion)),
    deleteSnapshots: (traceId) => guarded(() => deleteSnapshots(database, traceId ?? null)),
    rebuildTimeline: (traceId, version, work) =>
      guarded(() => rebuildTimeline(database, requireTraceRow(database, traceId).id, version, work)),
    findTimeline: (traceId, version) => guarded(() => findTimeline(database, traceId, version)),
    rebuildAudit: (traceId, work) =>
      guarded(() => rebuildAudit(database, requireTraceRow(database, traceId).id, work)),
    findAuditBuild: (traceId) => guarded(() => findAuditBuild(database, traceId)),
    query: (sql, parameters = []) => guarded(() => queryRows(database, sql, parameters)),
    sizeBytes: () =>
      guarded(() => {
        const pages = database.prepare('PRAGMA page_count').pluck().get() as number;
        return pages * (database.prepare('PRAGMA page_size').pluck().get() as number);
      }),
    close: () => guarded(() => void database.close()),
  };
}

/**
 * Opens an empty store that is gone when it is closed. It is on disk, so its size is not bounded by memory.
 */
export function openTemporaryStore(): Store {
  return openStore(TEMPORARY);
}
