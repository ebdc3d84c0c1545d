import { type Call, headerToRecord, type TraceHeader } from '../src/trace/index.ts';
import { deleteAudit } from './audit-tables.ts';
import { createChainBuilder, firstHash, type Link, LOG_VERSION } from './chain.ts';
import { StoreError } from './errors.ts';
import { createRowInserter } from './insert-rows.ts';
import { guard, type SqliteDatabase } from './open-database.ts';
import { createRowEncoder } from './row-encode.ts';
import { deleteTimeline } from './timeline-tables.ts';
import { findTraceRow, requireTraceRow, type TraceInfo, traceInfoOf } from './trace-info.ts';

/** What a trace is begun with. */
export interface NewTrace {
  readonly name: string;
  readonly header: TraceHeader;
}

/** What is known only when the whole capture was read. */
export interface TraceEnd {
  readonly skipped: Readonly<Record<string, number>>;
}

/** Adds calls to a trace that is being imported. */
export interface TraceWriter {
  readonly traceId: number;
  /**
   * Adds calls, all in one transaction. After an error the writer can only discard.
   * @throws StoreError, also when a `seq` does not ascend.
   */
  append(calls: readonly Call[]): void;
  /** Closes the trace for good. @throws StoreError */
  seal(end?: TraceEnd): TraceInfo;
  /** Removes all that was added; does nothing once sealed. */
  discard(): void;
}

/**
 * Begins a trace. What a killed import left under the same name is removed first: an import starts over,
 * because the capture is still there and the hash state is not.
 * @throws StoreError when a sealed trace has that name.
 */
export function beginTrace(database: SqliteDatabase, path: string, trace: NewTrace): TraceWriter {
  const record = headerToRecord(trace.header);
  const header = record === null ? null : JSON.stringify(record);
  const begin = database.transaction((): number => {
    const existing = findTraceRow(database, trace.name);
    if (existing?.state === 'sealed') {
      throw new StoreError(`the store already holds a trace named ${JSON.stringify(trace.name)}`);
    }
    if (existing !== null) deleteTrace(database, existing.id);
    const insert = database.prepare(
      `INSERT INTO trace (name, header, state, call_count, skipped, chain_head, log)
       VALUES (?, ?, 'importing', 0, '{}', ?, ?)`,
    );
    return Number(
      insert.run(trace.name, header, firstHash(header, LOG_VERSION), LOG_VERSION).lastInsertRowid,
    );
  });
  const traceId = guard(path, () => begin.immediate());
  return createWriter(database, path, traceId, header);
}

/** Removes a trace that was not sealed. @throws StoreError for a sealed one, or when there is none */
export function discardTrace(database: SqliteDatabase, path: string, trace: string | number): void {
  const discard = database.transaction(() => {
    const row = requireTraceRow(database, trace);
    if (row.state === 'sealed') throw new StoreError(`trace ${JSON.stringify(row.name)} is sealed: it stays`);
    deleteTrace(database, row.id);
  });
  guard(path, () => discard.immediate());
}

function deleteTrace(database: SqliteDatabase, traceId: number): void {
  for (const table of ['call', 'chain', 'row_check', 'snapshot']) {
    database.prepare(`DELETE FROM ${table} WHERE trace = ?`).run(traceId);
  }
  deleteAudit(database, traceId);
  deleteTimeline(database, traceId);
  database.prepare('DELETE FROM trace WHERE id = ?').run(traceId);
}

/** The transactions of one trace. What they count and hash runs ahead of one that is rolled back. */
function createTransactions(database: SqliteDatabase, traceId: number, header: string | null) {
  const rows = createRowInserter(database, traceId);
  const insertLink = database.prepare('INSERT INTO chain (trace, link, last_seq, hash) VALUES (?, ?, ?, ?)');
  const updateTrace = database.prepare(
    `UPDATE trace SET call_count = ?, first_seq = ?, last_seq = ?, chain_head = coalesce(?, chain_head)
     WHERE id = ? AND state = 'importing'`,
  );
  const sealTrace = database.prepare(
    `UPDATE trace SET state = 'sealed', skipped = ?, chain_head = ? WHERE id = ?`,
  );
  const encode = createRowEncoder();
  const chain = createChainBuilder(header, LOG_VERSION);
  let callCount = 0;
  let firstSeq: number | null = null;
  let lastSeq: number | null = null;

  const insertChecks = database.prepare('INSERT INTO row_check (trace, link, checks) VALUES (?, ?, ?)');
  const addLink = ({ index, lastSeq: last, hash, body }: Link): void => {
    insertLink.run(traceId, index, last, hash);
    if (body !== null) insertChecks.run(traceId, index, body.checks);
  };

  const addCalls = database.transaction((calls: readonly Call[]): void => {
    let head: Buffer | null = null;
    for (const call of calls) {
      if (lastSeq !== null && call.seq <= lastSeq) {
        throw new StoreError(
          `seq ${call.seq} does not follow ${lastSeq}: calls are stored in ascending order`,
        );
      }
      const row = encode(call);
      rows.add(row);
      const link = chain.add(row);
      firstSeq ??= call.seq;
      lastSeq = call.seq;
      callCount++;
      if (link === null) continue;
      addLink(link);
      head = link.hash;
    }
    rows.flush();
    const { changes } = updateTrace.run(callCount, firstSeq, lastSeq, head, traceId);
    if (changes !== 1) throw new StoreError('the trace was discarded or sealed by another process');
  });

  const closeTrace = database.transaction((end: TraceEnd): void => {
    const skipped = JSON.stringify(end.skipped);
    const link = chain.end({ callCount, skipped });
    addLink(link);
    const { changes } = sealTrace.run(skipped, link.hash, traceId);
    if (changes !== 1) throw new StoreError('the trace was discarded by another process');
  });

  return {
    addCalls: (calls: readonly Call[]) => addCalls.immediate(calls),
    closeTrace: (end: TraceEnd) => closeTrace.immediate(end),
  };
}

function createWriter(
  database: SqliteDatabase,
  path: string,
  traceId: number,
  header: string | null,
): TraceWriter {
  const { addCalls, closeTrace } = createTransactions(database, traceId, header);
  let phase: 'open' | 'failed' | 'closed' = 'open';

  const step = (operation: () => void): void => {
    if (phase !== 'open') throw new StoreError(`the trace is ${phase}: nothing can be added to it`);
    // Hash and counts run ahead of a transaction that is rolled back, so there is no going on after an error.
    phase = 'failed';
    guard(path, operation);
    phase = 'open';
  };

  return {
    traceId,
    append: (calls) => step(() => addCalls(calls)),
    seal(end = { skipped: {} }) {
      step(() => closeTrace(end));
      phase = 'closed';
      return traceInfoOf(requireTraceRow(database, traceId));
    },
    discard() {
      if (phase === 'closed') return;
      phase = 'closed';
      if (findTraceRow(database, traceId) !== null) discardTrace(database, path, traceId);
    },
  };
}
