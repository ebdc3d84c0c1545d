import { type Call, headerToRecord, type TraceHeader } from '../src/trace/index.ts';
import { deleteAudit } from './audit-tables.ts';
import { createChainBuilder, firstHash, type Link, LOG_VERSION } from './chain.ts';
import { StoreError } from './errors.ts';
import { createRowInserter } from './insert-rows.ts';
import { guard, type SqliteDatabase } from './open-database.ts';
import { createRowBlockBuilder, type RowBlockBuilder } from './row-block.ts';
import type { RowBlock } from './row-bytes.ts';
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
  /** Adds calls that were made into rows elsewhere: all calls of the trace come so, or by `append`. */
  appendBlock(block: RowBlock): void;
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
  const chain = createChainBuilder(header, LOG_VERSION);
  let callCount = 0;
  let firstSeq: number | null = null;
  let lastSeq: number | null = null;

  const insertChecks = database.prepare('INSERT INTO row_check (trace, link, checks) VALUES (?, ?, ?)');
  const addLink = ({ index, lastSeq: last, hash, body }: Link): void => {
    insertLink.run(traceId, index, last, hash);
    if (body !== null) insertChecks.run(traceId, index, body.checks);
  };

  const requireAscending = ({ seqs }: RowBlock): void => {
    for (const seq of seqs) {
      if (lastSeq !== null && seq <= lastSeq)
        throw new StoreError(`seq ${seq} does not follow ${lastSeq}: calls are stored in ascending order`);
      lastSeq = seq;
    }
    firstSeq ??= seqs[0]!;
    callCount += seqs.length;
  };

  /** Answers the newest hash of the chain, if there is a new one. */
  const addRows = (block: RowBlock): Buffer | null => {
    requireAscending(block);
    const { seqs } = block;
    let head: Buffer | null = null;
    for (let from = 0; from < seqs.length; ) {
      const end = Math.min(from + chain.rowsLeft(), seqs.length);
      rows.addRows(block, from, end);
      const link = chain.addRows(block, from, end);
      if (link !== null) {
        addLink(link);
        head = link.hash;
      }
      from = end;
    }
    return head;
  };

  const addBlocks = database.transaction((blocks: Iterable<RowBlock>): void => {
    let head: Buffer | null = null;
    for (const block of blocks) head = addRows(block) ?? head;
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
    addBlocks: (blocks: Iterable<RowBlock>) => addBlocks.immediate(blocks),
    closeTrace: (end: TraceEnd) => closeTrace.immediate(end),
  };
}

/** Calls that are made into rows at once. */
const BLOCK_CALLS = 4096;

function* blocksOf(builder: RowBlockBuilder, calls: readonly Call[]): Generator<RowBlock> {
  for (const call of calls) if (builder.add(call)) yield builder.take()!;
  const last = builder.take();
  if (last !== null) yield last;
}

function createWriter(
  database: SqliteDatabase,
  path: string,
  traceId: number,
  header: string | null,
): TraceWriter {
  const { addBlocks, closeTrace } = createTransactions(database, traceId, header);
  const builder = createRowBlockBuilder(BLOCK_CALLS);
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
    append: (calls) => step(() => addBlocks(blocksOf(builder, calls))),
    appendBlock: (block) => step(() => addBlocks([block])),
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
