import {
  BUNDLE_FORMAT,
  type BundleEnd,
  type BundleHead,
  type BundleLink,
  rowToJson,
} from './bundle-format.ts';
import { type ChainEnd, createChainBuilder, hashChecks, type Link } from './chain.ts';
import { StoreError } from './errors.ts';
import type { SqliteDatabase } from './open-database.ts';
import { createExactReader, readPages } from './read-calls.ts';
import { hasRoundedValue, ROW_COLUMNS, type Row, SEQ } from './row.ts';
import { requireTraceRow, type TraceRow } from './trace-info.ts';

/** Which calls a bundle is about; all of the trace unless given. */
export interface BundleRange {
  readonly fromSeq?: number;
  readonly toSeq?: number;
}

/** What was written. */
export interface BundleSummary {
  readonly trace: string;
  readonly from: number;
  readonly to: number;
  /** Calls from first to last. */
  readonly calls: number;
  /** Rows in the bundle: whole links, so more than the calls of the range. */
  readonly rows: number;
  readonly links: number;
  /** Newest hash of the trace, in hex. */
  readonly chainHead: string;
}

/**
 * Writes the lines of a bundle. The chain is recomputed on the way, and must come to the stored hash.
 * @throws StoreError when the trace cannot be exported, or has no call in the range
 */
export function writeBundle(
  database: SqliteDatabase,
  traceId: number,
  { fromSeq = Number.MIN_SAFE_INTEGER, toSeq = Number.MAX_SAFE_INTEGER }: BundleRange,
  writeLine: (line: string) => void,
): BundleSummary {
  const trace = requireExportable(database, traceId);
  const range = rangeOf(database, trace, fromSeq, toSeq);
  const write = (line: BundleHead | BundleLink | BundleEnd | { readonly row: unknown }): void =>
    writeLine(JSON.stringify(line));
  write({ bundle: BUNDLE_FORMAT, trace: trace.name, header: trace.header, from: range.from, to: range.to });

  const chain = createChainBuilder(trace.header, trace.log);
  const exactly = createExactReader(database, trace.id, ROW_COLUMNS);
  let held: (Row | null)[] = [];
  let rowCount = 0;
  let callCount = 0;
  let linkCount = 0;
  const endLink = (link: Link, end: ChainEnd | null): Link => {
    const isWanted = held.some((row) => isInside(row, range));
    if (isWanted) for (const row of held) write({ row: rowToJson(row!) });
    if (isWanted) rowCount += held.length;
    linkCount += 1;
    held = [];
    write(lineOf(link, isWanted, end));
    return link;
  };

  for (const rows of readPages(database, trace.id, ROW_COLUMNS, { fromSeq: Number.MIN_SAFE_INTEGER + 1 })) {
    for (const found of rows) {
      const row = hasRoundedValue(found) ? exactly(found) : found;
      callCount += 1;
      held.push(row);
      const link = chain.add(row);
      if (link !== null) endLink(link, null);
    }
  }
  const end = { callCount, skipped: trace.skipped };
  const { hash } = endLink(chain.end(end), end);
  if (!hash.equals(trace.chain_head))
    throw new StoreError(`trace ${JSON.stringify(trace.name)} is damaged: ioasis verify says where`);
  const chainHead = hash.toString('hex');
  write({ head: chainHead });
  return { trace: trace.name, ...range, rows: rowCount, links: linkCount, chainHead };
}

function requireExportable(database: SqliteDatabase, traceId: number): TraceRow {
  const trace = requireTraceRow(database, traceId);
  const name = JSON.stringify(trace.name);
  if (trace.state !== 'sealed') throw new StoreError(`trace ${name} is not sealed: its import has not ended`);
  if (trace.log === 1) {
    throw new StoreError(
      `trace ${name} has the hashes of an older ioasis, which prove no part of a log: import its capture again`,
    );
  }
  return trace;
}

function rangeOf(database: SqliteDatabase, trace: TraceRow, fromSeq: number, toSeq: number) {
  const found = database
    .prepare(
      `SELECT min(seq) AS "from", max(seq) AS "to", count(*) AS calls
       FROM call WHERE trace = ? AND seq >= ? AND seq <= ?`,
    )
    .get(trace.id, fromSeq, toSeq) as { from: number | null; to: number | null; calls: number };
  const { from, to, calls } = found;
  if (from === null || to === null)
    throw new StoreError(`trace ${JSON.stringify(trace.name)} has no call in that range`);
  return { from, to, calls };
}

function isInside(row: Row | null, { from, to }: { readonly from: number; readonly to: number }): boolean {
  const seq = row?.[SEQ] as number;
  return seq >= from && seq <= to;
}

function lineOf({ index, body, hash }: Link, withChecks: boolean, end: ChainEnd | null): BundleLink {
  if (body === null) throw new Error('a link of an older log has no body');
  return {
    link: index,
    rows: body.rows.toString('hex'),
    checks: hashChecks(body.checks).toString('hex'),
    ...(withChecks ? { row_checks: body.checks.toString('base64') } : {}),
    hash: hash.toString('hex'),
    ...(end === null ? {} : { end: { calls: end.callCount, skipped: end.skipped } }),
  };
}
